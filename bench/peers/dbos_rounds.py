"""DBOS, told what to do by its input: `python dbos_rounds.py URL`, by an interpreter that has `dbos`.

A line is a number of runs; the answer is JSON: the median time of as many, one after the other, and how many
of as many at once end in a second. A file of SQLite is switched to WAL beforehand, which DBOS itself does not
do. It needs nothing of ours.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import sys
import threading
import time

from dbos import DBOS

URL = sys.argv[1]
if URL.startswith("sqlite:///"):
    connection = sqlite3.connect(URL.removeprefix("sqlite:///"))
    assert connection.execute("PRAGMA journal_mode = wal").fetchone() == ("wal",)
    connection.execute("CREATE TABLE beside (a)")
    connection.commit()
    connection.close()

DBOS(
    config={
        "name": "bench",
        "system_database_url": URL,
        "log_level": "ERROR",
        "console_log_level": "ERROR",
        "sys_db_pool_size": 20,
    }
)


@DBOS.step()
def noop(number: int) -> int:
    return number


@DBOS.workflow()
def one(number: int) -> int:
    return noop(number)


def at_once(number: int, threads: int) -> float:
    """Runs per second of this many threads."""
    numbers = iter(range(number))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            one(number)

    crew = [threading.Thread(target=work) for _ in range(threads)]
    started = time.perf_counter()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return number / (time.perf_counter() - started)


def took(number: int) -> float:
    """Milliseconds of one run."""
    started = time.perf_counter()
    one(number)
    return (time.perf_counter() - started) * 1e3


DBOS.launch()
for number in range(20):
    one(number)
for line in sys.stdin:
    runs = int(line)
    answer = {
        "ms": statistics.median([took(number) for number in range(runs)]),
        "runs_per_s": max(at_once(runs, threads) for threads in (1, 4)),
    }
    print(json.dumps(answer), flush=True)
os._exit(0)
