"""Audit search: everything that may be seen, once and in order, however small the pages."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from runnotary.config import Settings
from runnotary.core import events as ev
from runnotary.core.chain import run_stream
from runnotary.core.errors import InvalidInput
from runnotary.core.ids import to_text
from runnotary.core.permissions import Role, Who
from runnotary.core.queries import RunQuery
from runnotary.core.sheet import sheet
from runnotary.engine import auditing, cursors
from runnotary.engine.auditing import Auditing, Search
from runnotary.engine.cursors import InvalidCursor
from runnotary.engine.questions import people_of
from runnotary.ports import Change
from tests.database import rows_of
from tests.engine.test_retention import BY, ONE, House, Within, within

__all__ = ["within"]
Json = Any
FORMULAS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
ANA = ev.By("user:ana", "oidc")


def every(place: House, who: Who, asked: Search, run: Any = None) -> list[Json]:
    """Return everything that a search finds, page by page."""
    search, found, cursor = Auditing(place.store, people_of), list[Json](), ""
    while True:
        page = search.search(who, asked, run, cursor)
        found += page["events"]
        cursor = page["next_cursor"]
        if not cursor:
            return found


def places(found: list[Json]) -> list[tuple[int, int]]:
    return [(one["position"], one["seq"]) for one in found]


async def lived(place: House) -> None:
    access, owner = place.home.access, place.home.access.who(BY)
    for name in ("lab", "secret"):
        await access.create_namespace(owner, name, reason=f"for {name}")
    await access.grant(owner, "lab", "user:ana", Role.VIEWER, "=joins the lab")
    await access.create_token(owner, "user:ana", name="n")
    for name in ("lab", "secret", "default"):
        run = await place.ended(ONE, namespace=name, label=name)
        await place.service.update(run, BY, {"label": f"{name} again"})
        await place.service.archive(run, BY, "Old Enough")
    await place.service.purge(await place.ended(ONE, namespace="lab"), BY, "gone")
    await place.service.erase(await place.ended(ONE, namespace="lab"), BY, "erased")


@pytest.mark.parametrize("seconds", [0.0, 60.0])
@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 500])
def test_every_event_once_and_in_order(
    within: Within, monkeypatch: pytest.MonkeyPatch, seconds: float, newest: bool, limit: int
) -> None:
    """Also if a page ends after each single look."""
    monkeypatch.setattr(auditing, "SECONDS", seconds)

    async def work(place: House) -> None:
        await lived(place)
        owner = place.home.access.who(BY)
        there = sorted(
            (change.pos, entry.seq)
            for change in place.store.feed(0)
            for entry in place.store.read(change.stream, change.from_seq - 1)
            if entry.seq <= change.seq
        )
        found = every(place, owner, Search(newest=newest, limit=limit))
        assert places(found) == (there[::-1] if newest else there)
        assert all("salt" not in one["details"].get("data", {}) for one in found)
        assert all("hash" not in (one["set"] or {}) for one in found)
        told = json.dumps(found)
        assert place.store.home_salt().hex() not in told
        assert not [token for token in place.home.access.refresh().tokens.values() if token.hash in told]

    assert within(work).ok


def test_who_sees_what(within: Within) -> None:
    async def work(place: House) -> None:
        await lived(place)
        access = place.home.access
        ana, nobody = access.who(ANA), access.who(ev.By("user:nobody", "oidc"))
        assert every(place, nobody, Search()) == []
        seen = every(place, ana, Search())
        assert {one["namespace"] for one in seen} == {"lab"}
        assert {one["what"].partition(".")[0] for one in seen} == {"run", "task", "stream"}
        assert [one["why"] for one in seen if one["what"] == "stream.erased"] == ["erased", "gone"]
        await access.grant(access.who(BY), "lab", "user:bob", Role.ADMIN, "runs the lab")
        bob = access.who(ev.By("user:bob", "oidc"))
        changes = every(place, bob, Search(what=("access", "engine", "key")))
        assert {(one["what"], one["namespace"]) for one in changes} == {("access.changed", "lab")}
        assert {one["why"] for one in changes} == {"for lab", "=joins the lab", "runs the lab"}
        owner = access.who(BY)
        told = {one["what"] for one in every(place, owner, Search(namespace="*"))}
        assert told == {"access.changed"}
        assert {"engine.noted", "key.changed"} <= {one["what"] for one in every(place, owner, Search())}

    assert within(work).ok


def test_who_what_when_why(within: Within) -> None:
    async def work(place: House) -> None:
        await lived(place)
        owner = place.home.access.who(BY)

        def what(**words: Any) -> list[str]:
            return [one["what"] for one in every(place, owner, Search(**words))]

        assert what(why="old ENOUGH") == ["run.annotated"] * 3
        assert what(why="joins") == ["access.changed"]
        assert set(what(who="engine", what=("run",))) == {"run.finished"}
        assert set(what(what=("run.updated", "access"))) == {"run.updated", "access.changed"}
        assert what(who="user:somebody") == [] and what(why="never") == []
        row = next(row for row in place.store.runs(auditing_query()) if row.label == "lab again")
        of_run = every(place, owner, Search(run=to_text(row.id)), row)
        assert {one["run"] for one in of_run} == {to_text(row.id)} and len(of_run) == row.seq
        (updated,) = [one for one in of_run if one["what"] == "run.updated"]
        assert updated["was"] == {"label": "lab"} and updated["set"] == {"label": "lab again"}
        times = sorted(one["time"] for one in every(place, owner, Search()))
        assert times == sorted(times)
        assert what(since=2**60) == [] and what(until=1) == []
        with pytest.raises(InvalidInput, match="no event run.udated".replace(".", r"\.")):
            what(what=("run.udated",))

    assert within(work).ok


def test_only_what_nobody_is_told_is_left_out(within: Within) -> None:
    async def work(place: House) -> None:
        said = {"hash": "sha256:00", "salt": "a pinch", "deep": {"hash": 1}}
        flow = {"inputs": {"said": {"type": "object"}}, "steps": {"a": {"run": "true"}}}
        await place.ended(flow, inputs={"said": said}, labels={"hash": "x"})
        (created,) = every(place, place.home.access.who(BY), Search(what=("run.created",)))
        assert created["details"]["inputs"] == {"said": said}
        assert created["details"]["labels"] == {"hash": "x"}

    assert within(work).ok


def auditing_query() -> RunQuery:
    return RunQuery(include_archived=True)


def test_a_cursor_is_of_one_search(within: Within) -> None:
    async def work(place: House) -> None:
        await lived(place)
        owner, search = place.home.access.who(BY), Auditing(place.store, people_of)
        cursor = search.search(owner, Search(limit=2), None)["next_cursor"]
        assert search.search(owner, Search(limit=5), None, cursor)["events"]
        for other in (Search(who="user:ana"), Search(newest=False), Search(what=("run",)), Search(why="x")):
            with pytest.raises(InvalidCursor):
                search.search(owner, other, None, cursor)

    assert within(work).ok


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize(
    "forged", [[2**70, 1], [2**63, 0], [-1, 1], [1, -1], [1, 2**64], [1], [1, 2, 3], ["1", 1]]
)
def test_a_cursor_of_nowhere_is_refused(within: Within, forged: Json, newest: bool) -> None:
    async def work(place: House) -> None:
        asked = Search(newest=newest)
        with pytest.raises(InvalidCursor):
            Auditing(place.store, people_of).search(
                place.home.access.who(BY), asked, None, cursors.cursor(asked.listing, forged)
            )

    assert within(work).ok


def test_what_stands_before_a_damage_is_told(within: Within, settings: Settings) -> None:
    """Of the last commit of a run the last event is damaged, and the one before it is told."""
    ends: list[Change] = []

    async def work(place: House) -> None:
        run = run_stream(await place.ended(ONE))
        ends.extend(change for change in place.store.feed(0) if change.stream == run)

    async def look(place: House) -> None:
        last = ends[-1]
        assert last.from_seq < last.seq
        owner = place.home.access.who(BY)
        for newest in (True, False):
            found = places(every(place, owner, Search(newest=newest)))
            assert (last.pos, last.seq) not in found and (last.pos, last.seq - 1) in found

    assert within(work).findings == ()
    with rows_of(settings.home) as connection:
        where = (ends[-1].stream, ends[-1].seq)
        connection.execute("UPDATE events SET body = NULL WHERE stream = ? AND seq = ?", where)
    assert {one.code for one in within(look).findings} == {"missing_body"}


def test_no_cell_is_a_formula_and_every_cell_comes_back() -> None:
    rows = [
        {"a": text, "b": {"x": [1, None]}, "c": None}
        for text in (
            *(f"{letter}x" for letter in FORMULAS),
            *("'=x", "'", "''x", 'a "quoted", one', "two\r\nlines", "", "plain"),
        )
    ]
    text = sheet(("a", "b", "c"), rows)
    head, *read = csv.reader(io.StringIO(text, newline=""))
    assert head == ["a", "b", "c"]
    for row, (a, b, c) in zip(rows, read, strict=True):
        assert not a.startswith(tuple(FORMULAS))
        assert a.removeprefix("'") == row["a"] and b == '{"x":[1,null]}' and c == ""
    assert sheet(("a",), [], head=False) == ""
