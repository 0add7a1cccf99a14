"""What happens to a run after its end: words, archive, hold, purge, sweeps; and what `verify` says then."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runnotary.app.home import Embedded
from runnotary.app.moving import place_of
from runnotary.app.stores import record_of
from runnotary.config import Settings
from runnotary.core import definition
from runnotary.core import events as ev
from runnotary.core.chain import ledger_stream, run_stream
from runnotary.core.definition import Words
from runnotary.core.errors import (
    BlobNotFound,
    Changed,
    Conflict,
    Held,
    InvalidInput,
    InvalidRunInput,
    KeyReused,
    NotEnded,
    RunNotFound,
)
from runnotary.core.hashing import digest, digest_bytes
from runnotary.core.queries import RunQuery
from runnotary.core.states import TERMINAL
from runnotary.core.trees import Entry, manifest
from runnotary.engine import retention
from runnotary.engine.service import Submission
from runnotary.ports import Unnamed
from runnotary.store import backup
from runnotary.store.verify import Report, verify
from tests.database import places_of, rows_of

Json = Any
BY = ev.By("user:test")
OTHER = ev.By("user:other")
PATIENCE_S = 60
HOUR_US = 3_600_000_000
ONE = {"steps": {"only": {"run": "true"}}}
SLOW = {"steps": {"only": {"run": "sleep 30", "grace": "100ms"}}}


class House:
    """A home with an engine, and short words for what is done in it."""

    def __init__(self, home: Embedded) -> None:
        self.home = home
        self.store, self.service, self.blobs = home.store, home.service, home.blobs

    def keep(self, document: Json) -> str:
        return self.blobs.put(definition.define(document).canonical)

    async def start(self, document: Json, by: ev.By = BY, **said: Any) -> bytes:
        keyed = {name: said.pop(name) for name in ("key", "body") if name in said}
        run, _ = await self.service.submit(Submission(definition=self.keep(document), **said), by, **keyed)
        return run

    async def ended(self, document: Json, by: ev.By = BY, **said: Any) -> bytes:
        run = await self.start(document, by, **said)
        await self.home.engine.ended(run)
        return run

    def types(self, run: bytes) -> list[str]:
        return [ev.NAMES[type(record.event)] for record in self.store.read(run_stream(run))]

    def listed(self, **filters: Any) -> set[bytes]:
        return {row.id for row in self.store.runs(RunQuery(**filters))}


@asynccontextmanager
async def house(settings: Settings) -> AsyncIterator[House]:
    home = Embedded(settings)
    try:
        yield House(home)
    finally:
        await home.close()


@pytest.fixture
def within(settings: Settings) -> Callable[[Callable[[House], Awaitable[None]]], Report]:
    """Return a function that does something in a home and verifies it afterwards, every blob included."""

    def run(work: Callable[[House], Awaitable[None]]) -> Report:
        async def whole() -> None:
            async with house(settings) as place:
                await work(place)

        asyncio.run(asyncio.wait_for(whole(), PATIENCE_S))
        return verify(record_of(settings), deep=True)

    return run


Within = Callable[[Callable[[House], Coroutine[Any, Any, None]]], Report]


# --- words -------------------------------------------------------------------------------------------


def test_words_change_while_a_run_goes_on_and_after_its_end(within: Within) -> None:
    async def work(place: House) -> None:
        going = await place.start(SLOW)
        over = await place.ended(ONE, label="before", tags=("a",))
        for run in (going, over):
            await place.service.update(
                run, BY, {"label": "after", "tags": ["b", "c"], "managers": ["user:m"]}
            )
            row = place.store.run(run)
            assert row is not None
            assert (row.label, row.tags, row.managers) == ("after", '["b","c"]', '["user:m"]')
        assert place.types(over)[-2:] == ["run.finished", "run.updated"]
        length = place.store.head(run_stream(over))[0]
        await place.service.update(over, BY, {"label": "after"})
        assert place.store.head(run_stream(over))[0] == length, "what is so already is no event"
        await place.service.cancel(going, BY)
        await place.home.engine.ended(going)

    assert within(work).findings == ()


def test_an_update_that_looked_too_long_ago_is_refused(within: Within) -> None:
    async def work(place: House) -> None:
        for document in (ONE, SLOW):
            run = await (place.ended if document is ONE else place.start)(document)
            seen = place.store.head(run_stream(run))[0]
            await place.service.update(run, BY, {"label": "first"}, if_seq=seen)
            with pytest.raises(Changed):
                await place.service.update(run, BY, {"label": "second"}, if_seq=seen)
        await place.service.cancel(run, BY)
        await place.home.engine.ended(run)

    assert within(work).ok


@pytest.mark.parametrize(
    "change",
    [
        {"status": "success"},
        {"label": 7},
        {"tags": "abc"},
        {"labels": {"a": 1}},
        {"label": "x" * 300},
        {"tags": ["\n"]},
        {"monitors": [f"user:{n}" for n in range(100)]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_said_of_a_run_is_refused(within: Within, change: Json) -> None:
    async def work(place: House) -> None:
        run = await place.ended(ONE)
        with pytest.raises(InvalidInput):
            await place.service.update(run, BY, change)
        assert place.types(run)[-1] == "run.finished"

    assert within(work).ok


def test_many_who_change_and_cancel_at_once_see_one_history(within: Within) -> None:
    """Half of the commands meet a run at its end: each is applied once, or refused for a reason."""

    async def one(place: House, number: int) -> None:
        run = await place.start({"steps": {"only": {"run": f"sleep 0.{number}"}}})
        tags = [{"tags": [str(n)]} for n in range(8)]

        async def cancel() -> None:
            await asyncio.sleep(number / 10)
            try:
                await place.service.cancel(run, BY)
            except Conflict:
                row = place.store.run(run)
                assert row is not None and row.status in TERMINAL

        async def update(change: Json) -> None:
            await asyncio.sleep(number / 10)
            await place.service.update(run, BY, change)

        await asyncio.gather(*[update(change) for change in tags], cancel(), cancel())
        await place.home.engine.ended(run)
        was: Json = []
        for record in place.store.read(run_stream(run)):
            if isinstance(record.event, ev.RunUpdated):
                assert record.event.was["tags"] == was
                was = record.event.set["tags"]
        assert place.types(run).count("run.updated") == 8
        assert place.types(run).count("run.finished") == 1

    async def work(place: House) -> None:
        await asyncio.gather(*[one(place, number) for number in range(4)])

    assert within(work).findings == ()


# --- archive and hold --------------------------------------------------------------------------------


def test_an_archived_run_leaves_the_lists_and_comes_back(within: Within) -> None:
    async def work(place: House) -> None:
        run, other = await place.ended(ONE), await place.ended(ONE)
        await place.service.archive(run, BY, "old")
        await place.service.archive(run, BY, "again")
        assert place.listed() == {other}
        assert place.listed(include_archived=True) == {run, other}
        assert place.types(run)[-1:] == ["run.annotated"] and place.types(run).count("run.annotated") == 1
        row = place.store.run(run)
        assert row is not None and row.archived_at is not None
        *_, last = place.store.read(run_stream(run))
        assert isinstance(last.event, ev.RunAnnotated)
        assert (last.event.kind, last.event.by, last.event.reason) == ("archived", BY, "old")
        await place.service.unarchive(run, BY)
        assert place.listed() == {run, other}

    assert within(work).findings == ()


def test_a_run_that_goes_on_is_neither_archived_nor_purged(within: Within) -> None:
    async def work(place: House) -> None:
        run = await place.start(SLOW)
        for refused in (place.service.archive, place.service.purge):
            with pytest.raises(NotEnded):
                await refused(run, BY)
        await place.service.cancel(run, BY)
        await place.home.engine.ended(run)

    assert within(work).ok


def test_a_hold_protects_from_purge_and_sweep_until_it_is_released(within: Within) -> None:
    async def work(place: House) -> None:
        run, other = await place.ended(ONE), await place.ended(ONE)
        await place.service.hold(run, BY, "inspection")
        with pytest.raises(Held, match="inspection"):
            await place.service.purge(run, BY)
        assert await place.service.sweep(RunQuery(), BY, action="purge") == [other]
        assert place.listed() == {run}
        await place.service.release_hold(run, BY)
        await place.service.purge(run, BY)
        assert place.listed() == set()

    assert within(work).findings == ()


def test_a_run_that_goes_on_can_be_held(within: Within) -> None:
    async def work(place: House) -> None:
        run = await place.start(SLOW)
        await place.service.hold(run, BY)
        await place.service.cancel(run, BY)
        await place.home.engine.ended(run)
        with pytest.raises(Held, match="no reason given"):
            await place.service.purge(run, BY)

    assert within(work).findings == ()


def test_words_that_look_like_a_file_name_none(within: Within) -> None:
    """Whoever may start a run could else make `verify` miss what never was."""
    words = {"$file": digest(b"never was")}

    async def work(place: House) -> None:
        run = await place.ended(ONE, labels=words, source=words)
        await place.service.update(run, BY, {"labels": {"$dir": digest(b"nor this")}})
        metric = f'echo \'{{"metric": {{"$file": "{digest(b"never was")}"}}}}\' >> "$RUNNOTARY_REPORT"'
        await place.ended({"steps": {"only": {"run": metric}}})

    assert within(work).findings == ()


@pytest.mark.parametrize("mark", ["$file", "$dir"])
@pytest.mark.parametrize("whole", [True, False], ids=["in CEL", "as it stands"])
def test_an_expression_makes_up_no_file(within: Within, mark: str, whole: bool) -> None:
    async def work(place: House) -> None:
        never = digest(b"never was")
        said: Json = (
            f"[{{'{mark}': '{never}', 'name': 'x', 'size': 1}}]" if whole else {"deep": [{mark: never}]}
        )
        run = await place.ended({"steps": {"only": {"set": {"x": said}}}})
        row = place.store.run(run)
        assert row is not None and row.status == "failed" and f"{never} is no file" in row.error

    assert within(work).findings == ()


def test_an_expression_passes_on_the_files_that_it_sees(within: Within) -> None:
    takes: Json = {
        "inputs": {"given": {"type": "object"}},
        "steps": {
            "make": {"run": "echo made > made.txt", "files": ["made.txt"]},
            "both": {"set": {"x": "[inputs.given, steps.make.files['made.txt']]"}},
            "each": {
                "for_each": "steps.both.values.x",
                "set": {"x": {"deep": ["${{ each.value }}", "${{ inputs.given }}"]}},
            },
        },
    }

    async def work(place: House) -> None:
        given = {"$file": place.blobs.put(b"given"), "name": "g", "size": 5}
        run = await place.ended(takes, inputs={"given": given})
        row = place.store.run(run)
        assert row is not None and row.status == "success", row.error

    assert within(work).findings == ()


@pytest.mark.parametrize(
    "said",
    [
        {"deep": [{"$file": digest(b"never was"), "name": "x", "size": 1}]},
        {"$dir": digest(b"never was"), "name": "x", "size": 1},
        {"$dir": digest(b"no tree"), "name": "x", "size": 1},
        {"$dir": digest(manifest([Entry("x", digest(b"never was"), 1, False)])), "name": "x", "size": 1},
    ],
    ids=["nested", "missing", "no tree", "hollow tree"],
)
def test_an_input_that_is_not_here_begins_no_run(within: Within, said: Json) -> None:
    takes: Json = {"inputs": {"given": {"type": "object"}}, "steps": {"only": {"set": {"x": "1"}}}}

    async def work(place: House) -> None:
        place.blobs.put(b"no tree")
        place.blobs.put(manifest([Entry("x", digest(b"never was"), 1, False)]))
        with pytest.raises(InvalidRunInput, match=r"is not here|is no folder"):
            await place.start(takes, inputs={"given": said})
        assert place.listed() == set()

    assert within(work).findings == ()


# --- purge -------------------------------------------------------------------------------------------

MAKES: Json = {
    "steps": {
        "make": {
            "run": 'echo "$name of mine" > small.txt; head -c 40000 /dev/zero | tr "\\0" "$name" > large.bin',
            "with": {"name": "${{ inputs.name }}"},
            "files": ["small.txt", "large.bin"],
        }
    },
    "inputs": {"name": {"type": "string"}},
}


def test_a_purge_takes_all_that_only_this_run_had_and_leaves_its_tombstone(
    within: Within, settings: Settings
) -> None:
    gone = [digest(b"a of mine\n"), digest(b"a" * 40000)]
    stay = [digest(b"b of mine\n"), digest(b"b" * 40000)]

    async def work(place: House) -> None:
        run = await place.ended(MAKES, inputs={"name": "a"}, key="mine")
        other = await place.ended(MAKES, inputs={"name": "b"})
        twin = await place.ended(MAKES, inputs={"name": "b"})
        assert all(map(place.blobs.has, gone + stay))
        length, head = place.store.head(run_stream(run))
        await place.service.purge(run, OTHER, "asked to")
        await place.service.purge(twin, BY)
        assert place.store.run(run) is None and place.store.tasks(run) == []
        assert list(place.store.read(run_stream(run))) == []
        assert place.store.keyed("user:test", "mine") is None
        assert place.listed(include_archived=True) == {other}
        assert [place.blobs.has(blob) for blob in gone + stay] == [False, False, True, True]
        *_, first, _ = place.store.read(ledger_stream("default"))
        tombstone = first.event
        assert isinstance(tombstone, ev.StreamErased)
        assert (tombstone.length, tombstone.head) == (length, head.hex())
        assert (tombstone.by, tombstone.reason) == (OTHER, "asked to")
        for refused in (place.service.purge, place.service.archive, place.service.hold):
            with pytest.raises(RunNotFound):
                await refused(run, BY)

    report = within(work)
    assert report.findings == ()
    assert report.checked["purged"] == 2 and report.checked["runs"] == 1
    assert any("2 runs were purged" in said for said in report.not_proven)
    told = [re.fullmatch(r"run/\w{26}: all \d+ events purged \S+ by (.+)", one) for one in report.erasures]
    assert [one and one[1] for one in told] == [f"{OTHER.principal}: asked to", BY.principal]
    assert set(report.erasures) <= set(report.not_proven)
    assert places_of(settings.home, "a of mine") == [], "what goes is overwritten"
    assert places_of(settings.home, "b of mine") in (["runnotary.db"], ["blobs"])


@pytest.mark.parametrize("remembered", [retention.REMEMBERED, 0])
def test_a_definition_goes_with_its_last_run_and_is_there_again_when_it_is_put_again(
    within: Within, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr(retention, "REMEMBERED", remembered)

    async def work(place: House) -> None:
        meant = digest(definition.define(ONE).canonical)
        first, second = await place.ended(ONE), await place.ended(ONE)
        await place.service.purge(first, BY)
        assert place.blobs.has(meant)
        await place.service.purge(second, BY)
        assert not place.blobs.has(meant)
        with pytest.raises(BlobNotFound):
            await place.service.submit(Submission(definition=meant), BY)
        assert place.listed() == set()
        await place.ended(ONE)
        assert place.blobs.has(meant)

    assert within(work).findings == ()


def test_a_registered_definition_stays(within: Within) -> None:
    async def work(place: House) -> None:
        run = await place.ended(ONE, words=Words(flow="kept"))
        await place.service.purge(run, BY)
        assert place.blobs.has(digest(definition.define(ONE).canonical))

    assert within(work).findings == ()


def test_directories_and_large_values_keep_what_they_name(within: Within) -> None:
    """A file in the tree of one run is a plain output of another; both ways round."""
    tree = {
        "steps": {
            "make": {
                "run": "mkdir out; echo shared > out/file.txt; echo own > out/own.txt",
                "dirs": ["out"],
            }
        }
    }
    plain = {"steps": {"make": {"run": "echo shared > file.txt", "files": ["file.txt"]}}}

    async def work(place: House) -> None:
        shared, own = digest(b"shared\n"), digest(b"own\n")
        first, second = await place.ended(tree), await place.ended(plain)
        row = place.store.run(first)
        assert row is not None and row.status == "success", row
        await place.service.purge(second, BY)
        assert place.blobs.has(shared) and place.blobs.has(own)
        await place.service.purge(first, BY)
        assert not place.blobs.has(shared) and not place.blobs.has(own)

    assert within(work).findings == ()


def test_what_somebody_is_about_to_name_stays(within: Within) -> None:
    """Bytes that were put again after the run's end, and are in no event yet."""

    async def work(place: House) -> None:
        run = await place.ended(MAKES, inputs={"name": "a"})
        place.blobs.put(b"a of mine\n")
        await place.service.purge(run, BY)
        assert place.blobs.has(digest(b"a of mine\n"))

    assert within(work).findings == ()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_in_whatever_order_the_last_one_takes_what_all_named(within: Within, order: tuple[int, ...]) -> None:
    async def work(place: House) -> None:
        runs = [await place.ended(MAKES, inputs={"name": "a"}) for _ in range(3)]
        blobs = [digest(b"a of mine\n"), digest(b"a" * 40000), digest(definition.define(MAKES).canonical)]
        for number in order:
            assert all(map(place.blobs.has, blobs))
            await place.service.purge(runs[number], BY)
        assert not any(map(place.blobs.has, blobs))

    assert within(work).findings == ()


