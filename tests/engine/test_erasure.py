"""Erasure of runs: what they said is in no file any more, that they were can still be checked."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runnotary.app.stores import record_of
from runnotary.config import Settings
from runnotary.core import events as ev
from runnotary.core.chain import ledger_stream, run_stream
from runnotary.core.decide import Update
from runnotary.core.errors import Conflict, Held, NotEnded, NotRecorded, RunErased, RunNotFound
from runnotary.core.ids import to_text
from runnotary.core.permissions import Visible
from runnotary.ports import Append, Refusal
from runnotary.store import sqlite_writer
from runnotary.store.verify import verify
from tests.database import attempts_in, copy_home, places_of, record_in, remove_home, rows_of
from tests.engine.test_retention import BY, ONE, OTHER, SLOW, House, Within, house, within

__all__ = ["within"]
ROOT = Path(__file__).parents[2]
SAYS = {
    "inputs": {"who": {"type": "string"}},
    "steps": {"only": {"run": 'echo "said by $who"', "with": {"who": "${{ inputs.who }}"}}},
}
LARGE = "zebedee " * 5_000


def bodies(settings: Settings, run: bytes) -> list[bool]:
    """Tell for each event of a run whether its body is here."""
    with rows_of(settings.home) as connection:
        query = "SELECT body IS NOT NULL FROM events WHERE stream = ? ORDER BY seq"
        return [bool(row[0]) for row in connection.execute(query, (run_stream(run),))]


def test_what_a_run_said_is_gone_and_its_envelopes_verify(within: Within, settings: Settings) -> None:
    runs: list[bytes] = []

    async def work(place: House) -> None:
        first = await place.ended(SAYS, inputs={"who": "zebedee"}, label="zebedee", key="zebedee-1")
        large = await place.ended(SAYS, inputs={"who": LARGE}, monitors=("user:zebedee",))
        kept = await place.ended(SAYS, inputs={"who": "somebody"})
        heads = {run: place.store.head(run_stream(run)) for run in (first, large, kept)}
        assert places_of(settings.home, "zebedee")
        await place.service.erase(first, BY, "article 17")
        await place.service.erase(large, BY, "article 17")
        assert place.listed(include_archived=True) == {kept}
        assert {run: place.store.head(run_stream(run)) for run in heads} == heads
        assert list(place.store.read(run_stream(first))) == []
        runs.extend((first, large, kept))

    report = within(work)
    assert report.findings == ()
    assert report.checked["emptied"] == 2 and report.checked["erased"] == sum(
        len(bodies(settings, run)) for run in runs[:2]
    )
    assert [line.partition(" by ")[2] for line in report.erasures] == ["user:test: article 17"] * 2
    assert bodies(settings, runs[0]) == [False] * 4 and bodies(settings, runs[2]) == [True] * 4
    assert places_of(settings.home, "zebedee") == []
    one = verify(record_of(settings), run=runs[0], deep=True)
    assert one.ok and any("article 17" in line for line in one.not_proven)


def test_no_folder_that_is_kept_for_another_attempt_says_what_was_erased(
    within: Within, settings: Settings
) -> None:
    silent = {**SAYS, "steps": {"only": {"run": "true", "with": SAYS["steps"]["only"]["with"]}}}

    async def work(place: House) -> None:
        run = await place.ended(silent, inputs={"who": "zebedee"})
        await place.service.erase(run, BY, "article 17")
        attempts = attempts_in(settings.home)
        while not (names := [path.name for path in attempts.iterdir()]) or not names[0].startswith("."):
            await asyncio.sleep(0.01)
        assert names == [".spare-1"] and places_of(attempts, "zebedee") == []

    assert within(work).findings == ()


@pytest.mark.own_database("SQLite writes its file anew")
def test_where_there_is_no_room_to_write_the_database_anew_the_run_is_erased(
    within: Within, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(connection: sqlite3.Connection, at_most: int) -> bool:
        wrong = sqlite3.OperationalError("database or disk is full")
        wrong.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise wrong

    async def work(place: House) -> None:
        run = await place.ended(ONE)
        monkeypatch.setattr(sqlite_writer, "rewritten", full)
        await place.service.erase(run, BY, "why")
        assert place.store.run(run) is None and place.store.tombstone(run) is not None
        assert "free space may still hold" in caplog.text and to_text(run) in caplog.text
        with pytest.raises(NotRecorded, match="database or disk is full"):
            await place.store.scrub()

    assert within(work).findings == ()


def test_what_another_run_names_stays(within: Within) -> None:
    async def work(place: House) -> None:
        first = await place.ended(SAYS, inputs={"who": LARGE})
        second = await place.ended(SAYS, inputs={"who": LARGE})
        await place.service.erase(first, BY)
        again, _ = await place.service.rerun(second, BY)
        await place.home.engine.ended(again)

    assert within(work).findings == ()


def test_what_goes_on_or_is_held_is_not_erased(within: Within) -> None:
    async def work(place: House) -> None:
        going, held = await place.start(SLOW), await place.ended(ONE)
        await place.service.hold(held, BY, "court")
        with pytest.raises(NotEnded):
            await place.service.erase(going, BY)
        with pytest.raises(Held, match="court"):
            await place.service.erase(held, BY)
        await place.service.cancel(going, BY)
        await place.home.engine.ended(going)

    report = within(work)
    assert report.ok and "erased" not in report.checked


def test_who_may_know_is_told_by_whom_when_and_why(within: Within) -> None:
    async def work(place: House) -> None:
        run = await place.ended(ONE, namespace="lab")
        await place.service.erase(run, OTHER, "asked for")
        resolve, name = place.home.reader.resolve, to_text(run)
        with pytest.raises(RunErased, match=r"by user:other, 20.*Z: asked for"):
            resolve(name)
        with pytest.raises(RunErased):
            resolve(name, Visible(namespaces=("lab",)))
        for nobody in (Visible(), Visible(namespaces=("default",), names=("user:test",))):
            with pytest.raises(RunNotFound) as missing:
                resolve(name, nobody)
            assert type(missing.value) is RunNotFound
        for act in (place.service.erase, place.service.purge):
            with pytest.raises(RunNotFound):
                await act(run, BY, "again")

    assert within(work).ok


def test_nothing_follows_on_a_run_that_was_erased(within: Within) -> None:
    """Whoever looked at the run before it was erased cannot write after it, whatever length they expect."""

    async def work(place: House) -> None:
        run = await place.ended(ONE)
        seq, _ = place.store.head(run_stream(run))
        await place.service.erase(run, BY)
        late = ev.RunUpdated(BY, {"label": ""}, {"label": "late"})
        for expected in (0, seq):
            (result,) = await place.store.append([Append(run_stream(run), expected, (late,), 1, bytes(16))])
            assert isinstance(result, Refusal) and result.code == "conflict"
        with pytest.raises(RunNotFound):
            await place.service._delivery.deliver(run, Update(BY, {"label": "late"}, None), bytes(16))

    assert within(work).findings == ()


def test_a_run_that_is_erased_while_it_is_changed_is_one_or_the_other(within: Within) -> None:
    async def work(place: House) -> None:
        async def tried(what: object) -> None:
            try:
                await what  # type: ignore[misc]
            except (Conflict, RunNotFound):
                return

        for _ in range(12):
            run = await place.ended(ONE)
            await asyncio.gather(
                tried(place.service.update(run, BY, {"label": "x"})),
                tried(place.service.erase(run, BY)),
                tried(place.service.purge(run, BY)),
                tried(place.service.archive(run, BY)),
            )

    assert within(work).findings == ()


# --- damage that looks like an erasure -------------------------------------------------------------------

PICK = "(SELECT stream FROM events WHERE body IS NULL LIMIT 1)"
WHOLE = (
    "(SELECT stream FROM events WHERE substr(stream, 1, 1) = x'01' AND body IS NOT NULL"
    " ORDER BY stream LIMIT 1)"
)
DAMAGE = {
    "a body without a tombstone": (
        f"UPDATE events SET body = NULL WHERE stream = {WHOLE} AND seq = 2",
        "missing_body",
    ),
    "all bodies without a tombstone": (
        f"UPDATE events SET body = NULL WHERE stream = {WHOLE}",
        "missing_body",
    ),
    "an envelope": (f"DELETE FROM events WHERE stream = {PICK} AND seq = 2", "chain"),
    "the last envelope": (f"DELETE FROM events WHERE stream = {PICK} AND seq = 4", "log"),
    "all envelopes": (f"DELETE FROM events WHERE stream = {PICK}", "log"),
    "another body": (f"UPDATE events SET body = zeroblob(40) WHERE stream = {PICK} AND seq = 2", "body"),
    "the tombstone": (
        "UPDATE events SET body = NULL WHERE rowid_of_tombstone",
        "missing_body",
    ),
    "a row": ("INSERT INTO runs SELECT {columns} FROM runs LIMIT 1", "row"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_missing_without_a_licence_is_damage(within: Within, settings: Settings, name: str) -> None:
    async def work(place: House) -> None:
        await place.ended(ONE)
        run = await place.ended(ONE)
        await place.service.erase(run, BY)
        place.emptied = run  # type: ignore[attr-defined]
        seqs.append(place.store.head(ledger_stream("default"))[0])
        ids.append(run)

    seqs: list[int] = []
    ids: list[bytes] = []
    assert within(work).findings == ()
    statement, code = DAMAGE[name]
    statement = statement.replace("rowid_of_tombstone", f"stream = x'0364656661756c74' AND {_of_type(37)}")
    with rows_of(settings.home) as connection:
        names = [column[0] for column in connection.execute("SELECT * FROM runs").description]
        columns = ", ".join(f"x'{ids[0].hex()}'" if one in ("id", "root") else one for one in names)
        connection.execute(statement.replace("{columns}", columns))
    assert code in {finding.code for finding in verify(record_of(settings), deep=True).findings}


def _of_type(code: int) -> str:
    return f"substr(envelope, 25, 2) = x'{code:04x}'"


# --- crashes ---------------------------------------------------------------------------------------------

WORKER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from runnotary.app.home import Embedded
from tests.database import settings_of
from tests.engine.test_retention import BY, House

async def erase_all():
    home = Embedded(settings_of(Path(sys.argv[1])))
    place = House(home)
    print("go", flush=True)
    for run in sorted(place.listed()):
        await place.service.erase(run, BY, "article 17")

asyncio.run(erase_all())
"""


