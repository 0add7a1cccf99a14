"""However a step ends, the run ends with the reason and keeps the log; nothing hangs, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runnotary.app.stores import record_of
from runnotary.core.errors import InvalidRunInput
from runnotary.core.hashing import digest
from runnotary.engine.reader import Reader
from runnotary.store.verify import verify
from tests.database import attempts_in, rows_of

Play = Callable[..., str]
Read = Callable[[], Reader]

BAD: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "exit code": ({"run": "echo why >&2; exit 3"}, "error", "exit_code", "exit 3"),
    "signal": ({"run": "kill -SEGV $$"}, "error", "signal", "signal 11"),
    "no such command": ({"run": ["no-such-command-here"]}, "error", "", "no-such-command-here"),
    "time-out": ({"run": "sleep 60", "timeout": "300ms", "grace": "1s"}, "timeout", "timeout", "0.3"),
    "time-out, TERM ignored": (
        {"run": "trap '' TERM; while :; do sleep 0.1; done", "timeout": "300ms", "grace": "300ms"},
        "timeout",
        "timeout",
        "0.3",
    ),
    "missing file": ({"run": "true", "files": ["out.csv"]}, "invalid_output", "", "out.csv"),
    "missing value": ({"run": "true", "values": {"n": "integer"}}, "invalid_output", "", "n"),
    "wrong-typed value": (
        {"run": 'echo n=many >> "$RUNNOTARY_OUTPUT"', "values": {"n": "integer"}},
        "invalid_output",
        "",
        "integer",
    ),
    "broken value file": (
        {"run": 'echo "{" >> "$RUNNOTARY_OUTPUT"', "values": {"n": "integer"}},
        "invalid_output",
        "",
        "",
    ),
    "file outside": (
        {"run": "ln -s /etc/hostname out.txt", "files": ["out.txt"]},
        "invalid_output",
        "",
        "out.txt",
    ),
    "secret missing": (
        {"run": "true", "env": {"KEY": "${{ secrets.NO_SUCH_SECRET }}"}},
        "error",
        "secret_missing",
        "RUNNOTARY_SECRET_NO_SUCH_SECRET",
    ),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_end_fails_the_run_and_says_why(how: str, play: Play, reader: Read, settings: Any) -> None:
    step, reason, code, message = BAD[how]
    run = play(
        {"steps": {"bad": step, "good": {"run": "true"}, "needs_bad": {"run": "true", "needs": ["bad"]}}}
    )
    read = reader()
    document = read.document(read.resolve(run))
    assert (document["status"], document["reason"]) == ("failed", reason)
    assert document["error"]["step"] == "bad"
    assert code in document["error"]["code"]
    assert message in document["error"]["message"]
    tasks = {task["step"]: task for task in read.tasks(read.resolve(run))}
    assert tasks["good"]["status"] == "success"
    assert tasks["needs_bad"]["reason"] == "upstream_failed"
    assert verify(record_of(settings), deep=True).findings == ()


def test_what_a_failing_step_said_is_kept(play: Play, reader: Read) -> None:
    run = play({"steps": {"bad": {"run": "echo out; echo why >&2; exit 3"}}})
    read = reader()
    (task,) = read.tasks(read.resolve(run))
    (attempt,) = task["attempts"]
    assert read.blobs.get(attempt["stdout"]["blob"]) == b"out\n"
    assert read.blobs.get(attempt["stderr"]["blob"]) == b"why\n"
    assert attempt["stderr"]["digest"] == digest(b"why\n")


def test_processes_that_hide_in_other_sessions_die_with_their_attempt(
    play: Play, reader: Read, tmp_path: Path
) -> None:
    note = tmp_path / "pids"
    script = f"setsid sh -c 'setsid sleep 300 & echo $! >> {note}; sleep 300' & echo $! >> {note}; sleep 300"
    started = time.monotonic()
    run = play({"steps": {"hides": {"run": script, "timeout": "700ms", "grace": "300ms"}}})
    assert time.monotonic() - started < 30
    read = reader()
    assert read.document(read.resolve(run))["reason"] == "timeout"
    pids = [int(line) for line in note.read_text().split()]
    assert len(pids) == 2
    assert [pid for pid in pids if alive(pid)] == []


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_independent_steps_run_at_the_same_time(play: Play, reader: Read, tmp_path: Path) -> None:
    """Each waits for the other's file, so neither could end if they ran one after the other."""
    there = f"[ -e {tmp_path}/$other ] && exit 0"
    meet = f"touch {tmp_path}/$me; for i in $(seq 200); do {there}; sleep 0.05; done; exit 1"
    steps = {
        "one": {"run": meet, "with": {"me": "one", "other": "two"}},
        "two": {"run": meet, "with": {"me": "two", "other": "one"}},
    }
    run = play({"steps": steps})
    read = reader()
    assert read.document(read.resolve(run))["status"] == "success"