def test_a_sweep_takes_what_all_its_runs_named(within: Within) -> None:
    async def work(place: House) -> None:
        for _ in range(3):
            await place.ended(MAKES, inputs={"name": "a"})
        await place.service.sweep(RunQuery(), BY, action="purge")
        assert not place.blobs.has(digest(b"a" * 40000))
        assert not place.blobs.has(digest(definition.define(MAKES).canonical))

    assert within(work).findings == ()


TREE: Json = {
    "steps": {
        "make": {
            "run": "mkdir out; echo shared > out/file.txt",
            "dirs": ["out"],
        }
    }
}
PLAIN: Json = {"steps": {"make": {"run": "echo shared > file.txt", "files": ["file.txt"]}}}


@pytest.mark.parametrize("together", [1, 64])
@pytest.mark.parametrize("documents", [(TREE, PLAIN), (PLAIN, TREE)], ids=["tree first", "file first"])
def test_a_sweep_leaves_what_is_in_a_tree_that_somebody_wants(
    within: Within, monkeypatch: pytest.MonkeyPatch, together: int, documents: tuple[Json, Json]
) -> None:
    """The file is an output of one run, and in the tree of the other."""
    monkeypatch.setattr(retention, "TOGETHER", together)

    async def work(place: House) -> None:
        shared = digest(b"shared\n")
        tree = digest(manifest([Entry("file.txt", shared, 7, False)]))
        for document in documents:
            await place.ended(document)
        assert place.blobs.has(shared) and place.blobs.has(tree)
        place.blobs.want(tree)
        assert len(await place.service.sweep(RunQuery(), BY, action="purge")) == 2
        assert place.blobs.has(tree) and place.blobs.has(shared)

    assert within(work).findings == ()


