"""A real PostgreSQL for the tests, started by them: one for each worker, a schema for each test.

The binaries are Debian's (package `postgresql`) or those on PATH. It lives in a temporary folder, listens on
a free port of 127.0.0.1, asks for a password and syncs its disk, as in production. A guardian stops it and
removes its folder once the tests are gone, however they went.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import psycopg

USER: Final = "runnotary"
PASSWORD: Final = "correct horse"
CONNECTIONS: Final = 200
DEBIAN: Final = Path("/usr/lib/postgresql")
SECONDS: Final = 120

_GUARDIAN: Final = 'cat >/dev/null; "$1" -D "$2/data" -m immediate -w stop >/dev/null 2>&1; rm -rf "$2"'


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs: the newest of Debian's, or the one on PATH.

    Raises:
        FileNotFoundError: there is none.
    """
    versions = [path.parent for path in DEBIAN.glob("*/bin/initdb")]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    if found is None:
        raise FileNotFoundError("the tests need PostgreSQL; install it: apt-get install postgresql")
    return Path(found).resolve().parent


class Postgres:
    """A server of our own, from `start` to `close`; see `running`."""

    def __init__(self) -> None:
        self._programs: Final = binaries()
        self._folder: Final = Path(tempfile.mkdtemp(prefix="runnotary-postgres-"))
        self.port: Final = _free_port()
        self._numbers: Final = itertools.count(1)
        self._as: Final[dict[str, Any]] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = _somebody()
            self._as.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._guardian: Final = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDIAN, "guardian", self._programs / "pg_ctl", self._folder],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            **self._as,
        )
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb",
            f"--username={USER}",
            f"--pwfile={password}",
            "--auth-host=scram-sha-256",
            "--auth-local=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        with (self._folder / "data" / "postgresql.auto.conf").open("a") as settings:
            settings.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nmax_connections = {CONNECTIONS}\n"
                f"unix_socket_directories = '{self._folder}'\n"
            )

    def start(self) -> None:
        self._run("pg_ctl", "--wait", f"--log={self._folder / 'log'}", "start")

    def stop(self, how: Literal["fast", "immediate"] = "fast") -> None:
        self._run("pg_ctl", "--wait", f"--mode={how}", "stop")

    def restart(self, how: Literal["fast", "immediate"] = "immediate") -> None:
        """Stop it as a power cut would, and start it anew; it recovers first."""
        self.stop(how)
        self.start()

    def close(self) -> None:
        """Stop it and remove its folder."""
        assert self._guardian.stdin is not None
        self._guardian.stdin.close()
        self._guardian.wait(SECONDS)

    def url(self, schema: str, *, port: int = 0, password: str = PASSWORD) -> str:
        """Return the address of a schema, which need not be there."""
        secret = password.replace(" ", "%20")
        place = f"127.0.0.1:{port or self.port}/postgres"
        return f"postgresql://{USER}:{secret}@{place}?options=-csearch_path%3D{schema}"

    def fresh(self) -> str:
        """Make an empty schema; return its address."""
        name = f"test_{next(self._numbers)}"
        with self.connection() as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return self.url(name)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Connect as the owner of everything, as an operator would."""
        with psycopg.connect(self.url("public"), autocommit=True) as connection:
            yield connection

    def terminate(self, which: str = "true", values: Sequence[Any] = ()) -> int:
        """Cut those connections of servers for which a condition on pg_stat_activity holds; how many."""
        cut = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE application_name = 'runnotary' AND {which}"
        )
        with self.connection() as connection:
            return len(connection.execute(cut.encode(), values).fetchall())

    def _run(self, program: str, *options: str) -> None:
        done = subprocess.run(
            [self._programs / program, "-D", self._folder / "data", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            cwd="/",
            timeout=SECONDS,
            check=False,
            **self._as,
        )
        if done.returncode:
            log = self._folder / "log"
            said = log.read_text() if log.exists() else (done.stderr or b"").decode()
            raise RuntimeError(f"{program} {' '.join(options)} failed:\n{said[-4000:]}")


@contextmanager
def running() -> Iterator[Postgres]:
    """Start a server, and let nothing of it be left."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


def _somebody() -> pwd.struct_passwd:
    """Return a user that is not root: Debian's for PostgreSQL, or nobody."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