def test_the_engines_environment_is_not_inherited(
    play: Play, reader: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAY_VARIABLE", "must-not-arrive")
    monkeypatch.setenv("ASKED_FOR", "may-arrive")
    step = {"run": "env | cut -d= -f1 | sort", "env": {"inherit": ["ASKED_FOR"], "OWN": "1"}}
    run = play({"steps": {"shows": step}})
    read = reader()
    ((attempt,),) = [task["attempts"] for task in read.tasks(read.resolve(run))]
    names = read.blobs.get(attempt["stdout"]["blob"]).decode().split()
    assert "STRAY_VARIABLE" not in names
    assert {"ASKED_FOR", "OWN", "PATH", "RUNNOTARY_RUN", "RUNNOTARY_OUTPUT"} <= set(names)


def test_a_secret_reaches_its_step_and_nothing_else(
    play: Play, reader: Read, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cr3t-of-the-lab-42"
    monkeypatch.setenv("RUNNOTARY_SECRET_LAB", secret)
    says = 'echo "the key is $KEY"; echo -n "$KEY" | base64'
    script = f'test ${{#KEY}} = 20; {says}; echo seen=yes >> "$RUNNOTARY_OUTPUT"'
    step = {"run": script, "env": {"KEY": "${{ secrets.LAB }}"}, "values": {"seen": "string"}}
    run = play({"steps": {"uses": step}})
    read = reader()
    assert read.document(read.resolve(run))["status"] == "success"
    ((attempt,),) = [task["attempts"] for task in read.tasks(read.resolve(run))]
    assert read.blobs.get(attempt["stdout"]["blob"]) == b"the key is ***\n***\n"
    found = [
        path for path in settings.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert found == []


def test_a_secret_in_a_declared_file_fails_the_attempt_and_is_not_kept(
    play: Play, reader: Read, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cr3t-of-the-lab-43"
    monkeypatch.setenv("RUNNOTARY_SECRET_LAB", secret)
    step = {"run": 'echo "$KEY" > out.txt', "env": {"KEY": "${{ secrets.LAB }}"}, "files": ["out.txt"]}
    run = play({"steps": {"leaks": step}})
    read = reader()
    assert read.document(read.resolve(run))["reason"] == "secret_in_output"
    kept = [
        path
        for path in settings.home.rglob("*")
        if path.is_file() and "attempts" not in path.parts and secret.encode() in path.read_bytes()
    ]
    assert kept == []


def kept(settings: Any) -> tuple[set[Path], list[int]]:
    """Return the blob files of a home and the number of rows in each table."""
    tables = ("events", "log", "runs", "tasks", "flows", "blobs")
    with rows_of(settings.home) as connection:
        rows = [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables]
    return set((settings.home / "blobs").rglob("*")), rows


def test_bad_inputs_are_refused_before_anything_is_kept(play: Play, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(100_000))
    flow = {
        "inputs": {
            "n": {"type": "integer", "minimum": 1},
            "data": {"type": "file"},
            "more": {"type": "file"},
        },
        "steps": {"a": {"run": "true"}},
    }
    play({"steps": {"a": {"run": "true"}}})
    before = kept(settings)
    with pytest.raises(InvalidRunInput) as refused:
        play(flow, given={"n": "many", "data": "big.bin", "more": "nowhere.csv"})
    assert len(refused.value.problems) == 2
    for given in ({"n": "0", "data": "big.bin", "more": "big.bin"}, {"data": "big.bin", "typo": "1"}):
        with pytest.raises(InvalidRunInput):
            play(flow, given=given)
    assert kept(settings) == before


def test_a_step_that_prints_much_is_kept_by_head_and_tail(play: Play, reader: Read) -> None:
    run = play({"steps": {"loud": {"run": "head -c 60000000 /dev/zero | tr '\\0' x; echo; echo the end"}}})
    read = reader()
    assert read.document(read.resolve(run))["status"] == "success"
    ((attempt,),) = [task["attempts"] for task in read.tasks(read.resolve(run))]
    log = attempt["stdout"]
    assert (log["size"], log["truncated"]) == (60_000_009, True)
    assert log["digest"] == digest(b"x" * 60_000_000 + b"\nthe end\n")
    kept = read.blobs.get(log["blob"])
    assert kept.startswith(b"xxx")
    assert kept.endswith(b"the end\n")
    assert len(kept) <= 17 << 20


def test_what_a_crash_left_between_receipt_and_release_is_cleared_at_the_next_start(
    play: Play, reader: Read, settings: Any
) -> None:
    run = play({"steps": {"good": {"run": "true"}, "bad": {"run": "false"}}})
    read = reader()
    ids = {task["step"]: task["attempts"][0]["id"] for task in read.tasks(read.resolve(run))}
    attempts = attempts_in(settings.home)
    assert [path.name for path in attempts.iterdir()] == [ids["bad"]]
    (attempts / ids["good"]).mkdir()
    play({"steps": {"next": {"run": "true"}}})
    assert [path.name for path in attempts.iterdir()] == [ids["bad"]]