def test_a_sweep_reads_the_log_once_and_each_blob_goes_with_its_last_run(
    within: Within, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two of its commits a run of it changes, and a new one makes the same as one that goes."""
    monkeypatch.setattr(retention, "TOGETHER", 1)
    a, b, c = (digest(name * 40000) for name in (b"a", b"b", b"c"))

    async def work(place: House) -> None:
        names = ("a", "b", "a", "c", "c")
        runs = [await place.ended(MAKES, inputs={"name": name}) for name in names]
        searches = 0
        steps: list[list[bool]] = []
        unnamed, discard = place.store.unnamed, place.blobs.discard

        def counted(*asked: Any) -> Unnamed:
            nonlocal searches
            searches += 1
            return unnamed(*asked)

        async def discarded(named: Any, unused: Any) -> list[str]:
            gone = await discard(named, unused)
            if not steps:
                await place.service.update(runs[4], BY, {"label": "changed"})
                await place.ended(MAKES, inputs={"name": "b"})
            steps.append([place.blobs.has(blob) for blob in (a, b, c)])
            return gone

        monkeypatch.setattr(place.store, "unnamed", counted)
        monkeypatch.setattr(place.blobs, "discard", discarded)
        assert await place.service.sweep(RunQuery(), BY, action="purge") == runs[:4]
        assert searches == 1
        assert steps == [[True, True, True]] * 2 + [[False, True, True]] * 2

    report = within(work)
    assert report.findings == () and report.checked["purged"] == 4


def test_a_copy_during_which_runs_are_purged_is_given_up(
    within: Within, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The database was copied with a run whose files have gone before they were."""

    async def work(place: House) -> None:
        run = await place.ended(MAKES, inputs={"name": "a"})
        loop, copied = asyncio.get_running_loop(), backup.copy_blobs

        def purged_first(source: Path, target: Path) -> int:
            asyncio.run_coroutine_threadsafe(place.service.purge(run, BY), loop).result(PATIENCE_S)
            return copied(source, target)

        source, target = place_of(place.home.settings), tmp_path / "copy"
        with monkeypatch.context() as patched:
            patched.setattr(backup, "copy_blobs", purged_first)
            with pytest.raises(Conflict, match="purged while the copy was made"):
                await asyncio.to_thread(backup.backup, source, target)
        assert not target.exists()
        await place.ended(MAKES, inputs={"name": "b"})
        assert await asyncio.to_thread(backup.backup, source, target) == 1
        assert verify(target, deep=True).ok

    assert within(work).findings == ()


def test_the_folder_of_a_failed_attempt_goes_with_the_run(within: Within, settings: Settings) -> None:
    async def work(place: House) -> None:
        run = await place.ended({"steps": {"only": {"run": "echo secret > left.txt; exit 1"}}})
        assert list(settings.home.rglob("left.txt"))
        await place.service.purge(run, BY)

    assert within(work).findings == ()
    assert not list(settings.home.rglob("left.txt"))


def test_purges_and_updates_at_once_leave_a_run_or_a_tombstone(within: Within) -> None:
    async def work(place: House) -> None:
        runs = [await place.ended(ONE) for _ in range(8)]

        async def update(run: bytes, number: int) -> bool:
            try:
                await place.service.update(run, BY, {"label": str(number)})
            except (RunNotFound, Conflict):
                return False
            return True

        async def purge(run: bytes) -> bool:
            try:
                await place.service.purge(run, BY)
            except (RunNotFound, Changed):
                return False
            return True

        purged = await asyncio.gather(
            *[purge(run) for run in runs],
            *[update(run, number) for number in range(5) for run in runs],
            *[purge(run) for run in runs],
        )
        left = place.listed()
        for run, first, second in zip(runs, purged[:8], purged[-8:], strict=True):
            assert (first or second) == (run not in left)
            assert not (first and second)

    assert within(work).findings == ()


# --- what verify says of a purge that was none -------------------------------------------------------


def damaged(settings: Settings, *statements: str) -> list[str]:
    with rows_of(settings.home) as connection:
        for statement in statements:
            connection.execute(statement)
    return [finding.code for finding in verify(record_of(settings)).findings]


def test_a_run_that_was_taken_away_without_a_tombstone_is_found(within: Within, settings: Settings) -> None:
    async def work(place: House) -> None:
        await place.service.purge(await place.ended(ONE), BY)
        await place.ended(ONE)

    assert within(work).ok
    taken = ["DELETE FROM events WHERE substr(stream, 1, 1) = x'01'", "DELETE FROM runs", "DELETE FROM tasks"]
    assert damaged(settings, *taken) == ["log", "log"]


def test_a_body_that_is_gone_without_a_tombstone_is_found(within: Within, settings: Settings) -> None:
    async def work(place: House) -> None:
        await place.service.purge(await place.ended(ONE), BY)
        await place.ended(ONE)

    assert within(work).ok
    erased = "UPDATE events SET body = NULL WHERE substr(stream, 1, 1) = x'01' AND seq = 2"
    assert "missing_body" in damaged(settings, erased)


def test_rows_of_a_purged_run_are_found(within: Within, settings: Settings, tmp_path: Path) -> None:
    async def work(place: House) -> None:
        await place.ended(ONE, key="mine")

    async def purge(place: House) -> None:
        (run,) = place.listed()
        await place.service.purge(run, BY)

    assert within(work).ok
    of_runs = " WHERE substr(stream, 1, 1) = x'01'"
    with rows_of(settings.home) as connection:
        before = {
            table: connection.execute(
                f"SELECT * FROM {table}{of_runs if table == 'events' else ''}"
            ).fetchall()
            for table in ("runs", "tasks", "keys", "events")
        }
    assert within(purge).ok

    def put_back(table: str) -> list[str]:
        with rows_of(settings.home) as connection:
            for row in before[table]:
                places = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} VALUES ({places})", row)
        return damaged(settings)

    for table in ("runs", "tasks", "keys"):
        assert put_back(table) == ["row"]
        assert damaged(settings, f"DELETE FROM {table}") == []
    assert "log" in put_back("events")


