"""A home made from a backup: the tree goes on under a new name, and what was lost is on record."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from runnotary.app.signing import HomeKey
from runnotary.core import chain, notes
from runnotary.core.errors import Conflict, Damaged, FileMissing, RolledBack
from runnotary.store import migrate, outside
from runnotary.store.backup import backup
from runnotary.store.keys import KeyFile
from runnotary.store.log import SqliteStore
from runnotary.store.report import Report
from runnotary.store.restoring import Restored, Wanted, restore
from runnotary.store.sqlite import database, migrations
from runnotary.store.verify import verify
from runnotary.store.verify_log import Trust
from tests.store.forging import retell, tampered, told
from tests.store.history import BY, START, Seeded, Tale, Ticks, flow_of, open_store, small_home


def grow(home: Path, *numbers: int) -> None:
    async def more() -> None:
        store = open_store(home)
        for number in numbers:
            await Tale(number, Ticks(START + number * 10**9)).tell(store)
        store.close()

    asyncio.run(more())


def restored(source: Path, home: Path, **words: object) -> Restored:
    home.mkdir(exist_ok=True)
    wanted = Wanted(by=BY, reason="the disk died", **words)  # type: ignore[arg-type]
    clock = Ticks(START + 10**12)
    return restore(source, home, wanted, clock=clock, chance=Seeded(9), signer_of=HomeKey)


def checked(home: Path, trust: Trust | None = None) -> Report:
    return verify(home, deep=True, flow_of=flow_of, trust=trust)


def newest(home: Path) -> notes.Checkpoint:
    made = outside.published(home / "checkpoint")
    assert made is not None
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return small_home(tmp_path / "home")


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    backup(home, tmp_path / "copy")
    return tmp_path / "copy"


def test_backup_restore_more_runs_and_the_record_holds_and_says_so(copy: Path, tmp_path: Path) -> None:
    entries = len(sqlite3.connect(copy / "runnotary.db").execute("SELECT pos FROM log").fetchall())
    new = tmp_path / "new"
    done = restored(copy, new)
    assert (done.entries, done.lost, done.size) == (entries, 0, newest(new).size)
    assert checked(new).ok, checked(new).findings
    grow(new, 20, 21)
    report = checked(new)
    assert report.ok, report.findings
    (told,) = report.restores
    assert (told.by, told.reason, told.entries, told.lost) == (BY.principal, "the disk died", entries, 0)
    assert any(said.startswith("restored from a backup") for said in report.not_proven)
    assert report.checkpoint is not None and report.checkpoint.uncovered == 0
    left = {path.name for path in new.iterdir() if not path.name.endswith(("-wal", "-shm"))}
    assert left == {"blobs", "checkpoint", "log.key", "runnotary.db"}


def test_the_restored_log_has_another_name_and_another_key(home: Path, copy: Path, tmp_path: Path) -> None:
    """What the lost home signs afterwards, if it was not lost after all, is another log's."""
    new = tmp_path / "new"
    restored(copy, new)
    grow(home, 30, 31, 32)
    assert newest(home).origin != newest(new).origin
    assert KeyFile(home).public_key("", ()).public != KeyFile(new).public_key("", ()).public
    shutil.copy(home / "checkpoint", new / "checkpoint")
    assert not checked(new).ok
    with pytest.raises(RolledBack):
        SqliteStore.open_read_only(new)


