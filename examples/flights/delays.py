"""Sum up the delays of each airline, the latest first.

    python3 delays.py clean.csv airlines.csv > delays.csv

A flight is late when it arrives 15 minutes or more after schedule, as the Bureau of Transportation
Statistics counts it. Flights that never arrived count as flights but not in the means.
"""

import csv
import sys
from collections import Counter, defaultdict
from pathlib import Path

LATE = 15


def main() -> None:
    flights: Counter[str] = Counter()
    departures: defaultdict[str, list[int]] = defaultdict(list)
    arrivals: defaultdict[str, list[int]] = defaultdict(list)
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as table:
        reader = csv.reader(table)
        next(reader)
        for _month, _day, departure, arrival, carrier, *_rest in reader:
            flights[carrier] += 1
            if departure:
                departures[carrier].append(int(departure))
            if arrival:
                arrivals[carrier].append(int(arrival))
    with Path(sys.argv[2]).open(encoding="utf-8", newline="") as table:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(table)}
    rows = [
        {
            "carrier": carrier,
            "name": names[carrier],
            "flights": flights[carrier],
            "arrived": len(delays),
            "mean_dep_delay": f"{sum(departures[carrier]) / len(departures[carrier]):.2f}",
            "mean_arr_delay": f"{sum(delays) / len(delays):.2f}",
            "late_pct": f"{100 * sum(delay >= LATE for delay in delays) / len(delays):.1f}",
        }
        for carrier, delays in arrivals.items()
    ]
    rows.sort(key=lambda row: (-float(row["mean_arr_delay"]), row["carrier"]))
    writer = csv.DictWriter(sys.stdout, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
