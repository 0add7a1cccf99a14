"""RUNNOTARY_REQUIRE_ALL=1 turns whatever did not run into a failure that names it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
LEFT_OUT = {
    "test_skips.py": "def test_x(): pytest.skip('no postgres')",
    "test_marked.py": "@pytest.mark.skipif(True, reason='no slurm')\ndef test_x(): pass",
    "test_expected.py": "@pytest.mark.xfail(reason='no nomad')\ndef test_x(): assert False",
    "test_whole_file.py": "pytest.skip('no docker', allow_module_level=True)",
}
PASSES = {"test_runs.py": "def test_runs(): pass"}


def run_pytest(
    folder: Path, files: dict[str, str], *, require_all: str, workers: str = "0"
) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder)
    for name, body in files.items():
        (folder / name).write_text(f"import pytest\n\n{body}\n")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-n",
            workers,
            "--rootdir",
            folder,
            folder,
        ],
        env=os.environ | {"RUNNOTARY_REQUIRE_ALL": require_all, "PYTHONPATH": str(CONFTEST.parents[1])},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("workers", ["0", "1"], ids=["alone", "with xdist"])
def test_what_did_not_run_fails_the_session_and_is_named(tmp_path: Path, workers: str) -> None:
    done = run_pytest(tmp_path, PASSES | LEFT_OUT, require_all="1", workers=workers)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    listing = done.stdout.partition("these tests did not run")[2]
    assert [name for name in (*LEFT_OUT, *PASSES) if name in listing] == [*LEFT_OUT]
    for reason in ("no postgres", "no slurm", "no nomad", "no docker"):
        assert reason in listing


@pytest.mark.parametrize("name", LEFT_OUT)
def test_one_kind_is_enough(tmp_path: Path, name: str) -> None:
    done = run_pytest(tmp_path, PASSES | {name: LEFT_OUT[name]}, require_all="1")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout


def test_a_session_that_ran_everything_passes(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, PASSES, require_all="1")
    assert done.returncode == pytest.ExitCode.OK, done.stdout


def test_without_the_setting_a_skip_is_only_reported(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, PASSES | LEFT_OUT, require_all="")
    assert done.returncode == pytest.ExitCode.OK, done.stdout