def test_the_key_of_before_signs_nothing_more(home: Path, copy: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    restored(copy, new)
    thief = KeyFile(home)
    key = thief.public_key("", ())
    store = SqliteStore.open_read_only(new)
    out_of_use = store.ledger("default").keys[key.text]
    store.close()
    assert (out_of_use.state, out_of_use.reason) == ("retired", "restored")
    text = newest(new).text
    forged = notes.Note(text, (notes.Signature(key.name, key.id, thief.sign(text.encode())),))
    (new / "checkpoint").write_text(str(forged))
    assert {finding.code for finding in checked(new).findings} == {"checkpoint"}


def test_a_checkpoint_kept_before_the_backup_still_holds(home: Path, copy: Path, tmp_path: Path) -> None:
    kept = (home / "checkpoint").read_text()
    restored(copy, tmp_path / "new")
    grow(tmp_path / "new", 20)
    assert checked(tmp_path / "new", Trust(checkpoint=kept)).ok


def test_what_the_backup_lacks_is_agreed_to_and_recorded(home: Path, copy: Path) -> None:
    grow(home, 30, 31)
    lost = newest(home)
    (home / "runnotary.db").unlink()
    before = (home / "checkpoint").read_text()
    with pytest.raises(RolledBack, match="this is an older copy"):
        restored(copy, home)
    assert (home / "checkpoint").read_text() == before
    assert not (home / "runnotary.db").exists() and not (home / ".restoring").exists()
    done = restored(copy, home, accept_loss=True)
    assert done.lost == lost.size - done.entries > 0
    grow(home, 40)
    report = checked(home)
    assert report.ok, report.findings
    assert report.restores[0].lost == lost.size
    assert any(f"{done.lost} entries that followed are lost" in said for said in report.not_proven)


def test_a_copy_of_the_checkpoint_elsewhere_counts_too(home: Path, copy: Path, tmp_path: Path) -> None:
    grow(home, 30)
    elsewhere = tmp_path / "elsewhere"
    shutil.copy(home / "checkpoint", elsewhere)
    with pytest.raises(RolledBack, match="elsewhere"):
        restored(copy, tmp_path / "new", copies=(elsewhere,))
    restored(copy, tmp_path / "new", copies=(elsewhere,), accept_loss=True)
    assert elsewhere.read_text() == (tmp_path / "new" / "checkpoint").read_text()


def test_nothing_is_restored_over_a_record(home: Path, copy: Path) -> None:
    before = (home / "runnotary.db").read_bytes()
    with pytest.raises(Conflict, match="holds a record"):
        restored(copy, home, accept_loss=True)
    assert (home / "runnotary.db").read_bytes() == before


def test_a_backup_that_does_not_verify_is_refused(copy: Path, tmp_path: Path) -> None:
    tampered(copy, lambda one: one.execute("UPDATE runs SET status = 'success'"), again=False)
    with pytest.raises(Damaged, match="the backup does not verify"):
        restored(copy, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_backup_with_another_blob_is_refused(copy: Path, tmp_path: Path) -> None:
    path = next(path for path in (copy / "blobs").rglob("*") if path.is_file())
    path.chmod(0o644)
    path.write_bytes(b"other" + path.read_bytes()[5:])
    with pytest.raises(Damaged, match=f"sha256:{path.parent.name}{path.name}"):
        restored(copy, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_backup_that_is_not_there_is_missed(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        restored(tmp_path / "nowhere", tmp_path / "new")


@pytest.mark.parametrize("grown", [False, True])
def test_whoever_is_interrupted_begins_again(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, *, grown: bool
) -> None:
    """Killed before any of the renames: the home is restored, or can be, and the right loss is named."""
    if grown:
        grow(home, 30)
    lost = newest(home).size
    kept, bare = home.with_name("kept"), {"log.key", "checkpoint"}
    kept.mkdir()
    for name in bare:
        shutil.copy(home / name, kept / name)
    stops, told = 0, 0
    while told == stops:
        shutil.rmtree(home)
        shutil.copytree(kept, home)
        stops += 1
        told = interrupted_at(stops, copy, home, monkeypatch, accept_loss=grown)
        if (home / "runnotary.db").exists() and grown and newest(home).size == lost:
            (home / "runnotary.db").unlink()  # as the error says that everybody gets
        if not (home / "runnotary.db").exists():
            restored(copy, home, accept_loss=grown)
        report = checked(home)
        assert report.ok, (stops, report.findings)
        assert [one.lost for one in report.restores] == [lost if grown else 0]
    assert stops > 3


def interrupted_at(
    stop: int, copy: Path, home: Path, monkeypatch: pytest.MonkeyPatch, *, accept_loss: bool
) -> int:
    """Restore until that rename; return how many there were before it, and it."""
    done = 0
    replace = os.replace

    def counted(source: Path, target: Path) -> None:
        nonlocal done
        done += 1
        if done == stop:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr("os.replace", counted)
        restored(copy, home, accept_loss=accept_loss)
    return done


def test_a_restored_home_is_backed_up_and_restored_again(copy: Path, tmp_path: Path) -> None:
    source = copy
    for number in range(3):
        place = tmp_path / f"home{number}"
        restored(source, place)
        grow(place, 50 + number)
        source = tmp_path / f"copy{number}"
        backup(place, source)
    report = checked(tmp_path / "home2")
    assert report.ok, report.findings
    assert len(report.restores) == 3


def test_a_backup_that_an_older_release_made(home: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    with closing(sqlite3.connect(database(old), isolation_level=None)) as connection:
        connection.executescript("".join(migrations()[:2]))
        connection.execute(f"ATTACH '{database(home)}' AS new")
        for table in ("events", "log", "runs", "tasks", "flows", "blobs"):
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO {table} SELECT {columns} FROM new.{table}")
        connection.execute(f"PRAGMA application_id = {migrate.APPLICATION}")
        connection.execute("PRAGMA user_version = 2")
    shutil.copytree(home / "blobs", old / "blobs")
    restored(old, tmp_path / "new")
    grow(tmp_path / "new", 20)
    report = checked(tmp_path / "new")
    assert report.ok, list(map(str, report.findings))


def test_the_checkpoint_that_a_restore_names_is_compared(home: Path, copy: Path, tmp_path: Path) -> None:
    """Whoever holds the key of before lets the restore go on from another log."""
    made, file, new = newest(home), KeyFile(home), tmp_path / "new"
    key = file.public_key("", ())
    text = notes.Checkpoint(made.origin, made.size, bytes(32)).text
    other = str(notes.Note(text, (notes.Signature(key.name, key.id, file.sign(text.encode())),)))
    restored(copy, new)

    def say(connection: sqlite3.Connection) -> None:
        stream = chain.ledger_stream("default")
        seq, _, said = told(connection, stream, "engine.noted")
        retell(connection, stream, seq, said | {"data": said["data"] | {"checkpoint": other}})

    tampered(new, say, again=True)
    found = [one for one in checked(new).findings if "its backup's checkpoint" in one.where]
    assert [one.message.partition(" entries")[0] for one in found] == [f"the first {made.size}"]


def test_a_restore_that_is_taken_out_of_the_ledger_is_missed(copy: Path, tmp_path: Path) -> None:
    """An attacker who makes every hash anew cannot unsay it: the log would have its old name."""
    new = tmp_path / "new"
    restored(copy, new)

    def unsay(connection: sqlite3.Connection) -> None:
        for stream, seq, body in connection.execute("SELECT stream, seq, body FROM events").fetchall():
            if b'"kind":"restored"' in body:
                said = json.loads(body[chain.NONCE_SIZE :])
                retell(connection, stream, seq, said | {"kind": "remarked"})

    tampered(new, unsay, again=True)
    report = checked(new)
    assert not report.ok and not report.restores
