"""Code snapshots: what a pattern stands for, what is never in one, and the git revision beside it."""

import os
import subprocess
from pathlib import Path

import pytest

from runnotary.core.hashing import digest
from runnotary.formats.snapshot import Refused, find, hashed, revision


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "flow"
    for name in ["b.py", "a.py", "run.sh", "lib/x.py", "lib/deep/y.py", "lib/deep/z.txt", ".hidden.py"]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for name in [".git/config.py", "__pycache__/a.py", ".runnotary/x.py", "lib/__pycache__/c.py"]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("never")
    (folder / "run.sh").chmod(0o755)
    (tmp_path / "secret.py").write_text("outside")
    return folder


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.py", ["a.py"]),
        ("?.py", ["a.py", "b.py"]),
        ("[a-c].py", ["a.py", "b.py"]),
        ("*.py", [".hidden.py", "a.py", "b.py"]),
        ("lib/*.py", ["lib/x.py"]),
        ("**/*.py", [".hidden.py", "a.py", "b.py", "lib/deep/y.py", "lib/x.py"]),
        ("lib/**", ["lib/deep/y.py", "lib/deep/z.txt", "lib/x.py"]),
        ("lib", ["lib/deep/y.py", "lib/deep/z.txt", "lib/x.py"]),
        ("l*/deep/z*", ["lib/deep/z.txt"]),
    ],
)
def test_patterns(base: Path, pattern: str, names: list[str]) -> None:
    found = find(base, pattern)
    assert list(found) == names
    assert all(path == base / name for name, path in found.items())


@pytest.mark.parametrize(
    "pattern", ["nothing.py", "*.rb", ".git/config.py", "**/config.py", "__pycache__/*.py", "lib/x.py/y"]
)
def test_what_names_nothing_is_refused(base: Path, pattern: str) -> None:
    with pytest.raises(Refused, match="no file matches"):
        find(base, pattern)


def test_links_do_not_lead_out(base: Path) -> None:
    (base / "inside.py").symlink_to("a.py")
    assert "inside.py" in find(base, "*.py")
    (base / "up").symlink_to(base.parent)
    assert "up/secret.py" not in find(base, "**/*.py")
    with pytest.raises(Refused):
        find(base, "up/secret.py")
    (base / "out.py").symlink_to(base.parent / "secret.py")
    with pytest.raises(Refused, match=r'"out.py" is a link that leads out'):
        find(base, "*.py")
    with pytest.raises(Refused, match="leads out"):
        find(base, "out.py")


def test_links_in_a_circle_end(base: Path) -> None:
    (base / "lib" / "again").symlink_to(base)
    (base / "self.py").symlink_to("self.py")
    assert "lib/x.py" in find(base, "**/*.py")


def test_what_is_no_file_is_left_out(base: Path) -> None:
    os.mkfifo(base / "pipe.py")
    assert "pipe.py" not in find(base, "*.py")


def test_names_that_cannot_be_recorded_are_refused(base: Path) -> None:
    Path(os.fsdecode(os.fsencode(base) + b"/\xff.py")).write_text("x")
    with pytest.raises(Refused, match="cannot be recorded"):
        find(base, "*.py")


def test_a_file_is_known_by_its_content(base: Path) -> None:
    found = hashed(base / "run.sh")
    assert (found.blob, found.size, found.executable) == (digest(b"run.sh"), 6, True)
    assert not hashed(base / "a.py").executable
    with pytest.raises(Refused, match="cannot be read"):
        hashed(base / "gone.py")


def git(base: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", base, *identity, *words], check=True, capture_output=True)


def test_the_revision_beside_a_snapshot(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("1")
    assert revision(tmp_path, ["a.py"]) == {}
    git(tmp_path, "init", "-q")
    assert revision(tmp_path, ["a.py"]) == {}
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "x")
    clean = revision(tmp_path, ["a.py"])
    assert len(clean["git"]) == 40
    assert clean["changes"] == 0
    (tmp_path / "a.py").write_text("2")
    assert revision(tmp_path, ["a.py"]) == clean | {"changes": 1}
    assert revision(tmp_path, ["a.py", "b.py"]) == clean | {"changes": 2}
