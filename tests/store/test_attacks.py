"""What an attacker can do to a home, one attack each: all is found, by the checkpoint where nothing else can.

The attacks are those that a stranger to this program would try first: with the hashes left as they are, and
with all of them made anew.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from runnotary.app.signing import HomeKey
from runnotary.core import chain, merkle, notes
from runnotary.core.errors import RolledBack
from runnotary.store.backup import backup
from runnotary.store.keys import KeyFile
from runnotary.store.log import SqliteStore
from runnotary.store.report import Report
from runnotary.store.sqlite import SqliteConnection
from runnotary.store.tree import Nodes
from runnotary.store.verify import verify
from runnotary.store.verify_log import Trust
from tests.store.forging import Change, cut, rehash, retell, tampered, told
from tests.store.history import BY, Seeded, Tale, Ticks, flow_of, run_id, small_home

RUN = chain.run_stream(run_id(2))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_home(tmp_path_factory.mktemp("attacked") / "home")


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "home"
    shutil.copytree(whole, copy)
    return copy


def checked(home: Path, trust: Trust | None = None) -> Report:
    return verify(home, deep=True, flow_of=flow_of, trust=trust)


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def attacked(home: Path, change: Change, *, again: bool) -> set[str]:
    tampered(home, change, again=again)
    report = checked(home)
    assert not report.ok
    return codes(report)


def test_nothing_is_found_where_nothing_was_done(home: Path) -> None:
    report = checked(home)
    assert report.ok, report.findings
    assert report.checkpoint is not None and report.checkpoint.uncovered == 0


# --- one event, the hashes left as they are ----------------------------------------------------------


def edit(connection: sqlite3.Connection) -> None:
    seq, _, said = told(connection, RUN, "task.ended")
    retell(connection, RUN, seq, said | {"exit_code": 1})


def shift(connection: sqlite3.Connection) -> None:
    seq, envelope, _ = told(connection, RUN, "run.finished")
    late = (int.from_bytes(envelope[:8], "big") + 1).to_bytes(8, "big") + envelope[8:]
    connection.execute("UPDATE events SET envelope = ? WHERE stream = ? AND seq = ?", (late, RUN, seq))


def change_actor(connection: sqlite3.Connection) -> None:
    seq, envelope, _ = told(connection, RUN, "run.created")
    other = envelope[:8] + b"\x08" * 16 + envelope[24:]
    connection.execute("UPDATE events SET envelope = ? WHERE stream = ? AND seq = ?", (other, RUN, seq))


def swap(connection: sqlite3.Connection) -> None:
    for old, new in ((3, 100), (4, 3), (100, 4)):
        connection.execute("UPDATE events SET seq = ? WHERE stream = ? AND seq = ?", (new, RUN, old))


def delete(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM events WHERE stream = ? AND seq = 3", (RUN,))


def delete_and_renumber(connection: sqlite3.Connection) -> None:
    delete(connection)
    connection.execute("UPDATE events SET seq = seq - 1 WHERE stream = ? AND seq > 3", (RUN,))


def insert(connection: sqlite3.Connection) -> None:
    seq = connection.execute("SELECT max(seq) FROM events WHERE stream = ?", (RUN,)).fetchone()[0]
    connection.execute(
        "INSERT INTO events SELECT stream, seq + 1, envelope, body FROM events WHERE stream = ? AND seq = ?",
        (RUN, seq),
    )


def edit_and_rehash_it(connection: sqlite3.Connection) -> None:
    """The event fits its own envelope again; the chain behind it does not."""
    edit(connection)
    seq, envelope, _ = told(connection, RUN, "task.ended")
    body = connection.execute("SELECT body FROM events WHERE stream = ? AND seq = ?", (RUN, seq)).fetchone()[
        0
    ]
    fits = envelope[:28] + chain.body_digest(body)
    connection.execute("UPDATE events SET envelope = ? WHERE stream = ? AND seq = ?", (fits, RUN, seq))


@pytest.mark.parametrize(
    "change",
    [edit, shift, change_actor, swap, delete, delete_and_renumber, insert, edit_and_rehash_it],
    ids=lambda one: one.__name__,
)
def test_an_event_that_was_tampered_with_is_named(home: Path, change: Change) -> None:
    tampered(home, change, again=False)
    report = checked(home)
    assert not report.ok
    assert any(chain.stream_name(RUN) in finding.where for finding in report.findings)


# --- the same with every hash made anew: only the checkpoint can tell --------------------------------


def rewrite_the_end(connection: sqlite3.Connection) -> None:
    seq, _, said = told(connection, chain.ledger_stream("default"), "definition.changed")
    retell(connection, chain.ledger_stream("default"), seq, said | {"title": "forged"})
    connection.execute("UPDATE flows SET title = 'forged' WHERE name = 'other'")


def rewrite_times(connection: sqlite3.Connection) -> None:
    rows = connection.execute(
        "SELECT stream, seq, envelope FROM events WHERE substr(stream, 1, 1) = x'03'"
    ).fetchall()
    for stream, seq, envelope in rows:
        at = int.from_bytes(envelope[:8], "big") + 1_000_000
        late = at.to_bytes(8, "big") + envelope[8:]
        connection.execute("UPDATE events SET envelope = ? WHERE stream = ? AND seq = ?", (late, stream, seq))
    connection.execute("UPDATE flows SET changed_at = changed_at + 1000000")


def drop_a_run(connection: sqlite3.Connection) -> None:
    """All of a run goes, and the positions behind it move up."""
    for table, key in (("events", "stream"), ("log", "stream")):
        connection.execute(f"DELETE FROM {table} WHERE {key} = ?", (RUN,))
    connection.execute("DELETE FROM runs WHERE id = ?", (RUN[1:],))
    connection.execute("DELETE FROM tasks WHERE run = ?", (RUN[1:],))
    left = [row[0] for row in connection.execute("SELECT pos FROM log ORDER BY pos")]
    for new, old in enumerate(left, start=1):
        connection.execute("UPDATE log SET pos = ? WHERE pos = ?", (new, old))


def cut_ten(connection: sqlite3.Connection) -> None:
    cut(connection, 10)


def cut_one(connection: sqlite3.Connection) -> None:
    cut(connection, 1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (edit, "checkpoint"),
        (rewrite_the_end, "checkpoint"),
        (rewrite_times, "checkpoint"),
        (drop_a_run, "rollback"),
        (cut_ten, "rollback"),
        (cut_one, "rollback"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_a_history_made_anew_does_not_fit_its_checkpoints(home: Path, change: Change, code: str) -> None:
    assert code in attacked(home, change, again=True)


@pytest.mark.parametrize("change", [rewrite_the_end, drop_a_run, cut_ten], ids=lambda one: one.__name__)
def test_without_the_checkpoints_in_it_the_one_outside_tells(home: Path, change: Change) -> None:
    def without(connection: sqlite3.Connection) -> None:
        change(connection)
        connection.execute("DELETE FROM checkpoints")

    assert "rollback" in attacked(home, without, again=True)
    with pytest.raises(RolledBack):
        SqliteStore.open_read_only(home)
    with pytest.raises(RolledBack):
        SqliteStore.open(home, clock=Ticks(), chance=Seeded(), signer=HomeKey(home))


def test_tables_that_were_wiped_are_missed(home: Path) -> None:
    def wipe(connection: sqlite3.Connection) -> None:
        for table in ("events", "log", "runs", "tasks", "flows", "keys", "tiles", "checkpoints"):
            connection.execute(f"DELETE FROM {table}")

    assert "rollback" in attacked(home, wipe, again=False)


def test_a_record_that_is_gone_is_missed(home: Path) -> None:
    (home / "runnotary.db").unlink()
    with pytest.raises(RolledBack, match="the record is gone"):
        verify(home)
    with pytest.raises(RolledBack, match="the record is gone"):
        SqliteStore.open(home, clock=Ticks(), chance=Seeded(), signer=HomeKey(home))


def test_an_older_copy_is_refused(home: Path, tmp_path: Path) -> None:
    """Rollback: the database of yesterday beside the checkpoint of today."""
    yesterday = tmp_path / "yesterday"
    backup(home, yesterday)
    store = SqliteStore.open(home, clock=Ticks(), chance=Seeded(2), signer=HomeKey(home))
    store.close()
    grow(home)
    shutil.copy(yesterday / "runnotary.db", home / "runnotary.db")
    for beside in ("runnotary.db-wal", "runnotary.db-shm"):
        (home / beside).unlink(missing_ok=True)
    assert "rollback" in codes(checked(home))
    with pytest.raises(RolledBack, match="this is an older copy"):
        SqliteStore.open_read_only(home)
    with pytest.raises(RolledBack, match="this is an older copy"):
        SqliteStore.open(home, clock=Ticks(), chance=Seeded(), signer=HomeKey(home))


def grow(home: Path) -> None:
    async def more() -> None:
        store = SqliteStore.open(home, clock=Ticks(), chance=Seeded(3), signer=HomeKey(home))
        try:
            await Tale(9, Ticks()).tell(store)
        finally:
            store.close()

    asyncio.run(more())


def test_a_tile_that_is_not_the_hash_of_what_is_below_it_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    long_home(home)
    assert checked(home).ok
    for change, where in (
        ("UPDATE tiles SET hash = zeroblob(32) WHERE number = 0", "tile 1/0"),
        ("UPDATE tiles SET number = 7 WHERE number = 1", "tile 1/7"),
        ("DELETE FROM tiles WHERE number = 1", "tile 1/1"),
    ):
        copy = tmp_path / "copy"
        shutil.copytree(home, copy)
        tampered(copy, lambda one, said=change: one.execute(said), again=False)  # type: ignore[misc]
        assert where in {finding.where for finding in checked(copy).findings}
        shutil.rmtree(copy)


def long_home(home: Path) -> None:
    """Make a home of some 600 log entries."""

    async def fill() -> None:
        store = SqliteStore.open(home, clock=Ticks(), chance=Seeded(4), signer=HomeKey(home))
        try:
            for number in range(10, 160):
                await Tale(number, Ticks()).tell(store)
        finally:
            store.close()

    asyncio.run(fill())


# --- checkpoints and keys ----------------------------------------------------------------------------


def forged_key(home: Path, tmp_path: Path) -> tuple[str, notes.Note]:
    """Sign the newest checkpoint with a key of the attacker's, under the name of the real one."""
    real = notes.read_note((home / "checkpoint").read_text())
    other = KeyFile(tmp_path)
    key = other.public_key(real.signatures[0].name, ())
    signature = notes.Signature(key.name, key.id, other.sign(real.text.encode()))
    return key.text, notes.Note(real.text, (signature,))


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_a_checkpoint_signed_by_a_stranger_is_refused(home: Path, tmp_path: Path, where: str) -> None:
    _, note = forged_key(home, tmp_path)
    if where == "outside":
        (home / "checkpoint").write_text(str(note))
    else:
        tampered(home, lambda one: one.execute("UPDATE checkpoints SET note = ?", (str(note),)), again=False)
    assert codes(checked(home)) == {"checkpoint"}


