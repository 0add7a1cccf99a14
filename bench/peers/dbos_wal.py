"""DBOS on SQLite, its file switched to WAL beforehand (it does not do so itself): prints JSON.

Run by an interpreter that has `dbos`: `python dbos_wal.py FOLDER RUNS ROUNDS`; it needs nothing of ours.
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

FOLDER, RUNS, ROUNDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PATH = os.path.join(FOLDER, "dbos.sqlite")
connection = sqlite3.connect(PATH)
assert connection.execute("PRAGMA journal_mode = wal").fetchone() == ("wal",)
connection.execute("CREATE TABLE beside (a)")
connection.commit()
connection.close()

DBOS(
    config={
        "name": "bench",
        "system_database_url": "sqlite:///" + PATH,
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


DBOS.launch()
for number in range(20):
    one(number)
medians = []
for _ in range(ROUNDS):
    latencies = []
    for number in range(RUNS):
        started = time.perf_counter()
        one(number)
        latencies.append((time.perf_counter() - started) * 1e3)
    medians.append(statistics.median(latencies))
rates = [max(at_once(RUNS, threads) for threads in (1, 4)) for _ in range(ROUNDS)]
print(json.dumps({"ms": medians, "runs_per_s": rates}), flush=True)
os._exit(0)
