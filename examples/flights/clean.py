"""Unpack the flights table and tidy it: NA becomes an empty cell, every other cell must be what it says.

    python3 clean.py flights.csv.gz > clean.csv

Values: rows (all departures), arrived (those with an arrival delay), origins (the airports of departure).
"""

import csv
import gzip
import json
import os
import sys
from pathlib import Path

COLUMNS = ["month", "day", "dep_delay", "arr_delay", "carrier", "origin", "dest", "air_time", "distance"]


def main() -> None:
    rows = arrived = 0
    origins: set[str] = set()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    with gzip.open(sys.argv[1], "rt", encoding="utf-8", newline="") as table:
        reader = csv.reader(table)
        if next(reader) != COLUMNS:
            sys.exit(f"expected the columns {', '.join(COLUMNS)}")
        writer.writerow(COLUMNS)
        for row in reader:
            month, day, departure, arrival, carrier, origin, dest, air_time, distance = row
            delays = [minutes(departure), minutes(arrival)]
            writer.writerow(
                [int(month), int(day), *delays, carrier, origin, dest, minutes(air_time), int(distance)]
            )
            rows += 1
            arrived += delays[1] != ""
            origins.add(origin)
    with Path(os.environ["RUNNOTARY_OUTPUT"]).open("w", encoding="utf-8") as values:
        json.dump({"rows": rows, "arrived": arrived, "origins": sorted(origins)}, values)
    print(f"{rows:,} departures, {arrived:,} arrived, from {', '.join(sorted(origins))}", file=sys.stderr)


def minutes(cell: str) -> int | str:
    return "" if cell == "NA" else int(cell)


if __name__ == "__main__":
    main()