def test_a_replaced_key_does_not_fit_the_one_that_is_known(home: Path, tmp_path: Path) -> None:
    """The attacker rewrites everything with a key of their own, ledger and outside included."""
    known = KeyFile(home).public_key("", ())
    text, note = forged_key(home, tmp_path)

    def replace(connection: sqlite3.Connection) -> None:
        ledger = chain.ledger_stream("default")
        seq, _, said = told(connection, ledger, "key.changed")
        retell(connection, ledger, seq, said | {"key": text})

    tampered(home, replace, again=True)
    connection = sqlite3.connect(home / "runnotary.db", isolation_level=None, factory=SqliteConnection)
    made = notes.read_checkpoint(note.text)
    fresh = notes.Checkpoint(made.origin, made.size, merkle.span_root(0, made.size, Nodes(connection)))
    other = KeyFile(tmp_path)
    key = other.public_key("", ())
    signed = str(
        notes.Note(fresh.text, (notes.Signature(key.name, key.id, other.sign(fresh.text.encode())),))
    )
    connection.execute("DELETE FROM checkpoints")
    connection.execute("INSERT INTO checkpoints VALUES (?, ?)", (made.size, signed))
    connection.close()
    (home / "checkpoint").write_text(signed)
    assert checked(home).ok, "whoever has no key of their own cannot tell"
    assert codes(checked(home, Trust(key=known))) == {"key"}


