"""Sum up the months of one airport of departure.

    python3 months.py clean.csv ORIGIN > months.csv

The flow runs this once for each airport that clean.py found.
"""

import csv
import sys
from collections import Counter, defaultdict
from pathlib import Path

LATE = 15


def main() -> None:
    wanted = sys.argv[2]
    flights: Counter[int] = Counter()
    arrivals: defaultdict[int, list[int]] = defaultdict(list)
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as table:
        reader = csv.reader(table)
        next(reader)
        for month, _day, _departure, arrival, _carrier, origin, *_rest in reader:
            if origin != wanted:
                continue
            flights[int(month)] += 1
            if arrival:
                arrivals[int(month)].append(int(arrival))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["origin", "month", "flights", "arrived", "mean_arr_delay", "late_pct"])
    for number, delays in sorted(arrivals.items()):
        mean = sum(delays) / len(delays)
        late = 100 * sum(delay >= LATE for delay in delays) / len(delays)
        writer.writerow([wanted, number, flights[number], len(delays), f"{mean:.2f}", f"{late:.1f}"])


if __name__ == "__main__":
    main()
