"""What the store asks of a database: statements by name, rows as tuples.

    sql/**/queries.sql         →  Dialect       the same names, in the words of one database
    a driver's connection      →  Connection    runs them

Everything above speaks these words only, so that one reading, one verification and one writer serve every
database. What differs in more than words (opening, committing, positions) has a file for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

Values = Sequence[Any]
FOLDER: Final = Path(__file__).with_name("sql")
_NAMED: Final = re.compile(r"^-- name: (\w+)\n((?:(?!--).*\n?)+)", re.MULTILINE)


class Dialect(NamedTuple):
    """The words of one database. In all of them a question mark stands for a value."""

    folder: Path
    sql: Mapping[str, str]
    """Every named statement."""
    elements: str
    """A table with the column `value`: the texts of the JSON array that stands for `{}`."""
    waiting: str
    """The number of waiting tasks in the column `counts`, which is JSON."""

    def migrations(self) -> list[str]:
        """Return the migrations in order; the schema's version is their number."""
        return [path.read_text() for path in sorted((self.folder / "migrations").glob("[0-9]*.sql"))]

    def schema(self) -> str:
        """Return the whole present schema."""
        return (self.folder / "schema.sql").read_text()


def dialect(name: str, *, elements: str, waiting: str) -> Dialect:
    """Read a dialect: what every database understands, and what is in its own folder in `sql/`.

    A statement begins at a line `-- name: …` and ends at the next one. Comments above a name belong to the
    reader, not to the statement.
    """
    files = (FOLDER / "queries.sql", FOLDER / name / "queries.sql")
    found = [one for path in files for one in _NAMED.findall(path.read_text())]
    sql = {name: body.strip().rstrip(";") for name, body in found}
    return Dialect(FOLDER / name, sql, elements, waiting)


class Rows(Protocol):
    """What a statement brings, to be read once."""

    @property
    def rowcount(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """A connection to the database of a store."""

    @property
    def Error(self) -> type[Exception]:
        """What goes wrong in the database or on the way to it."""

    @property
    def in_transaction(self) -> bool: ...

    @property
    def dialect(self) -> Dialect: ...

    def ask(self, name: str, values: Values = (), /) -> Rows:
        """Run a named statement."""

    def ask_many(self, name: str, rows: Sequence[Values], /) -> None:
        """Run a named statement that writes, for each of these rows."""

    def run(self, sql: str, values: Values = (), /) -> Rows:
        """Run a statement that was put together from those of the dialect."""

    def survives(self, error: Exception, /) -> bool:
        """Tell whether a transaction goes on in which a statement failed so."""

    def overwrite(self, on: bool, /) -> None:
        """Let what is deleted from now on be overwritten and not only forgotten, where the database can."""

    def close(self) -> None: ...


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Commit what is done inside, or nothing of it."""
    connection.ask("begin")
    try:
        yield
        connection.ask("commit")
    except BaseException:
        if connection.in_transaction:
            connection.ask("rollback")
        raise