@pytest.mark.parametrize("line", [0, 1, 2, 4])
def test_every_line_of_a_checkpoint_counts(home: Path, line: int) -> None:
    text = (home / "checkpoint").read_text()
    lines = text.split("\n")
    middle = len(lines[line]) // 2
    letter = "A" if lines[line][middle] != "A" else "B"
    lines[line] = lines[line][:middle] + ("9" if line == 1 else letter) + lines[line][middle + 1 :]
    (home / "checkpoint").write_text("\n".join(lines))
    assert not checked(home).ok


def test_a_checkpoint_somebody_kept_still_holds(home: Path) -> None:
    kept = (home / "checkpoint").read_text()
    grow(home)
    assert checked(home, Trust(checkpoint=kept)).ok
    size = notes.read_checkpoint(notes.read_note(kept).text).size

    def rewrite(connection: sqlite3.Connection) -> None:
        edit(connection)
        connection.execute("DELETE FROM checkpoints WHERE size = ?", (size,))

    tampered(home, rewrite, again=True)
    found = checked(home, Trust(checkpoint=kept)).findings
    assert any(finding.where == "the checkpoint given" for finding in found)


def signed_by_home(home: Path, text: str) -> str:
    """Sign a text with the key that the home has now, as whoever stole it can."""
    file = KeyFile(home)
    key = file.public_key("", ())
    return str(notes.Note(text, (notes.Signature(key.name, key.id, file.sign(text.encode())),)))


