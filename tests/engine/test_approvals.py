"""Answers in a real home: with and without an engine on the run, over restarts, and found if changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
import yaml

from runnotary.app.approvals import answering as answering_in
from runnotary.app.intake import StartRequest
from runnotary.app.listing import owner
from runnotary.app.session import LocalSession
from runnotary.app.stores import record_of
from runnotary.core import events as ev
from runnotary.core.chain import run_stream
from runnotary.core.errors import AlreadyDecided, Damaged, InvalidInput, NotWaiting, OwnRequest
from runnotary.core.events import CODES, TaskSignalled
from runnotary.core.hashing import canonical, digest
from runnotary.core.ids import from_text
from runnotary.core.permissions import Who, local_owner
from runnotary.core.profile import Profile
from runnotary.engine.answers import Entitlement
from runnotary.engine.approvals import ApprovalQuery
from runnotary.engine.submission import Submission
from runnotary.store.verify import verify
from tests.database import Rows, rows_of

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
    assert verify(record_of(settings), deep=True).ok
    with pytest.raises(AlreadyDecided):
        within(answering(run))
    document = within(going_on(run))
    assert document["status"] == "success"
    assert (tmp_path / "mark").read_text() == "sent\n"
    assert verify(record_of(settings), deep=True).ok


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
    assert verify(record_of(settings), deep=True).ok


def test_many_at_once_in_one_home_are_one(within: Any, tmp_path: Path) -> None:
    run = begin(within, tmp_path)

    async def work(session: LocalSession) -> list[Any]:
        tries = (session.answer(run, "gate", approve=n % 2 == 0, reason="", seen="") for n in range(20))
        return await asyncio.gather(*tries, return_exceptions=True)

    answers = within(work)
    assert sum(isinstance(one, dict) for one in answers) == 1
    assert sum(isinstance(one, AlreadyDecided) for one in answers) == 19


def test_who_asks_early_and_often_does_not_slip_in_before_the_request_is_written(
    within: Any, tmp_path: Path
) -> None:
    """The engine knows of a request before the store does: what it demands must hold at that moment too."""
    gate = {"approve": {"prompt": "?", "self_approval": False}}
    (tmp_path / "flow.yaml").write_text(
        yaml.safe_dump({"steps": {"a": {"run": "true"}, "gate": {**gate, "needs": ["a"]}}})
    )

    async def work(session: LocalSession) -> None:
        for _ in range(5):
            run = await session.start(StartRequest(cwd=str(tmp_path), target="flow.yaml"))
            while session.home.reader.resolve(run).status != "waiting":
                with pytest.raises(OwnRequest):
                    await session.answer(run, "gate", approve=True, reason="", seen="")
                await asyncio.sleep(0)
            assert session.home.engine.holds(from_text(run))

    within(work)


@pytest.mark.parametrize("reason", ["x" * 1001, "x" * 100_000, "no \udcff text"])
def test_a_reason_that_cannot_be_kept_harms_nobody(within: Any, tmp_path: Path, reason: str) -> None:
    run = begin(within, tmp_path)

    async def work(session: LocalSession) -> Json:
        await session.adopt(run, renew=False)
        with pytest.raises(InvalidInput, match="the reason"):
            await session.answer(run, "gate", approve=True, reason=reason, seen="")
        with pytest.raises(InvalidInput, match="the reason"):
            await session.cancel(run, reason=reason, grace_ms=0, force=False)
        assert session.home.engine.holds(from_text(run)), "the run goes on"
        return await session.answer(run, "gate", approve=True, reason="x" * 1000, seen="")

    assert within(work)["status"] == "approved"


def test_words_that_fill_an_event_harm_nobody_either(within: Any, tmp_path: Path) -> None:
    run = begin(within, tmp_path)
    many = {f"{n:02}" + "n" * 254: "v" * 256 for n in range(64)}

    async def work(session: LocalSession) -> Json:
        await session.adopt(run, renew=False)
        service, by = session.home.service, owner().by
        await service.update(from_text(run), by, {"labels": many})
        with pytest.raises(InvalidInput, match="more than one event holds"):
            await service.update(from_text(run), by, {"labels": dict.fromkeys(many, "w" * 256)})
        assert session.home.engine.holds(from_text(run)), "the run goes on"
        await service.update(from_text(run), by, {"labels": {}})
        created = session.home.reader.ends(session.home.reader.resolve(run)).created
        words = tuple(f"{n:02}" + "t" * 254 for n in range(64))
        people = tuple(f"user:{word[:250]}" for word in words)
        said = {"labels": many, "tags": words, "monitors": people, "managers": people}
        with pytest.raises(InvalidInput, match="more than one event holds"):
            await service.submit(Submission(definition=created.definition, **said), by)
        return await session.answer(run, "gate", approve=True, reason="", seen="")

    assert within(work)["status"] == "approved"


def test_out_of_time_nobody_is_told_that_they_may_answer(within: Any, tmp_path: Path) -> None:
    run = begin(within, tmp_path, timeout="1ms")

    async def work(session: LocalSession) -> Json:
        requests = answering_in(session.home)
        assert requests.listing(owner(), ApprovalQuery(mine=True), limit=50)["approvals"] == []
        return requests.one(owner(), run, "gate")

    request = within(work)
    assert (request["status"], request["may_answer"]) == ("waiting", False)
    assert request["why_not"] == f"the time to answer ended at {request['due_at']}"


def test_a_step_that_asks_several_times_is_not_answered_by_its_name(within: Any, tmp_path: Path) -> None:
    """Sent again, the name would answer the next request: one that nobody has seen."""
    gate = {"approve": "${{ each.value }}?", "for_each": "['EU', 'US']", "max_concurrency": 1}
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump({"steps": {"gate": gate}}))

    async def work(session: LocalSession) -> list[Json]:
        run = await session.start(StartRequest(cwd=str(tmp_path), target="flow.yaml"))
        async for _ in session.changes(run):
            if session.home.reader.resolve(run).status == "waiting":
                break
        await session.answer(run, "gate", approve=True, reason="", seen="")
        with pytest.raises(InvalidInput, match=r"asks several things: name one of gate\[0\], gate\[1\]"):
            await session.answer(run, "gate", approve=True, reason="", seen="")
        found: Json = answering_in(session.home).listing(owner(), ApprovalQuery(run=run), limit=50)
        return [one["status"] for one in found["approvals"]]

    assert within(work) == ["approved", "waiting"]


def test_a_page_reads_what_it_shows_and_no_more(within: Any, tmp_path: Path) -> None:
    """Two hundred requests of 40 kB each are 8 MB, and a page of one is 40 kB."""
    gate = {
        "approve": {
            "prompt": "${{ each.value }}?",
            "show": {"n": "${{ each.value }}", "large": "x" * 40_000},
        },
        "for_each": [str(n) for n in range(200)],
    }
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump({"steps": {"gate": gate}}))

    async def work(session: LocalSession) -> tuple[int, Json]:
        run = await session.start(StartRequest(cwd=str(tmp_path), target="flow.yaml"))
        async for _ in session.changes(run):
            if session.home.reader.resolve(run).status == "waiting":
                break
        read: list[str] = []
        reader, whole = session.home.reader, session.home.reader.value
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(reader, "value", lambda blob: (read.append(blob), whole(blob))[1])
            requests = answering_in(session.home)
            (one,) = requests.listing(owner(), ApprovalQuery(run=run), limit=1)["approvals"]
            requests.listing(owner(), ApprovalQuery(), limit=1)
            requests.one(owner(), run, "gate[7]")
        return len(read), one

    count, one = within(work)
    assert count == 3
    assert (one["task"], one["shown"]) == ("gate[0]", {"n": "0", "large": "x" * 40_000})


def test_a_request_that_cannot_be_looked_at_hides_no_other_and_is_not_approved(
    within: Any, settings: Any, tmp_path: Path
) -> None:
    lost = begin(within, tmp_path, show={"large": "x" * 40_000})
    other = begin(within, tmp_path)

    async def work(session: LocalSession) -> list[Json]:
        reader, whole = session.home.reader, session.home.reader.value

        def value(blob: str) -> Json:
            if blob == digest(canonical({"large": "x" * 40_000})):
                raise Damaged(["these are other bytes"])
            return whole(blob)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(reader, "value", value)
            found: Json = answering_in(session.home).listing(owner(), ApprovalQuery(), limit=50)
            with pytest.raises(Damaged):
                await session.answer(lost, "gate", approve=True, reason="", seen="")
        return [(one["run"], one["may_answer"], one["why_not"]) for one in found["approvals"]]

    why_not = "what it shows cannot be read: these are other bytes"
    assert within(work) == [(lost, False, why_not), (other, True, None)]


def test_the_people_of_a_flow_are_looked_up_once_and_again_when_it_changes() -> None:
    read: list[bytes] = []
    events = [ev.DefinitionChanged("f", "F", "sha256:a", ev.By("user:ana"))]

    class Ledger:
        def head(self, stream: bytes) -> tuple[int, bytes]:
            return len(events), bytes(32)

        def read(self, stream: bytes) -> list[Any]:
            read.append(stream)
            return [SimpleNamespace(event=event) for event in events]

    entitlement = Entitlement(cast(Any, Ledger()), Profile(self_approval=False))
    row = SimpleNamespace(
        id=bytes(16), namespace="default", owner="user:op", created_by="user:op", flow="f",
        definition="sha256:a", monitors=b"[]", managers=b"[]",
    )  # fmt: skip

    def tries(name: str) -> None:
        entitlement.of(cast(Any, row), Who(ev.By(name), local_owner(name)), {})

    for _ in range(3):
        with pytest.raises(OwnRequest):
            tries("user:ana")
        tries("user:bob")
    assert len(read) == 1
    events.append(ev.DefinitionChanged("f", "F", "sha256:a", ev.By("user:bob"), version="2"))
    with pytest.raises(OwnRequest):
        tries("user:bob")
    assert len(read) == 2


# --- what was decided cannot be changed afterwards ------------------------------------------------------


def test_one_byte_of_a_decision_is_found_and_named(within: Any, settings: Any, tmp_path: Path) -> None:
    run = begin(within, tmp_path)
    within(answering(run))
    within(going_on(run))
    with rows_of(settings.home) as connection:
        decision_changed(connection, settings, run)


def decision_changed(connection: Rows, settings: Any, run: str) -> None:
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
            report = verify(record_of(settings))
            said = " ".join(str(finding) for finding in report.findings)
            assert f"#{seq}" in said, (column, at, said)
        connection.execute(change.format(column), (data, run_stream(from_text(run)), seq))
    assert verify(record_of(settings), deep=True).ok
    for column, value in (("status", "failed"), ("reason", "denied"), ("error", "{}")):
        (was,) = connection.execute(f"SELECT {column} FROM tasks WHERE key = 'gate'").fetchone()
        connection.execute(f"UPDATE tasks SET {column} = ? WHERE key = 'gate'", (value,))
        report = verify(record_of(settings), deep=True)
        assert any("gate" in str(finding) for finding in report.findings), column
        connection.execute(f"UPDATE tasks SET {column} = ? WHERE key = 'gate'", (was,))
    assert verify(record_of(settings), deep=True).ok
