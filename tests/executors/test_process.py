"""A step as a process: what it finds, what it leaves, and what is made of it."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runnotary.core import trace, trees
from runnotary.core.attempts import Attempt, Outcome
from runnotary.core.events import Log
from runnotary.executors.process import ProcessExecutor
from runnotary.ports import Report
from tests.executors.contract import Driver, drive
from tests.executors.rig import ProcessRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ProcessRig]:
    with ProcessRig(tmp_path) as rig:
        yield rig


def run(rig: ProcessRig, attempt: Attempt, *, keep: bool = True) -> Outcome:
    found: list[Outcome] = []

    async def scene(driver: Driver) -> None:
        found.append(await driver.run(attempt))
        await driver.executor.release(attempt.id, keep=keep)

    drive(rig, scene)
    return found[0]


def stdout(rig: ProcessRig, outcome: Outcome) -> str:
    assert outcome.stdout is not None, outcome
    return rig.blobs.get(outcome.stdout.blob).decode()


def failure(outcome: Outcome) -> tuple[str, str]:
    assert outcome.failure is not None, outcome
    return outcome.failure.code, outcome.failure.message


# --- what a step finds -----------------------------------------------------------------------------


def test_the_environment_is_exactly_the_stated_one(rig: ProcessRig) -> None:
    rig.environ = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "LANG": "C.UTF-8",
        "LC_TIME": "C",
        "EXTRA": "inherited",
        "NOT_ASKED": "no",
        "RUNNOTARY_SECRET_X": "never-inherited",
        "RUNNOTARY_HOME": "no",
        "TRACEPARENT": "00-11111111111111111111111111111111-2222222222222222-01",
    }
    data = rig.file(b"1,2\n", "orders.csv")
    attempt = rig.attempt_of(
        ("/usr/bin/env", "-0"),
        key="clean",
        number=2,
        variables={
            "text": "a b=c",
            "share": 0.15,
            "flag": False,
            "nothing": None,
            "many": [1, "x"],
            "orders": data,
            "pair": [data, {"also": data}],
        },
        environment={"PUBLIC": "ä", "LANG": "C"},
        inherit=("EXTRA", "ABSENT", "TRACEPARENT"),
    )
    outcome = run(rig, attempt)
    folder = rig.folder(attempt)
    found = dict(item.split("=", 1) for item in stdout(rig, outcome).split("\0")[:-1])
    assert found == {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "LANG": "C",
        "LC_TIME": "C",
        "EXTRA": "inherited",
        "TMPDIR": f"{folder}/tmp",
        "text": "a b=c",
        "share": "0.15",
        "flag": "false",
        "nothing": "",
        "many": '[1,"x"]',
        "orders": f"{folder}/inputs/orders/orders.csv",
        "pair": f'["{folder}/inputs/pair/1/orders.csv",{{"also":"{folder}/inputs/pair/2/orders.csv"}}]',
        "PUBLIC": "ä",
        "RUNNOTARY_ATTEMPT": attempt.id,
        "RUNNOTARY_RUN": attempt.run,
        "RUNNOTARY_STEP": "clean",
        "RUNNOTARY_TRY": "2",
        "RUNNOTARY_OUTPUT": f"{folder}/output",
        "RUNNOTARY_REPORT": f"{folder}/report",
        "TRACEPARENT": trace.traceparent(attempt.run, attempt.id),
    }
    evidence = json.loads(rig.blobs.get(outcome.environment))
    assert evidence["names"] == sorted(found)
    assert evidence["public"] == {"PUBLIC": "ä", "LANG": "C", "LC_TIME": "C"}
    assert evidence["secrets"] == []


def test_equal_content_has_equal_evidence(rig: ProcessRig) -> None:
    def outcome(number: int, text: str) -> Outcome:
        file = rig.file(b"same", "same.txt")
        return run(rig, rig.shell("true", number=number, variables={"file": file, "text": text}))

    first, second, other = outcome(1, "a"), outcome(2, "a"), outcome(1, "b")
    assert first.environment == second.environment != other.environment
    assert first.runtime == second.runtime
    runtime = json.loads(rig.blobs.get(first.runtime))
    assert runtime["kind"] == "process"
    assert any(name.startswith("msgspec==") for name in runtime["distributions"])


def test_code_staged_files_and_inputs_lie_where_they_belong(rig: ProcessRig) -> None:
    tree = trees.manifest(
        [
            trees.Entry("bin/go.sh", rig.blobs.put(b"#!/bin/sh\necho went\n"), 20, True),
            trees.Entry("a.txt", rig.blobs.put(b"a"), 1, False),
        ]
    )
    folder_value = {"$dir": rig.blobs.put(tree), "name": "plots/", "size": 21}
    attempt = rig.shell(
        'lib/tool.sh; cat data.txt; "$tree/bin/go.sh"; stat -c "%a %n" lib/* data.txt box/a.txt; '
        'cd "$tree"; stat -c "%a %n" a.txt bin/go.sh; cd ../../..; stat -c "%a %n" inputs/one/f.csv; pwd',
        code={
            "lib/tool.sh": rig.code(b"#!/bin/sh\necho tool\n", "tool.sh"),
            "lib/plain.py": rig.code(b"print()", "plain.py"),
        },
        executables=frozenset({"lib/tool.sh"}),
        staged={"data.txt": rig.file(b"data\n", "whatever"), "box": folder_value},
        variables={"tree": folder_value, "one": rig.file(b"f", "deep/down/f.csv")},
    )
    assert stdout(rig, run(rig, attempt)).splitlines() == [
        "tool",
        "data",
        "went",
        "644 lib/plain.py",
        "755 lib/tool.sh",
        "644 data.txt",
        "644 box/a.txt",
        "444 a.txt",
        "555 bin/go.sh",
        "444 inputs/one/f.csv",
        str(rig.folder(attempt)),
    ]


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../x", "", "a//b", "a\0b", "."])
def test_names_that_lead_elsewhere_are_refused(rig: ProcessRig, name: str) -> None:
    file = rig.code(b"x", "x")
    outcome = run(rig, rig.shell("true", code={name: file}))
    assert failure(outcome)[0] == "bad_path"
    assert not (rig.home / "attempts" / "out").exists()


@pytest.mark.parametrize("name", ["..", "a/..", "x\0y"])
def test_input_names_that_are_no_names_are_refused(rig: ProcessRig, name: str) -> None:
    outcome = run(rig, rig.shell("true", variables={"f": rig.file(b"x", name)}))
    assert failure(outcome)[0] == "bad_path"


def test_a_tree_that_leads_elsewhere_is_refused(rig: ProcessRig) -> None:
    manifest = json.dumps([{"blob": rig.blobs.put(b"x"), "path": "../../x", "size": 1, "x": False}])
    value = {"$dir": rig.blobs.put(manifest.encode()), "name": "t", "size": 1}
    outcome = run(rig, rig.shell("true", variables={"t": value}))
    assert failure(outcome)[0] == "blob_damaged"


# --- what cannot start -----------------------------------------------------------------------------


def missing_blob(rig: ProcessRig) -> Attempt:
    return rig.shell("true", variables={"f": {"$file": "sha256:" + "0" * 64, "name": "f", "size": 1}})


def damaged_blob(rig: ProcessRig) -> Attempt:
    value = rig.file(b"good", "f")
    (rig.blobs.folder / value["$file"]).write_bytes(b"evil")
    return rig.shell("true", variables={"f": value})


CANNOT_START: dict[str, tuple[Callable[[ProcessRig], Attempt], str, str]] = {
    "no blob": (missing_blob, "blob_missing", "input f:"),
    "bad blob": (damaged_blob, "blob_damaged", "input f:"),
    "no command": (lambda rig: rig.attempt_of(("nonesuch",)), "command_not_found", "nonesuch"),
    "no file": (lambda rig: rig.attempt_of(("./nonesuch",)), "command_not_found", "./nonesuch"),
    "no x": (
        lambda rig: rig.attempt_of(("./plain",), code={"plain": rig.code(b"echo", "plain")}),
        "not_executable",
        "./plain",
    ),
    "long variable": (
        lambda rig: rig.shell("true", variables={"big": "x" * 200_000}),
        "arguments_too_long",
        "variable big has 200,00",
    ),
    "long argument": (
        lambda rig: rig.attempt_of(("true", "x" * 200_000)),
        "arguments_too_long",
        "argument 1 has 200,000",
    ),
    "very long": (
        lambda rig: rig.attempt_of(("true", "x" * (17 << 20))),
        "arguments_too_long",
        "files instead",
    ),
    "NUL": (lambda rig: rig.shell("true", variables={"v": "a\0b"}), "bad_variable", "'v'"),
    "bad name": (lambda rig: rig.shell("true", variables={"a-b": "x"}), "bad_variable", "a-b"),
    "secret inherited": (
        lambda rig: rig.shell("true", inherit=("RUNNOTARY_SECRET_X",)),
        "bad_variable",
        "RUNNOTARY_SECRET_X",
    ),
}


@pytest.mark.parametrize("case", CANNOT_START)
def test_what_cannot_start_says_why(rig: ProcessRig, case: str) -> None:
    make, code, part = CANNOT_START[case]
    outcome = run(rig, make(rig))
    assert outcome.exit_code is None
    assert failure(outcome)[0] == code
    assert part in failure(outcome)[1]
    assert outcome.reason == "error"


def test_a_full_disk_before_the_start(rig: ProcessRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rig.blobs, "stage", full)
    outcome = run(rig, rig.shell("true", variables={"f": rig.file(b"x", "f")}))
    assert failure(outcome)[0] == "disk_full"
    assert "Free some space" in failure(outcome)[1]


def test_a_full_disk_at_the_end_keeps_the_digest_of_the_log(
    rig: ProcessRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> tuple[str, int]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rig.blobs, "put_file", full)
    outcome = run(rig, rig.shell("echo hello"))
    assert failure(outcome)[0] == "disk_full"
    assert outcome.exit_code == 0
    assert outcome.stdout is not None
    assert (outcome.stdout.size, outcome.stdout.blob, outcome.stdout.truncated) == (6, "", True)


# --- how it ended ----------------------------------------------------------------------------------


def test_a_signal_and_what_was_used(rig: ProcessRig) -> None:
    outcome = run(rig, rig.shell("echo bye; kill -SEGV $$"))
    assert (outcome.exit_code, outcome.signal, outcome.stopped) == (None, 11, False)
    assert outcome.cpu_ms is not None
    assert outcome.max_rss_bytes
    assert outcome.max_rss_bytes > 1 << 20
    assert (outcome.host, outcome.containment) == (os.uname().nodename, "scan")
    assert outcome.pid > 0


def test_stop_kills_what_went_into_sessions_of_its_own(rig: ProcessRig) -> None:
    script = (
        "setsid bash -c 'trap \"\" TERM; sleep 1000' & "
        "(setsid bash -c 'sleep 1000 & disown; sleep 1001' &) ; "
        "trap '' TERM; touch ready; while true; do sleep 0.1; done"
    )
    attempt = rig.shell(script, grace_ms=200)

    async def scene(driver: Driver) -> None:
        await driver.executor.start(attempt)
        await until_file(rig.folder(attempt) / "work" / "ready")
        assert len(rig.strays(attempt)) >= 4
        await driver.executor.stop(attempt.id, 200)
        outcome = await driver.ended(attempt)
        assert (outcome.signal, outcome.stopped) == (9, True)
        assert rig.strays(attempt) == []

    drive(rig, scene)


async def until_file(path: Path) -> None:
    async with asyncio.timeout(30):
        while not path.exists():
            await asyncio.sleep(0.01)


# --- values ----------------------------------------------------------------------------------------


def test_values_by_lines_are_read_by_their_type(rig: ProcessRig) -> None:
    attempt = rig.shell(
        'printf "rows=12\\nname=12\\nok=true\\nlist=[1,2]\\n" > $RUNNOTARY_OUTPUT',
        values={"rows": "integer", "name": "string", "ok": "boolean", "list": "array"},
    )
    assert run(rig, attempt).values == {"rows": 12, "name": "12", "ok": True, "list": [1, 2]}


BAD_VALUES = {
    "wrong type": ("rows=many", "values.rows: integer expected, got many"),
    "wrong JSON type": ('{"rows": "12"}', 'values.rows: integer expected, got string "12"'),
    "missing": ("", "values.rows: integer expected, nothing was written"),
    "unknown": ('{"rows": 1, "row": 1}', "values.row: not declared; did you mean rows?"),
    "NaN": ('{"rows": NaN}', "NaN is not JSON"),
    "too long": ('{"rows": 9223372036854775808}', "does not fit into 64 bits"),
    "reserved": ('{"rows": {"$file": "sha256:x"}}', "$file is reserved"),
    "no JSON": ('{"rows": ', "is not a JSON object"),
    "binary": ("\\xff\\xfe", "is not UTF-8"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_values_that_do_not_fit_fail_the_attempt(rig: ProcessRig, case: str) -> None:
    text, part = BAD_VALUES[case]
    line = 'printf "%b" "$text" > $RUNNOTARY_OUTPUT'
    outcome = run(rig, rig.shell(line, variables={"text": text}, values={"rows": "integer"}))
    assert (failure(outcome)[0], outcome.reason) == ("invalid_output", "invalid_output")
    assert part in failure(outcome)[1]
    assert outcome.values == {}
    assert outcome.exit_code == 0


def test_large_values_become_a_blob(rig: ProcessRig) -> None:
    text = "x" * 20_000
    attempt = rig.shell('printf \'{"text": "%s"}\' "$text" > $RUNNOTARY_OUTPUT', variables={"text": text})
    outcome = run(rig, attempt)
    assert outcome.values == {}
    assert outcome.values_large is not None
    assert json.loads(rig.blobs.get(outcome.values_large.blob)) == {"text": text}


def test_an_output_that_is_no_file_any_more(rig: ProcessRig) -> None:
    outcome = run(rig, rig.shell("mkfifo $RUNNOTARY_OUTPUT", values={"n": "integer"}))
    assert failure(outcome)[0] == "invalid_output"


# --- files and trees -------------------------------------------------------------------------------


BAD_FILES = {
    "missing": ("echo x > other.csv", "file out.csv: is not there; the work folder holds other.csv"),
    "empty folder": ("true", "is not there; the work folder is empty"),
    "directory": ("mkdir out.csv", "is a directory; declare it under `dirs`"),
    "pipe": ("mkfifo out.csv", "is not a regular file"),
    "link out": ("ln -s /etc/passwd out.csv", "leads out of the work folder"),
    "link up": ("ln -s ../shell.json out.csv", "leads out of the work folder"),
    "broken link": ("ln -s nowhere out.csv", "is not there"),
    "work replaced": ("cd ..; mv work w; ln -s /etc work; ln -s /etc/passwd w/out.csv", "leads out"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_declared_files_that_cannot_be_taken_fail_the_attempt(rig: ProcessRig, case: str) -> None:
    line, part = BAD_FILES[case]
    outcome = run(rig, rig.shell(line, files=("out.csv",)))
    assert (failure(outcome)[0], outcome.reason) == ("file_missing", "invalid_output")
    assert part in failure(outcome)[1]
    assert outcome.files == {}


def test_a_link_inside_is_the_file_it_leads_to(rig: ProcessRig) -> None:
    outcome = run(rig, rig.shell("mkdir d; echo x > d/real; ln -s d/real out", files=("out", "d/real")))
    assert outcome.files["out"].blob == outcome.files["d/real"].blob


def entries(rig: ProcessRig, outcome: Outcome, name: str) -> dict[str, tuple[bytes, bool]]:
    found = outcome.files[name]
    assert found.tree
    read = trees.entries(rig.blobs.get(found.blob))
    assert found.size == sum(entry.size for entry in read)
    return {entry.path: (rig.blobs.get(entry.blob), entry.x) for entry in read}


def test_trees_of_a_directory_and_of_globs(rig: ProcessRig) -> None:
    line = (
        "mkdir -p p/deep p/empty; printf a > p/a.svg; printf b > p/deep/b.svg; printf c > p/.c; "
        "printf r > p/run.sh; chmod +x p/run.sh; printf t > top.svg; ln -s ../top.svg p/link.svg"
    )
    names = ("p/", "p/*.svg", "**/*.svg", "p/**")
    outcome = run(rig, rig.shell(line, trees=names))
    assert entries(rig, outcome, "p/") == {
        ".c": (b"c", False),
        "a.svg": (b"a", False),
        "deep/b.svg": (b"b", False),
        "link.svg": (b"t", False),
        "run.sh": (b"r", True),
    }
    assert set(entries(rig, outcome, "p/*.svg")) == {"a.svg", "link.svg"}
    assert set(entries(rig, outcome, "**/*.svg")) == {
        "p/a.svg",
        "p/deep/b.svg",
        "p/link.svg",
        "top.svg",
    }
    assert set(entries(rig, outcome, "p/**")) == {"a.svg", "deep/b.svg", "link.svg", "run.sh"}
    again = run(rig, rig.shell(line, trees=names))
    assert again.files == outcome.files


BAD_TREES = {
    "missing": ("true", "p", "is not there"),
    "a file": ("echo > p", "p", "declare it under `files`"),
    "no match": ("mkdir p", "p/*.csv", "matches no file"),
    "link out": ("mkdir p; ln -s /etc/passwd p/x", "p", "leads out of the work folder"),
    "link to a directory": ("mkdir p q; ln -s ../q p/x", "p", "x in it is a link to a directory"),
    "pipe": ("mkdir p; mkfifo p/x", "p", "not a regular file"),
    "up": ("true", "../..", "not a relative path"),
    "bytes": ("mkdir p; touch $'p/\\xff'", "p", "not UTF-8"),
}


@pytest.mark.parametrize("case", BAD_TREES)
def test_trees_that_cannot_be_taken_fail_the_attempt(rig: ProcessRig, case: str) -> None:
    line, pattern, part = BAD_TREES[case]
    outcome = run(rig, rig.shell(line, trees=(pattern,)))
    assert (failure(outcome)[0], outcome.reason) == ("file_missing", "invalid_output")
    assert part in failure(outcome)[1]


# --- logs and reports ------------------------------------------------------------------------------


def test_a_long_log_is_hashed_whole_and_kept_in_part(tmp_path: Path) -> None:
    with ProcessRig(tmp_path, log_limit=1000) as rig:
        outcome = run(rig, rig.shell("seq 1 1000; echo to stderr >&2"))
    whole = "".join(f"{n}\n" for n in range(1, 1001)).encode()
    assert outcome.stdout is not None
    kept = rig.blobs.get(outcome.stdout.blob)
    assert outcome.stdout == Log(rig.blobs.put(whole), len(whole), outcome.stdout.blob, truncated=True)
    assert kept.startswith(whole[:500])
    assert kept.endswith(whole[-500:])
    assert f"{len(whole) - 1000:,} bytes are left out".encode() in kept
    assert outcome.stderr is not None
    assert not outcome.stderr.truncated
    assert outcome.failure is None


def test_a_gigabyte_of_log_in_little_memory(rig: ProcessRig) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = run(rig, rig.shell("head -c 1G /dev/zero"), keep=False)
    assert outcome.stdout is not None
    assert (outcome.stdout.size, outcome.stdout.truncated) == (1 << 30, True)
    assert outcome.stdout.digest == (
        "sha256:49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"
    )
    assert rig.blobs.size(outcome.stdout.blob) < (16 << 20) + 1000
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 40, f"{grown:.0f} MiB more"


def test_a_log_that_never_ends_is_stopped(tmp_path: Path) -> None:
    with ProcessRig(tmp_path, log_limit=1000, log_stop=1 << 20) as rig:
        outcome = run(rig, rig.shell("yes", grace_ms=500))
    assert failure(outcome)[0] == "log_too_large"
    assert outcome.stdout is not None
    assert outcome.stdout.truncated


def test_reports_are_read_live_and_metrics_at_the_end(rig: ProcessRig) -> None:
    line = (
        'echo \'{"progress": 40, "message": "third", "metric": {"rows": 12, "loss": 0.5}}\' '
        ">> $RUNNOTARY_REPORT; "
        "echo 'no JSON' >> $RUNNOTARY_REPORT; while [ ! -e go ]; do sleep 0.05; done; "
        'echo \'{"metric": "rows", "value": 13}\' >> $RUNNOTARY_REPORT'
    )
    attempt = rig.shell(line)

    async def scene(driver: Driver) -> None:
        await driver.executor.start(attempt)
        await driver.until(lambda: any(isinstance(one, Report) for one in driver.seen))
        assert driver.seen[0] == Report(attempt.id, 40, "third", {"rows": 12, "loss": 0.5})
        (rig.folder(attempt) / "work" / "go").touch()
        outcome = await driver.ended(attempt)
        assert outcome.metrics == {"rows": 13, "loss": 0.5}

    drive(rig, scene)


# --- folders ---------------------------------------------------------------------------------------


def test_a_kept_folder_can_be_stood_in_again(rig: ProcessRig) -> None:
    attempt = rig.shell(
        "echo x > made; exit 1", variables={"v": "1"}, inherit=("PATH",), environment={"E": "e"}
    )
    run(rig, attempt)
    executor: ProcessExecutor = rig.executor()
    shell = executor.shell(attempt.id)
    assert shell is not None
    assert shell.cwd == str(rig.folder(attempt) / "work")
    assert (Path(shell.cwd) / "made").read_text() == "x\n"
    assert shell.environment["v"] == "1"
    assert shell.environment["TMPDIR"] == str(rig.folder(attempt) / "tmp")
    assert "RUNNOTARY_ATTEMPT" not in shell.environment
    assert shell.argv == attempt.argv


@pytest.mark.parametrize(
    "line",
    [
        "true",
        "echo x",
        "echo n=1 > $RUNNOTARY_OUTPUT",
        "mkdir -p d/e; echo x > d/e/f; chmod 500 d/e d",
        "rm -rf ../tmp; chmod 000 .",
        "rm -f ../stdout; ln -s /etc/passwd ../stdout",
        "touch ../extra",
    ],
)
def test_a_released_folder_is_gone_and_the_next_one_is_fresh(rig: ProcessRig, line: str) -> None:
    async def scene(driver: Driver) -> None:
        attempt = rig.shell(line)
        assert (await driver.run(attempt)).exit_code == 0
        await driver.executor.release(attempt.id, keep=False)
        assert not rig.folder(attempt).exists()
        probe = rig.shell("find .. ! -name record | sort; stat -c %a . ../tmp ../stdout; cat ../stderr")
        outcome = await driver.run(probe)
        found = stdout(rig, outcome).split()
        wanted = ["..", "../shell.json", "../stderr", "../stdout", "../tmp", "../work", "700", "700", "600"]
        assert found == wanted

    drive(rig, scene)
    assert [name for name in os.listdir(rig.home / "attempts") if name.startswith(".")] == []


def test_the_home_holds_regular_files_only(rig: ProcessRig) -> None:
    run(rig, rig.shell("false"))
    kinds = subprocess.run(
        ["find", rig.home, "!", "-type", "f", "!", "-type", "d"], capture_output=True, check=True
    )
    assert kinds.stdout == b""
    socket = Path((rig.home / "keeper").read_text().strip())
    assert socket.name == "keeper-1.sock"
    assert socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_copied_home_has_a_keeper_of_its_own(rig: ProcessRig, tmp_path: Path) -> None:
    run(rig, rig.shell("true"))
    with ProcessRig(tmp_path / "copy") as copy:
        copy.home.rmdir()
        subprocess.run(["cp", "-a", rig.home, copy.home], check=True)
        assert run(copy, copy.shell("echo x")).exit_code == 0
        assert (copy.home / "keeper").read_text() != (rig.home / "keeper").read_text()


def test_an_open_socket_directory_is_refused(rig: ProcessRig) -> None:
    run(rig, rig.shell("true"))
    socket = Path((rig.home / "keeper").read_text().strip())
    socket.parent.chmod(0o755)
    outcome = run(rig, rig.shell("true"))
    assert failure(outcome)[0] == "keeper_unavailable"
    assert "not a directory of yours alone" in failure(outcome)[1]


def test_no_process_is_left_behind(rig: ProcessRig) -> None:
    attempt = rig.shell("setsid sleep 1000 & exit 0")
    assert run(rig, attempt).exit_code == 0
    assert rig.strays(attempt) == []


def test_a_start_in_two_parts_that_the_keeper_refuses_is_asked_for_again(rig: ProcessRig) -> None:
    """A keeper that is leaving takes nothing new; the next one does, and the attempt starts once."""

    async def scene(driver: Driver) -> None:
        last = rig.attempt("sleeps")
        await driver.executor.start(last)
        assert isinstance(driver.executor, ProcessExecutor)
        leaving = driver.executor._keeper.pid
        await driver.executor._keeper.request("quit_when_idle")
        attempt = rig.attempt("ok")
        driver.executor.prepare(attempt)
        driver.executor.begin(attempt.id)
        await driver.executor.start(attempt)
        await driver.executor.stop(last.id, 0)
        assert (await driver.ended(attempt)).exit_code == 0
        assert rig.starts(attempt) == 1
        assert driver.executor._keeper.pid != leaving

    drive(rig, scene)
