"""The verifier in a bundle needs Python and `cryptography`, and nothing of this product."""

from __future__ import annotations

import ast
import importlib.metadata
import io
import json
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from runnotary.exports import bundle_program, verifier
from tests.exports.bundles import Holder, checked, zipped
from tests.exports.conftest import Lab

PATIENCE_S = 120
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "", "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with `cryptography` and what that needs: from the registry, else copied from ours."""
    place = tmp_path_factory.mktemp("empty") / "venv"
    made = [sys.executable, "-m", "venv"]
    if subprocess.run([*made, str(place)], capture_output=True, timeout=PATIENCE_S, check=False).returncode:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([*made, "--without-pip", str(place)], check=True, timeout=PATIENCE_S)
    python = place / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "0"]
    wanted = [*pip, "--timeout", "15", "cryptography"]
    try:
        answered = subprocess.run(wanted, capture_output=True, timeout=PATIENCE_S, check=False)
        installed = answered.returncode == 0
    except subprocess.TimeoutExpired:
        installed = False
    if not installed:
        _copied(place)
    return python


def _copied(place: Path) -> None:
    target = next(place.glob("lib/python3*/site-packages"))
    source = Path(sysconfig.get_paths()["purelib"])
    for name in ("cryptography", "cffi", "pycparser"):
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / file, target / file)


def run(python: Path, folder: Path, arguments: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    command = [str(python), "verify.py", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Path:
    """What somebody gets: a bundle, the verifier out of it, and a key by another way."""
    (tmp_path / "bundle.zip").write_bytes(lab.bundles["report"])
    (tmp_path / "verify.py").write_bytes(lab.members()["verify.py"])
    (tmp_path / "lab.pub").write_text(f"{lab.holder.key.text}\n")
    return tmp_path


def test_an_empty_environment_has_none_of_it(python: Path) -> None:
    for name in ("runnotary", "msgspec"):
        gone = subprocess.run([python, "-I", "-c", f"import {name}"], capture_output=True, check=False)
        assert b"ModuleNotFoundError" in gone.stderr


def test_a_key_that_is_empty_is_none_and_not_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--key "$KEY"` in a script that never set it."""
    assert verifier.main([str(folder / "bundle.zip"), "--key", ""]) == 2
    assert "no public key" in capsys.readouterr().err


def test_it_verifies_there(lab: Lab, folder: Path, python: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    answer = run(python, folder, ["bundle.zip", "--key", "lab.pub"])
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout == f"{checked(lab.bundles['report'], lab.holder.key)}\n"
    assert answer.stdout.endswith("verify: ok\n")
    assert "unproven" not in answer.stdout
    assert sorted(path.name for path in folder.iterdir()) == before, "nothing is unpacked"


def test_it_says_so_without_a_key_and_as_a_document(folder: Path, python: Path) -> None:
    answer = run(python, folder, ["bundle.zip"])
    assert answer.returncode == 0
    assert "! key: from the bundle, unproven\n" in answer.stdout
    document = json.loads(run(python, folder, ["bundle.zip", "--json"]).stdout)
    assert document["ok"]
    assert document["not_proven"][0] == "key: from the bundle, unproven"


def test_a_terminal_without_its_letters_is_no_reason_to_fail(folder: Path, python: Path) -> None:
    command = [str(python), "verify.py", "bundle.zip"]
    poor = ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    answer = subprocess.run(
        command, cwd=folder, env=poor, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert (answer.returncode, answer.stdout.splitlines()[-1], answer.stderr) == (0, b"verify: ok", b"")


def test_it_refuses_there(lab: Lab, folder: Path, python: Path) -> None:
    data = lab.bundles["report"]
    missing = {name: one for name, one in lab.members().items() if name != "log.jsonl"}
    forged = lab.members() | {"run.json": lab.members()["run.json"].replace(b"success", b"failed")}
    for bundle, reason in (
        (b"", "the file is empty"),
        (data[:-9], "cut off"),
        (data + b"!", "bytes follow behind the end"),
        (data[:5000] + bytes((data[5000] ^ 1,)) + data[5001:], "changed"),
        (zipped(missing), "log.jsonl is missing"),
        (zipped([("../verify.py", b"x"), *lab.members().items()]), "leads out of the bundle"),
        (lab.holder.bundle(forged), "run.json does not say what the events say"),
    ):
        (folder / "bundle.zip").write_bytes(bundle)
        answer = run(python, folder, ["bundle.zip", "--key", "lab.pub"])
        assert answer.returncode == 10, answer.stdout
        assert reason in answer.stdout
        assert answer.stdout.endswith("verify: FAILED\n")


def test_a_key_that_is_not_that_of_the_home(folder: Path, python: Path) -> None:
    answer = run(python, folder, ["bundle.zip", "--key", Holder.stranger("lab").key.text])
    assert answer.returncode == 10
    assert "does not vouch for it" in answer.stdout


@pytest.mark.parametrize("arguments", [["nothing.zip"], ["bundle.zip", "--key", "no key"], ["."], []])
def test_what_cannot_be_read_is_a_usage_error(folder: Path, python: Path, arguments: list[str]) -> None:
    answer = run(python, folder, arguments)
    assert answer.returncode == 2
    assert answer.stderr.startswith(("verify.py: ", "usage: "))
    assert "Traceback" not in answer.stderr


# --- the file itself -------------------------------------------------------------------------------


def test_every_bundle_has_the_very_program(lab: Lab) -> None:
    for flow in lab.runs:
        assert lab.members(flow)["verify.py"] == bundle_program.program()


def test_it_imports_the_standard_library_and_cryptography_only() -> None:
    tree = ast.parse(bundle_program.program())
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.partition(".")[0] for name in named}
    assert roots - sys.stdlib_module_names == {"cryptography"}
    assert not roots & {"tempfile", "subprocess", "socket", "shutil", "zipfile", "pickle"}


def test_its_parts_share_no_name_that_means_two_things() -> None:
    """They stand in one file: what two of them define must be the same text."""
    defined: dict[str, set[str]] = {}
    for node in ast.parse(bundle_program.program()).body:
        for name in _names(node):
            defined.setdefault(name, set()).add(ast.unparse(node))
    assert not {name for name, texts in defined.items() if len(texts) > 1}
    counts = Counter(name for node in ast.parse(bundle_program.program()).body for name in _names(node))
    assert {name for name, count in counts.items() if count > 1} <= {"Json"}


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [
        one.id for target in targets for one in ast.walk(target or ast.Pass()) if isinstance(one, ast.Name)
    ]


def test_it_holds_every_line_of_its_parts() -> None:
    text = bundle_program.program().decode()
    for part in bundle_program.PARTS:
        source = Path(str(part.__file__)).read_text()
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert ast.get_source_segment(source, node) in text


def test_the_command_and_the_program_are_one(lab: Lab) -> None:
    """The file as a module: the same report, about good and bad bundles."""
    there: dict[str, object] = {"__name__": "there"}
    sys.modules["there"] = sys.modules[__name__]  # dataclasses look their module up
    try:
        exec(compile(bundle_program.program(), "verify.py", "exec"), there)
    finally:
        del sys.modules["there"]
    verify = there["verify"]
    assert callable(verify)
    data = lab.bundles["failing"]
    for bundle in (data, data[:-1], data[:2000] + b"x" + data[2001:], b"", zipped(lab.members("silent"))):
        assert str(verify(io.BytesIO(bundle))) == str(verifier.verify(io.BytesIO(bundle)))
