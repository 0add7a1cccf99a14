"""What this machine can do at all: processes, durable commits, hashing, starting an interpreter."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

TRUE: Final = shutil.which("true") or "/bin/true"
EVENT: Final = {
    "type": "task.ended",
    "key": "clean",
    "attempt": 1,
    "verdict": "success",
    "reason": "",
    "exit_code": 0,
    "text": "x" * 180,
}
_BULK: Final = os.urandom(32 << 20)
_ROW: Final = ("r" * 26, "step", "completed", 1.0, '{"a":1,"b":"' + "x" * 180 + '"}')

# The least a recorded run can be: a database, four chained events, two durable commits.
LEAST_RUN: Final = """
import hashlib, os, sqlite3, sys, msgspec
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute('pragma journal_mode=wal'); c.execute('pragma synchronous=full')
c.execute('create table if not exists r(id blob primary key, d) without rowid')
c.execute('create table if not exists e(r, s, d, primary key(r, s)) without rowid')
run, head = os.urandom(16), b''
for k in range(2):
    c.execute('begin immediate')
    c.execute('insert or replace into r values(?, ?)', (run, b'x'))
    for s in range(2):
        body = msgspec.json.encode({'k': k, 's': s}, order='sorted')
        head = hashlib.sha256(head + body).digest()
        c.execute('insert into e values(?, ?, ?)', (run, 2 * k + s, body))
    c.execute('commit')
c.close()
"""
IMPORTS: Final = "import argparse, asyncio, hashlib, logging, sqlite3, tomllib, msgspec, yaml"


# --- processes -----------------------------------------------------------------------------------------


def spawned() -> None:
    """Spawn `true`, read both of its outputs, reap it."""
    out, out_end = os.pipe2(os.O_CLOEXEC)
    err, err_end = os.pipe2(os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, out_end, 1), (os.POSIX_SPAWN_DUP2, err_end, 2)]
    pid = os.posix_spawn(TRUE, [TRUE], {}, file_actions=actions)
    os.close(out_end)
    os.close(err_end)
    os.read(out, 65536)
    os.read(err, 65536)
    os.close(out)
    os.close(err)
    os.waitpid(pid, 0)


def spawns_per_second(number: int, threads: int) -> float:
    """Processes per second that this many threads spawn, each capturing what they print."""

    def work() -> None:
        for _ in range(number // threads):
            spawned()

    crew = [threading.Thread(target=work) for _ in range(threads)]
    started = time.perf_counter()
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    return number / (time.perf_counter() - started)


def subprocess_runs(number: int) -> float:
    """Seconds for `subprocess.run(["true"], capture_output=True)`, one after the other."""
    started = time.perf_counter()
    for _ in range(number):
        subprocess.run(["true"], capture_output=True, check=True)
    return time.perf_counter() - started


# --- the database --------------------------------------------------------------------------------------


def commits_per_second(folder: str, rows: int, seconds: float) -> float:
    """Durable transactions (WAL, FULL) per second, each with this many rows of about 260 bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        connection = sqlite3.connect(Path(place) / "limit.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(
            "CREATE TABLE e (id INTEGER PRIMARY KEY, run TEXT, kind TEXT, st TEXT, ts REAL, doc TEXT)"
        )
        connection.execute("CREATE INDEX e_run ON e (run)")
        batch = [_ROW] * rows
        number = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO e (run, kind, st, ts, doc) VALUES (?, ?, ?, ?, ?)", batch)
            connection.execute("COMMIT")
            number += 1
        rate = number / (time.perf_counter() - started)
        connection.close()
        return rate


def bare_listing(folder: str, runs: int) -> Callable[[], float]:
    """A table of this many rows with one index; the returned function asks for the newest 50, in seconds."""
    connection = sqlite3.connect(Path(folder) / f"listing-{runs}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE r (id INTEGER PRIMARY KEY, flow TEXT, st INT, ts INT, doc TEXT)")
    connection.execute("CREATE INDEX r_st ON r (st, ts)")
    connection.execute("BEGIN")
    rows = ((number, "f", number % 5, number, _ROW[4]) for number in range(runs))
    connection.executemany("INSERT INTO r VALUES (?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")

    def ask() -> float:
        started = time.perf_counter()
        for _ in range(100):
            connection.execute(
                "SELECT id, flow, st, ts, doc FROM r WHERE st = ? ORDER BY ts DESC LIMIT 50", (3,)
            ).fetchall()
        return (time.perf_counter() - started) / 100

    return ask


# --- hashing and encoding ------------------------------------------------------------------------------


def hash_bulk() -> float:
    """MiB per second of SHA-256 over 32 MiB, one thread."""
    started = time.perf_counter()
    hashlib.sha256(_BULK).digest()
    return 32 / (time.perf_counter() - started)


def hash_small(number: int = 50_000) -> float:
    """SHA-256 of 300 bytes, per second."""
    data = _BULK[:300]
    started = time.perf_counter()
    for _ in range(number):
        hashlib.sha256(data).digest()
    return number / (time.perf_counter() - started)


def events_chained(number: int = 20_000) -> float:
    """Events encoded with sorted keys and hashed, per second: what a chain costs at least."""
    encode = msgspec.json.Encoder(order="sorted").encode
    started = time.perf_counter()
    for _ in range(number):
        hashlib.sha256(encode(EVENT)).digest()
    return number / (time.perf_counter() - started)


# --- a cold process ------------------------------------------------------------------------------------


def cold(*arguments: str, env: dict[str, str] | None = None) -> tuple[float, int]:
    """Run a program of this interpreter; return seconds, and its largest resident size in bytes.

    Raises:
        RuntimeError: it did not end with 0.
    """
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    started = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable, [sys.executable, *arguments], env or dict(os.environ), file_actions=null
    )
    _, status, usage = os.wait4(pid, 0)
    took = time.perf_counter() - started
    if status:
        raise RuntimeError(f"{arguments}: status {os.waitstatus_to_exitcode(status)}")
    return took, usage.ru_maxrss * 1024
