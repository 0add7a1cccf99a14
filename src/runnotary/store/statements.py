"""The SQL of the store: read once from `sql/`, handed out by name.

A statement begins at a line `-- name: …` and ends at the next one. Comments above a name belong to the
reader, not to the statement.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("sql")
_NAMED: Final = re.compile(r"^-- name: (\w+)\n((?:(?!--).*\n?)+)", re.MULTILINE)
_STRICT_SINCE: Final = (3, 37)


def _load(path: Path) -> dict[str, str]:
    return {name: text.strip().rstrip(";") for name, text in _NAMED.findall(path.read_text())}


SQL: Final = _load(FOLDER / "queries.sql")
"""Every named statement."""


def migrations(folder: Path = FOLDER / "migrations") -> list[str]:
    """Return the migrations in order; the schema's version is their number."""
    return [portable(path.read_text()) for path in sorted(folder.glob("[0-9]*.sql"))]


def schema() -> str:
    """Return the whole present schema."""
    return portable((FOLDER / "schema.sql").read_text())


def portable(sql: str) -> str:
    """Take away what an old SQLite cannot read: STRICT came with 3.37."""
    if sqlite3.sqlite_version_info >= _STRICT_SINCE:
        return sql
    return sql.replace(" WITHOUT ROWID, STRICT;", " WITHOUT ROWID;").replace(") STRICT;", ");")
