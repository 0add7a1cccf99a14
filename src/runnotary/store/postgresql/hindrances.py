"""Why a commit did not take place, and what that means: try it again as a whole, or what to refuse it as."""

from __future__ import annotations

import random
import time
from typing import Final

import psycopg

from runnotary.core.errors import Unreachable
from runnotary.ports import Append, Refusal
from runnotary.store.streams import Unplaced, away, failed, unwritten

GIVEN_UP: Final = "RN001"
REPLACED: Final = "RN002"
OVERTAKEN: Final = "RN003"
NOT_ALONE: Final = "RN004"
"""What the functions of the schema say that guard a commit."""

PAUSE_SECONDS: Final = 0.02


class GivenUp(Exception):
    """This server was given up while it was away."""


def passes(error: psycopg.Error) -> bool:
    """Tell whether a commit failed because of what others did just then: it may stand a moment later."""
    if error.sqlstate in (REPLACED, OVERTAKEN, NOT_ALONE):
        return True
    if isinstance(error, psycopg.errors.UniqueViolation):  # another server was there first
        return error.diag.table_name in ("events", "log")
    return isinstance(error, psycopg.OperationalError)  # a deadlock, a lock, a restart, a cut connection


def refusal(append: Append, error: Exception) -> Refusal:
    """Return what it means that an append could not be written, alone."""
    said = str(error) or type(error).__name__
    if isinstance(error, GivenUp | Unplaced | psycopg.errors.UniqueViolation):
        return Refusal(append.stream, "conflict", said)
    if isinstance(error, psycopg.OperationalError | Unreachable):
        return away(append, said)
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return failed(append, said)
    return unwritten(append, said)


def given_up(append: Append) -> Refusal:
    """Return the refusal of what a server asked for that was given up."""
    lost = "this server was given up while it was away; others go on with its runs"
    return Refusal(append.stream, "conflict", lost)


def pause(tried: int) -> None:
    """Let others get on, each time for longer."""
    time.sleep(PAUSE_SECONDS * (1 + tried) * random.random())
