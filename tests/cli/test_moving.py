"""`admin migrate`, and backup and restore of a record that servers share, from outside."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cli.terminal import Desk
from tests.postgres import PASSWORD, Postgres

FLOW = "flow: f\nsteps: {a: {run: 'head -c 200000 /dev/zero > big; echo said', files: [big]}}\n"
pytestmark = pytest.mark.own_database("moves the one database of a home")


@pytest.fixture(scope="module")
def whole(shared_desk: Desk) -> Iterator[Desk]:
    shared_desk.write("f.yaml", FLOW)
    for _ in range(2):
        shared_desk.ok("start", "f.yaml")
    return shared_desk


@pytest.fixture
def desk(whole: Desk, desk: Desk) -> Desk:
    """A copy of the home, to be moved."""
    shutil.copytree(whole.home, desk.home)
    desk.write("f.yaml", FLOW)
    return desk


def own(desk: Desk) -> str:
    return f"sqlite:///{desk.home / 'runnotary.db'}"


def test_there_and_back(desk: Desk, postgres: Postgres) -> None:
    url = postgres.fresh()
    shared = {"RUNNOTARY_DATABASE_URL": url}
    done = desk.ok("admin", "migrate", "--from", own(desk), "--to", url, "--reason", "more servers")
    lines = done.out.splitlines()
    assert lines[1] == lines[4] and "2 runs" in lines[1] and lines[2] == lines[5]
    assert "root" in lines[2] and "head" in lines[2]
    assert "verify: ok on both sides, and equal" in lines
    assert PASSWORD.replace(" ", "%20") not in done.out and PASSWORD not in done.out
    assert desk.ok("verify", "--deep").out == desk.ok("verify", "--deep", env=shared).out
    refused = desk.run("start", "f.yaml")
    assert refused.code == 5 and "was moved to postgresql://127.0.0.1:" in refused.err
    desk.ok("start", "f.yaml", env=shared)
    assert "3 runs" in desk.ok("verify", "--deep", env=shared).out
    older = desk.run("start", "f.yaml")
    assert older.code == 10 and "was moved to" in older.err
    assert desk.run("admin", "migrate", "--from", url, "--to", own(desk)).code == 5, "there is a record"
    (desk.home / "runnotary.db").rename(desk.path / "old.db")
    desk.ok("admin", "migrate", "--from", url, "--to", own(desk))
    desk.ok("start", "f.yaml")
    assert "4 runs" in desk.ok("verify", "--deep").out
    assert desk.run("start", "f.yaml", env=shared).code == 10


def test_the_answer_is_a_document(desk: Desk, postgres: Postgres) -> None:
    sides = desk.ok("admin", "migrate", "--from", own(desk), "--to", postgres.fresh(), "-o", "json").json
    assert sides["from"]["log"] == sides["to"]["log"]
    assert sides["from"]["checked"] == sides["to"]["checked"]
    assert sides["to"]["home"] == str(desk.home)


def test_where_to_is_said_so_that_it_can_be_understood(desk: Desk, postgres: Postgres) -> None:
    url, home = postgres.fresh(), own(desk)
    away = postgres.url("x", port=1)
    for given, code, said in (
        ((), 2, "--from is missing"),
        (("--from", home), 2, "--to is missing"),
        (("--from", "mysql://x", "--to", url), 2, "--from: database_url is postgresql://"),
        (("--from", home, "--to", "sqlite:///x"), 2, "--to: database_url is postgresql://"),
        (("--from", home, "--to", home), 2, "both are of the kind"),
        (("--from", home, "--to", away), 6, "does not answer"),
        (("--from", url, "--to", "sqlite:///other/runnotary.db"), 3, "holds no record"),
        (("--from", "sqlite:///nowhere/runnotary.db", "--to", url), 3, "four slashes"),
    ):
        done = desk.run("admin", "migrate", *given)
        assert (done.code, said in done.err) == (code, True), (given, done)
        assert "Traceback" not in done.err and PASSWORD not in done.err
    assert "2 runs" in desk.ok("verify").out
    assert not (desk.path / "nowhere").exists()


def test_not_while_an_engine_works_there(desk: Desk, postgres: Postgres) -> None:
    begun = desk.path / "begun"
    desk.write("slow.yaml", f"flow: slow\nsteps: {{a: {{run: 'touch {begun}; sleep 60'}}}}\n")
    process = desk.begin("start", "slow.yaml")
    desk.wait_for("begun")
    url = postgres.fresh()
    done = desk.run("admin", "migrate", "--from", own(desk), "--to", url)
    assert done.code == 5 and "another engine works" in done.err
    process.kill()
    done = desk.run("admin", "migrate", "--from", own(desk), "--to", url)
    assert done.code == 5 and "steps of this record are running" in done.err
    run = desk.json("run", "list")["runs"][0]["id"]
    desk.ok("run", "cancel", run)
    desk.ok("admin", "migrate", "--from", own(desk), "--to", url)


def test_tables_of_another_program_are_left_alone(desk: Desk, postgres: Postgres) -> None:
    url = postgres.fresh()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (x bigint)")
    done = desk.run("admin", "migrate", "--from", own(desk), "--to", url)
    assert done.code == 5 and "tables of another program" in done.err
    desk.ok("start", "f.yaml")


def test_damage_is_exit_10_and_nothing_is_moved(desk: Desk, postgres: Postgres) -> None:
    (blob,) = (path for path in (desk.home / "blobs").glob("??/*") if path.stat().st_size == 200_000)
    blob.chmod(0o644)
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    url = postgres.fresh()
    done = desk.run("admin", "migrate", "--from", own(desk), "--to", url)
    assert done.code == 10 and "the record does not verify" in done.err
    assert desk.run("run", "list", env={"RUNNOTARY_DATABASE_URL": url}).code in (3, 10)


def test_backup_and_restore_of_a_shared_record(desk: Desk, postgres: Postgres, tmp_path: Path) -> None:
    shared = {"RUNNOTARY_DATABASE_URL": postgres.fresh(), "RUNNOTARY_HOME": str(tmp_path / "shared")}
    desk.ok("start", "f.yaml", env=shared)
    desk.ok("admin", "backup", "--output", "copy", env=shared)
    assert "1 run" in desk.ok("verify", "--deep", "--home", "copy", env=shared).out
    assert len(desk.ok("run", "list", "--home", "copy", env=shared).out.splitlines()) == 2
    assert desk.ok("run", "show", "@latest", "--home", "copy", env=shared).out
    assert desk.run("admin", "restore", "copy", env=shared).code == 5, "there is a record"
    anew = {"RUNNOTARY_DATABASE_URL": postgres.fresh(), "RUNNOTARY_HOME": str(tmp_path / "anew")}
    done = desk.ok("admin", "restore", "copy", "--reason", "the disk died", env=anew)
    assert "a new key signs from now on" in done.out
    desk.ok("start", "f.yaml", env=anew)
    report = desk.ok("verify", "--deep", env=anew).out
    assert "2 runs" in report and "! restored from a backup of" in report
    desk.ok("admin", "restore", "copy", "--home", "alone")
    assert "! restored from a backup of" in desk.ok("verify", "--deep", "--home", "alone").out