@pytest.mark.parametrize("change", [{"origin": "runnotary/another"}, {"size": 3}, {"root": bytes(32)}])
def test_what_the_key_has_signed_is_still_compared(home: Path, change: dict[str, object]) -> None:
    made = notes.read_checkpoint(notes.read_note((home / "checkpoint").read_text()).text)
    forged = signed_by_home(home, msgspec.structs.replace(made, **change).text)
    assert checked(home, Trust(checkpoint=signed_by_home(home, made.text))).ok
    for run in (None, RUN[1:]):
        report = verify(home, run=run, flow_of=flow_of, trust=Trust(checkpoint=forged))
        assert {one.where for one in report.findings} == {"the checkpoint given"}


def test_a_new_key_has_signed_nothing_that_was_before_it(home: Path) -> None:
    kept = notes.read_note((home / "checkpoint").read_text()).text

    async def rotate() -> None:
        store = SqliteStore.open(home, clock=Ticks(), chance=Seeded(5), signer=HomeKey(home))
        await store.change_key("", "retired", BY, "")
        store.close()

    asyncio.run(rotate())
    assert checked(home).ok
    assert codes(checked(home, Trust(checkpoint=signed_by_home(home, kept)))) == {"checkpoint"}


def test_a_checkpoint_that_was_emptied_is_not_one_that_fits(home: Path) -> None:
    assert codes(checked(home, Trust(checkpoint=""))) == {"checkpoint"}
    (home / "checkpoint").write_text("")
    assert codes(checked(home)) == {"checkpoint"}


