"""Find the routes whose flights arrive latest on average.

    python3 routes.py clean.csv airports.csv TOP > routes.csv

Only routes with at least 100 arrivals count; the TOP latest are written.
"""

import csv
import sys
from collections import Counter, defaultdict
from pathlib import Path

FEWEST = 100
LATE = 15


def main() -> None:
    flights: Counter[tuple[str, str]] = Counter()
    arrivals: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as table:
        reader = csv.reader(table)
        next(reader)
        for _month, _day, _departure, arrival, _carrier, origin, dest, *_rest in reader:
            flights[origin, dest] += 1
            if arrival:
                arrivals[origin, dest].append(int(arrival))
    with Path(sys.argv[2]).open(encoding="utf-8", newline="") as table:
        cities = {row["code"]: f"{row['city']} {row['state']}" for row in csv.DictReader(table)}
    means = {route: sum(delays) / len(delays) for route, delays in arrivals.items() if len(delays) >= FEWEST}
    latest = sorted(means, key=lambda route: (-means[route], route))[: int(sys.argv[3])]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["origin", "dest", "city", "flights", "arrived", "mean_arr_delay", "late_pct"])
    for origin, dest in latest:
        delays = arrivals[origin, dest]
        mean, late = means[origin, dest], 100 * sum(delay >= LATE for delay in delays) / len(delays)
        counts = [flights[origin, dest], len(delays)]
        writer.writerow([origin, dest, cities[dest], *counts, f"{mean:.2f}", f"{late:.1f}"])


if __name__ == "__main__":
    main()