def test_a_tombstone_of_another_length_is_found(within: Within, settings: Settings) -> None:
    """The log row that the tombstone names is gone from the end: the stream was longer than it says."""

    async def work(place: House) -> None:
        await place.service.purge(await place.ended(ONE), BY)

    assert within(work).ok
    shorter = (
        "UPDATE log SET seq = seq + 1 WHERE pos = (SELECT max(pos) FROM log WHERE substr(stream,1,1) = x'01')"
    )
    assert "log" in damaged(settings, shorter)


# --- sweeps ------------------------------------------------------------------------------------------


def test_a_sweep_takes_what_its_filters_leave_and_shows_it_first(within: Within) -> None:
    async def work(place: House) -> None:
        runs = [await place.ended(ONE, tags=("old",)) for _ in range(3)]
        kept = await place.ended(ONE)
        going = await place.start(SLOW, tags=("old",))
        old = RunQuery(tag=("old",))
        sweep = place.service.sweep
        assert await sweep(old, BY, action="archive", older_than=HOUR_US) == []
        assert await sweep(old, BY, action="archive", dry_run=True) == runs
        assert place.listed() == {*runs, kept, going}
        assert await sweep(old, BY, action="archive", reason="policy") == runs
        assert place.listed() == {kept, going}
        assert await sweep(old, BY, action="archive") == []
        assert await sweep(old, BY, action="purge", dry_run=True) == runs
        assert await sweep(old, BY, action="purge") == runs
        assert place.listed(include_archived=True) == {kept, going}
        await place.service.cancel(going, BY)
        await place.home.engine.ended(going)

    report = within(work)
    assert report.findings == () and report.checked["purged"] == 3


