"""Secrets: they reach the step, and nothing that is written down."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runnotary.core.attempts import Attempt, Outcome
from runnotary.executors.process.leaks import Leaks
from runnotary.executors.secrets import SecretMissing, Secrets
from tests.executors.contract import Driver, drive
from tests.executors.rig import ProcessRig

SECRET = 's3cr/t "ü" +key'


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ProcessRig]:
    with ProcessRig(tmp_path) as rig:
        rig.environ["RUNNOTARY_SECRET_SALES"] = SECRET
        yield rig


def run(rig: ProcessRig, line: str, **fields: object) -> tuple[Attempt, Outcome]:
    attempt = rig.shell(line, secrets={"KEY": "SALES"}, **fields)
    found: list[Outcome] = []

    async def scene(driver: Driver) -> None:
        found.append(await driver.run(attempt))
        await driver.executor.release(attempt.id, keep=True)

    drive(rig, scene)
    assert SECRET not in repr(found[0])
    assert found_in(rig.home) == []
    assert found_in(rig.blobs.folder) == []
    return attempt, found[0]


def found_in(folder: Path) -> list[str]:
    """Every file below that holds the secret in a form somebody could read it from, or in its name."""
    leaks = Leaks({"SALES": SECRET})
    found = [str(path) for path in folder.rglob("*") if path.is_file() and leaks.in_bytes(path.read_bytes())]
    return found + [str(path) for path in folder.rglob("*") if leaks.in_text(path.name)]


def test_a_secret_reaches_the_step_and_is_masked_in_its_log(rig: ProcessRig) -> None:
    expected = base64.b64encode(SECRET.encode()).decode()
    _, outcome = run(
        rig,
        'echo "[$KEY]"; printf %s "$KEY" | base64 -w0; echo; echo "again $KEY" >&2; '
        'test "$(printf %s "$KEY" | base64 -w0)" = "$expected"; env | grep -c RUNNOTARY_SECRET || true',
        variables={"expected": "x"},
    )
    assert outcome.exit_code == 1, expected
    assert outcome.stdout is not None
    assert outcome.stderr is not None
    assert rig.blobs.get(outcome.stdout.blob) == b"[***]\n***\n"
    assert rig.blobs.get(outcome.stderr.blob) == b"again ***\n"
    evidence = json.loads(rig.blobs.get(outcome.environment))
    assert evidence["secrets"] == ["KEY"]
    assert "KEY" in evidence["names"]


def test_the_hash_of_the_environment_does_not_depend_on_it(rig: ProcessRig) -> None:
    _, first = run(rig, "true")
    rig.environ["RUNNOTARY_SECRET_SALES"] = "quite another one"
    _, second = run(rig, "true")
    assert first.environment == second.environment


LEAKS = {
    "a value": ('echo "key=$KEY" > $RUNNOTARY_OUTPUT; echo x > out.txt', "the values"),
    "a file": ('echo n=1 > $RUNNOTARY_OUTPUT; echo "$KEY" > out.txt', "the file out.txt"),
    "a late byte": (
        'echo n=1 > $RUNNOTARY_OUTPUT; head -c 1048570 /dev/zero > out.txt; printf %s "$KEY" >> out.txt',
        "the file out.txt",
    ),
    "a tree": ('echo x > out.txt; mkdir d; printf %s "$KEY" | base64 > d/f', "a file of d"),
    "a name": ('echo x > out.txt; mkdir -p "d/$KEY"; touch "d/$KEY/x"', "a file of d"),
}


@pytest.mark.parametrize("case", LEAKS)
def test_a_secret_in_an_output_fails_the_attempt_and_nothing_of_it_is_kept(
    rig: ProcessRig, case: str
) -> None:
    line, where = LEAKS[case]
    trees = ("d",) if "mkdir" in line else ()
    attempt, outcome = run(rig, line, files=("out.txt",), trees=trees)
    assert outcome.failure is not None, outcome
    assert (outcome.failure.code, outcome.reason) == ("secret_in_output", "secret_in_output")
    assert where in outcome.failure.message
    assert "SALES" in outcome.failure.message
    assert (outcome.values, outcome.files, outcome.values_large) == ({}, {}, None)
    assert rig.folder(attempt).exists()


def test_messages_and_metrics_are_masked(rig: ProcessRig) -> None:
    rig.environ["RUNNOTARY_SECRET_SALES"] = "plain-secret"
    attempt, outcome = run(
        rig,
        'touch "$KEY"; printf \'{"metric": {"who": "%s", "n": 1}}\\n\' "$KEY" > $RUNNOTARY_REPORT',
        files=("missing.txt",),
    )
    assert outcome.failure is not None
    assert outcome.failure.code == "file_missing"
    assert outcome.failure.message.endswith("the work folder holds ***")
    assert outcome.metrics == {"who": "***", "n": 1}
    assert os.listdir(rig.folder(attempt) / "work") == []
    assert not (rig.folder(attempt) / "report").exists()


def test_clean_outputs_of_an_attempt_with_secrets_are_kept(rig: ProcessRig) -> None:
    _, outcome = run(rig, "echo n=1 > $RUNNOTARY_OUTPUT; echo x > out.txt", files=("out.txt",))
    assert (outcome.failure, outcome.values) == (None, {"n": "1"})
    assert rig.blobs.get(outcome.files["out.txt"].blob) == b"x\n"


def test_a_failed_step_leaves_a_folder_without_it(rig: ProcessRig) -> None:
    attempt, outcome = run(rig, 'echo "$KEY" > notes; ln -s "$KEY" link; echo ok > fine; exit 1')
    assert outcome.exit_code == 1
    assert sorted(os.listdir(rig.folder(attempt) / "work")) == ["fine"]


REFUSED = {"missing": (None, "secret_missing"), "short": ("12345", "secret_too_short")}


@pytest.mark.parametrize("case", REFUSED)
def test_a_secret_that_cannot_be_used(rig: ProcessRig, case: str) -> None:
    value, code = REFUSED[case]
    del rig.environ["RUNNOTARY_SECRET_SALES"]
    if value:
        rig.environ["RUNNOTARY_SECRET_SALES"] = value
    _, outcome = run(rig, "true")
    assert outcome.failure is not None
    assert outcome.failure.code == code
    assert "SALES" in outcome.failure.message


def test_a_later_engine_that_lost_the_secret_keeps_no_output(rig: ProcessRig) -> None:
    attempt = rig.shell(
        'echo "$KEY"; echo "$KEY" > out.txt; echo "key=$KEY" > $RUNNOTARY_OUTPUT',
        secrets={"KEY": "SALES"},
        files=("out.txt",),
    )

    async def first(driver: Driver) -> None:
        await driver.run(attempt)

    async def second(driver: Driver) -> None:
        assert await driver.executor.find(attempt)
        outcome = await driver.ended(attempt)
        assert outcome.failure is not None
        assert outcome.failure.code == "secret_missing"
        assert (outcome.values, outcome.files, outcome.metrics) == ({}, {}, {})
        await driver.executor.release(attempt.id, keep=True)

    drive(rig, first)
    del rig.environ["RUNNOTARY_SECRET_SALES"]
    drive(rig, second)
    assert found_in(rig.home) == []
    assert found_in(rig.blobs.folder) == []


# --- providers -------------------------------------------------------------------------------------


def command(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import sys; {text}")


def test_providers() -> None:
    echo = command("print('from-' + sys.argv[1])")
    assert Secrets({"RUNNOTARY_SECRET_A": "env-value"}, echo)("A") == "env-value"
    assert Secrets({}, echo)("A") == "from-A"


BROKEN = {
    "none": ((), "set RUNNOTARY_SECRET_A"),
    "does not know": (command("sys.exit(1)"), "no secret A"),
    "not there": (("/nonexistent/command",), "does not start"),
    "too slow": (command("import time; time.sleep(60)"), "within 0.2 s"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_provider_that_fails(case: str) -> None:
    line, part = BROKEN[case]
    with pytest.raises(SecretMissing, match=part):
        Secrets({}, line, timeout_s=0.2)("A")


def test_a_name_that_is_no_name() -> None:
    with pytest.raises(SecretMissing, match="cannot be the name"):
        Secrets({"RUNNOTARY_SECRET_A B": "x"})("A B")