def test_that_nothing_stands_outside_is_said(home: Path) -> None:
    said = "checkpoint outside none"
    assert not any(one.startswith(said) for one in checked(home).not_proven)
    (home / "checkpoint").unlink()
    assert any(one.startswith(said) for one in checked(home).not_proven)


@pytest.mark.parametrize("run", [None, RUN[1:]])
def test_whoever_knows_a_key_is_told_if_it_signed_nothing(home: Path, run: bytes | None) -> None:
    """The attacker rewrites everything and takes every checkpoint away, the one outside too."""
    known = KeyFile(home).public_key("", ())

    def rewrite(connection: sqlite3.Connection) -> None:
        rewrite_the_end(connection)
        connection.execute("DELETE FROM checkpoints")

    tampered(home, rewrite, again=True)
    (home / "checkpoint").unlink()
    report = verify(home, run=run, flow_of=flow_of)
    assert report.ok and any("no checkpoint covers this" in said for said in report.not_proven)
    assert codes(verify(home, run=run, flow_of=flow_of, trust=Trust(key=known))) == {"key"}


def test_the_key_is_checked_though_a_run_is_not_covered_yet(home: Path) -> None:
    known, stranger = KeyFile(home).public_key("", ()), notes.PublicKey("stranger", bytes(32))
    (home / "log.key").write_text("rubbish")
    grow(home)
    report = verify(home, run=run_id(9), flow_of=flow_of, trust=Trust(key=known))
    assert report.ok and report.checkpoint is None
    assert codes(verify(home, run=run_id(9), flow_of=flow_of, trust=Trust(key=stranger))) == {"key"}


@pytest.mark.parametrize("again", [False, True])
def test_all_that_is_said_of_a_task_cannot_be_left_out(home: Path, *, again: bool) -> None:
    """Found in the whole home and in the run alone, even if what follows closes up and every hash fits."""

    def leave_out(connection: sqlite3.Connection) -> None:
        for kind in ("task.started", "task.ended"):
            seq, _, said = told(connection, RUN, kind)
            assert said["key"] == "report"
            connection.execute("DELETE FROM events WHERE stream = ? AND seq = ?", (RUN, seq))
            if again:
                connection.execute("UPDATE events SET seq = seq - 1 WHERE stream = ? AND seq > ?", (RUN, seq))
        connection.execute("DELETE FROM tasks WHERE run = ? AND key = 'report'", (RUN[1:],))
        if again:
            one_entry(connection)

    tampered(home, leave_out, again=again)
    assert not checked(home).ok
    assert not verify(home, run=RUN[1:], flow_of=flow_of).ok


def one_entry(connection: sqlite3.Connection) -> None:
    """Let all of the run have come in one commit, its last; the positions behind the others move up."""
    (last,) = connection.execute("SELECT max(pos) FROM log WHERE stream = ?", (RUN,)).fetchone()
    (end,) = connection.execute("SELECT max(seq) FROM events WHERE stream = ?", (RUN,)).fetchone()
    connection.execute("DELETE FROM log WHERE stream = ? AND pos < ?", (RUN, last))
    connection.execute("UPDATE log SET from_seq = 1, seq = ? WHERE pos = ?", (end, last))
    for new, (old,) in enumerate(connection.execute("SELECT pos FROM log ORDER BY pos").fetchall(), start=1):
        connection.execute("UPDATE log SET pos = ? WHERE pos = ?", (new, old))


def test_the_forger_leaves_no_trace_but_the_checkpoints(home: Path) -> None:
    """The attacks above are as good as they can be: apart from the checkpoints all fits."""
    tampered(home, rewrite_the_end, again=True)
    assert codes(checked(home)) <= {"checkpoint", "rollback"}
    tampered(home, rehash, again=False)
    assert codes(checked(home)) <= {"checkpoint", "rollback"}