def test_killed_at_any_moment_a_run_is_erased_or_whole(
    within: Within, settings: Settings, tmp_path: Path
) -> None:
    async def work(place: House) -> None:
        await asyncio.gather(
            *[place.ended(SAYS, inputs={"who": LARGE + str(n)}, key=str(n)) for n in range(12)]
        )

    assert within(work).findings == ()
    copy_home(settings.home, tmp_path / "before")
    seen = set()
    for seed in range(10):
        home = tmp_path / "home"
        remove_home(home)
        copy_home(tmp_path / "before", home)
        command = [sys.executable, "-c", WORKER, str(home), str(ROOT)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            try:
                worker.wait(0.004 + seed * 0.012)
            except subprocess.TimeoutExpired:
                worker.send_signal(signal.SIGKILL)
        report = verify(record_in(home), deep=True)
        assert report.findings == (), seed
        emptied = report.checked.get("emptied", 0)
        assert emptied + report.checked.get("runs", 0) == 12
        seen.add(emptied)
    assert len(seen) > 1, seen


def test_an_erased_run_is_left_out_of_what_is_followed(within: Within) -> None:
    async def work(place: House) -> None:
        run = await place.ended(ONE)
        await place.service.erase(run, BY)
        changes = place.store.feed(0)
        streams = {change.stream for change in changes}
        assert run_stream(run) in streams
        told = [one.event for stream in streams for one in place.store.read(stream)]
        assert any(isinstance(event, ev.StreamErased) and event.bodies for event in told)

    assert within(work).ok


def test_a_run_is_erased_with_a_command(play: Callable[..., str], settings: Settings) -> None:
    async def whole() -> None:
        async with house(settings) as place:
            (run,) = place.listed()
            await place.service.erase(run, BY)

    play({"flow": "said", **SAYS}, given={"who": "zebedee"})
    assert places_of(settings.home, "zebedee")
    asyncio.run(whole())
    assert places_of(settings.home, "zebedee") == []