def test_a_sweep_of_many_runs_in_several_namespaces_is_a_few_commits(within: Within) -> None:
    nothing: Json = {"steps": {"only": {"set": {"x": "1"}}}}

    async def work(place: House) -> None:
        await asyncio.gather(*[place.ended(nothing, namespace=f"n{n % 3}") for n in range(150)])
        before = place.store.position()
        assert len(await place.service.sweep(RunQuery(), BY, action="purge")) == 150
        assert place.store.position() - before <= 9
        assert place.listed(include_archived=True) == set()

    report = within(work)
    assert report.findings == () and report.checked["purged"] == 150


# --- keys --------------------------------------------------------------------------------------------


def test_a_key_begins_one_run_however_often_it_is_sent(within: Within) -> None:
    async def work(place: House) -> None:
        meant = place.keep(ONE)

        async def ask(by: ev.By = BY, label: str = "") -> tuple[bytes, bool]:
            return await place.service.submit(Submission(definition=meant, label=label), by, key="once")

        answers = await asyncio.gather(*[ask() for _ in range(40)])
        assert len({run for run, _ in answers}) == 1
        assert sorted(replayed for _, replayed in answers) == [False] + [True] * 39
        with pytest.raises(KeyReused):
            await ask(label="another")
        other, replayed = await ask(OTHER)
        assert not replayed and other != answers[0][0]
        assert len(place.listed()) == 2
        with pytest.raises(InvalidInput):
            await place.service.submit(Submission(definition=meant), BY, key="k" * 300)
        await asyncio.gather(*[place.home.engine.ended(run) for run in place.listed()])

    report = within(work)
    assert report.findings == () and report.checked["keys"] == 2


