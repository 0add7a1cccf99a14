"""Answers in a real home: with and without an engine on the run, over restarts, and found if changed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from runnotary.app.intake import StartRequest
from runnotary.app.session import LocalSession
from runnotary.core.chain import run_stream
from runnotary.core.errors import AlreadyDecided, NotWaiting
from runnotary.core.events import CODES, TaskSignalled
from runnotary.core.ids import from_text
from runnotary.store.verify import verify

T = TypeVar("T")
Json = Any
FLOW = {
    "flow": "asking",
    "steps": {
        "make": {"run": "echo total > report.txt", "files": ["report.txt"]},
        "gate": {"approve": {"prompt": "Publish?", "show": ["steps.make.files['report.txt']"]}},
        "send": {"run": "echo sent >> $MARK", "env": {"MARK": "unset"}, "needs": ["gate"]},
    },
}


@pytest.fixture
def within(settings: Any, tmp_path: Path) -> Callable[[Callable[[LocalSession], Awaitable[T]]], T]:
    """Return a function that does something with an engine that lives for so long."""

    def run(work: Callable[[LocalSession], Awaitable[T]]) -> T:
        async def whole() -> T:
            session = await LocalSession.open(settings)
            try:
                return await work(session)
            finally:
                await session.close()

        return asyncio.run(asyncio.wait_for(whole(), 60))

    return run


def begin(within: Any, tmp_path: Path, **approve: Any) -> str:
    """Start a run; when this returns it asks, and no engine is there any more."""
    gate = {"approve": FLOW["steps"]["gate"]["approve"] | approve}  # type: ignore[index]
    document = FLOW | {"steps": FLOW["steps"] | {"gate": gate}}  # type: ignore[operator]
    document["steps"]["send"]["env"] = {"MARK": str(tmp_path / "mark")}
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    async def work(session: LocalSession) -> str:
        run = await session.start(StartRequest(cwd=str(tmp_path), target="flow.yaml"))
        async for _ in session.changes(run):
            if session.home.reader.resolve(run).status == "waiting":
                break
        return run

    return str(within(work))


def answering(run: str, *, approve: bool = True, seen: str = "") -> Callable[[LocalSession], Awaitable[Json]]:
    async def work(session: LocalSession) -> Json:
        done = await session.answer(run, "gate", approve=approve, reason="because", seen=seen)
        assert not session.home.engine.holds(from_text(run)), "an answer is no reason to go on"
        return done

    return work


def going_on(run: str) -> Callable[[LocalSession], Awaitable[Json]]:
    async def work(session: LocalSession) -> Json:
        await session.adopt(run, renew=False)
        async for _ in session.changes(run):
            pass
        return session.home.reader.document(session.home.reader.resolve(run))

    return work


def test_an_answer_without_an_engine_on_the_run_is_kept_and_starts_nothing(
    within: Any, settings: Any, tmp_path: Path
) -> None:
    run = begin(within, tmp_path)
    done = within(answering(run))
    assert done["status"] == "approved"
    assert not (tmp_path / "mark").exists()
    assert verify(settings.home, deep=True).ok
    with pytest.raises(AlreadyDecided):
        within(answering(run))
    document = within(going_on(run))
    assert document["status"] == "success"
    assert (tmp_path / "mark").read_text() == "sent\n"
    assert verify(settings.home, deep=True).ok


def test_a_refusal_without_an_engine_fails_the_run_once_one_comes(within: Any, tmp_path: Path) -> None:
    run = begin(within, tmp_path)
    within(answering(run, approve=False))
    document = within(going_on(run))
    assert (document["status"], document["reason"]) == ("failed", "denied")
    assert not (tmp_path / "mark").exists()


def test_time_goes_by_without_an_engine(within: Any, settings: Any, tmp_path: Path) -> None:
    run = begin(within, tmp_path, timeout="1ms")
    with pytest.raises(NotWaiting):
        within(answering(run))
    document = within(going_on(run))
    assert (document["status"], document["reason"]) == ("failed", "timeout")
    assert not (tmp_path / "mark").exists()
    assert verify(settings.home, deep=True).ok


def test_many_at_once_in_one_home_are_one(within: Any, tmp_path: Path) -> None:
    run = begin(within, tmp_path)

    async def work(session: LocalSession) -> list[Any]:
        tries = (session.answer(run, "gate", approve=n % 2 == 0, reason="", seen="") for n in range(20))
        return await asyncio.gather(*tries, return_exceptions=True)

    answers = within(work)
    assert sum(isinstance(one, dict) for one in answers) == 1
    assert sum(isinstance(one, AlreadyDecided) for one in answers) == 19


# --- what was decided cannot be changed afterwards ------------------------------------------------------


def test_one_byte_of_a_decision_is_found_and_named(within: Any, settings: Any, tmp_path: Path) -> None:
    run = begin(within, tmp_path)
    within(answering(run))
    within(going_on(run))
    connection = sqlite3.connect(settings.home / "runnotary.db", isolation_level=None)
    rows = connection.execute(
        "SELECT seq, envelope, body FROM events WHERE stream = ?", (run_stream(from_text(run)),)
    ).fetchall()
    code = CODES[TaskSignalled][0].to_bytes(2, "big")
    ((seq, envelope, body),) = [row for row in rows if row[1][24:26] == code]
    assert b'"approved"' in body and b"because" in body
    change = "UPDATE events SET {} = ? WHERE stream = ? AND seq = ?"
    for column, data in (("body", body), ("envelope", envelope)):
        for at in range(len(data)):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            connection.execute(change.format(column), (changed, run_stream(from_text(run)), seq))
            report = verify(settings.home)
            said = " ".join(str(finding) for finding in report.findings)
            assert f"#{seq}" in said, (column, at, said)
        connection.execute(change.format(column), (data, run_stream(from_text(run)), seq))
    assert verify(settings.home, deep=True).ok
    for column, value in (("status", "failed"), ("reason", "denied"), ("error", "{}")):
        (was,) = connection.execute(f"SELECT {column} FROM tasks WHERE key = 'gate'").fetchone()
        connection.execute(f"UPDATE tasks SET {column} = ? WHERE key = 'gate'", (value,))
        report = verify(settings.home, deep=True)
        assert any("gate" in str(finding) for finding in report.findings), column
        connection.execute(f"UPDATE tasks SET {column} = ? WHERE key = 'gate'", (was,))
    connection.close()
    assert verify(settings.home, deep=True).ok