def test_a_key_outlives_the_engine(within: Within) -> None:
    runs: list[bytes] = []

    async def work(place: House) -> None:
        runs.append(await place.ended(ONE, key="again", body=digest(b"what was asked")))

    within(work)
    within(work)
    assert runs[0] == runs[1]


def test_a_submission_that_fails_uses_up_no_key(within: Within) -> None:
    wants: Json = {"inputs": {"n": {"type": "integer"}}, "steps": {"only": {"run": "true"}}}

    async def work(place: House) -> None:
        with pytest.raises(InvalidInput):
            await place.start(wants, key="k", inputs={"n": "many"}, body=digest(b"1"))
        await place.ended(wants, key="k", inputs={"n": 1}, body=digest(b"2"))

    assert within(work).ok


def test_a_key_of_a_purged_run_is_free_again(within: Within) -> None:
    async def work(place: House) -> None:
        first = await place.ended(ONE, key="k")
        await place.service.purge(first, BY)
        second = await place.ended(ONE, key="k")
        assert first != second

    assert within(work).findings == ()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE keys SET key = 'other'",
        "UPDATE keys SET principal = 'user:other'",
        "UPDATE keys SET body = zeroblob(32)",
        "UPDATE keys SET run = zeroblob(16)",
        "DELETE FROM keys",
        "INSERT INTO keys SELECT principal, 'more', run, body FROM keys",
    ],
)
def test_any_change_to_a_key_is_found(within: Within, settings: Settings, change: str) -> None:
    async def work(place: House) -> None:
        await place.ended(ONE, key="k")

    assert within(work).ok
    assert "row" in damaged(settings, change)


def test_the_key_and_what_was_asked_stand_in_the_first_event(within: Within) -> None:
    async def work(place: House) -> None:
        run = await place.ended(ONE, key="k", body=digest(b"asked"))
        created = next(iter(place.store.read(run_stream(run)))).event
        assert isinstance(created, ev.RunCreated)
        assert (created.key, created.key_body) == ("k", digest(b"asked"))
        row = place.store.keyed("user:test", "k")
        assert row is not None and (row.run, row.body) == (run, digest_bytes(digest(b"asked")))

    assert within(work).ok
