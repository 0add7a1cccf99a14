"""Exports and `verify BUNDLE` as users ask for them: commands, client, route; in a home and of a server."""

from __future__ import annotations

import asyncio
import errno
import re
import subprocess
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import httpx2
import msgspec
import pytest

import runnotary
from runnotary.api.wire import AsFile
from runnotary.cli.entry import run
from runnotary.cli.table_runs import LOOKING
from runnotary.core.errors import InvalidInput, NotEnded, RunNotFound
from runnotary.exports.bundle import make
from runnotary.exports.formats import FORMATS
from runnotary.exports.material import Material
from tests.cli.served import Served
from tests.cli.terminal import COMMAND, Desk
from tests.exports.bundles import Holder, checked
from tests.exports.conftest import Lab
from tests.exports.test_bundle import material_of
from tests.server.up import API, Up

MAKES = """
flow: makes
inputs: {size: {type: integer, default: 10}}
steps:
  make: {run: 'head -c "$size" /dev/zero > out.bin', with: {size: "${{ inputs.size }}"}, files: [out.bin]}
outputs: {made: "${{ steps.make.files['out.bin'] }}"}
"""
WAITS = "flow: waits\nsteps: {one: {run: 'touch $TOP/begun; while [ ! -e $TOP/go ]; do sleep 0.02; done'}}\n"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A server of its own."""
    server = Up(tmp_path / "up").start()
    yield server
    server.close()


@pytest.fixture(params=[Desk, Served], ids=["home", "server"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """A desk with one run; its commands work in a home, or ask a server."""
    opened = request.param(tmp_path / "desk") if request.param is Served else Desk(tmp_path / "desk")
    opened.path.mkdir(exist_ok=True)
    opened.write("makes.yaml", MAKES)
    opened.ok("start", "makes.yaml", "--wait")
    yield opened
    opened.close()


# --- commands --------------------------------------------------------------------------------------


def test_a_run_is_exported_and_verified_elsewhere(desk: Desk, tmp_path: Path) -> None:
    done = desk.ok("run", "export", "@latest", "--output", "bundle.zip")
    size = (desk.path / "bundle.zip").stat().st_size
    assert done.out == f"bundle.zip: {size:,} bytes\ncheck it: runnotary verify bundle.zip\n"
    desk.ok("run", "export", "@latest", "--format", "bundle", "--output", "again/bundle.zip")
    first, again = desk.path / "bundle.zip", desk.path / "again" / "bundle.zip"
    assert first.read_bytes() == again.read_bytes()
    key = Holder.of(desk.home).key
    elsewhere = Desk(tmp_path / "elsewhere")
    elsewhere.path.mkdir()
    (elsewhere.path / "bundle.zip").write_bytes(first.read_bytes())
    (elsewhere.path / "lab.pub").write_text(key.text)
    done = elsewhere.ok("verify", "bundle.zip", "--key", "lab.pub")
    assert done.out == f"{checked(first.read_bytes(), key)}\n"
    assert elsewhere.ok("verify", "bundle.zip", "--key", key.text).out == done.out
    assert "! key: from the bundle, unproven\n" in elsewhere.ok("verify", "./bundle.zip").out
    document = elsewhere.json("verify", "bundle.zip")
    assert document["ok"]
    assert document["findings"] == []
    assert document["run"] == desk.json("run", "show", "@latest")["id"]
    assert elsewhere.ok("verify", "bundle.zip", "-o", "name").out == "True\n"
    assert sorted(path.name for path in elsewhere.path.iterdir()) == ["bundle.zip", "lab.pub"]


def test_what_is_wrong_with_a_bundle_is_exit_status_10(desk: Desk) -> None:
    desk.ok("run", "export", "@latest", "--output", "bundle.zip")
    bundle = desk.path / "bundle.zip"
    stranger = Holder.stranger("lab")
    done = desk.run("verify", "bundle.zip", "--key", stranger.key.text)
    assert (done.code, "does not vouch for it" in done.out) == (10, True)
    bundle.write_bytes(bundle.read_bytes()[:-1])
    done = desk.run("verify", "bundle.zip")
    assert done.code == 10
    assert done.out == "✗ the file is cut off: its directory is not complete\nverify: FAILED\n"
    document = desk.run("verify", "bundle.zip", "-o", "json").json
    assert (document["ok"], document["findings"][0]["where"]) == (False, "bundle.zip")
    for data, said in ((b"", "the file is empty"), (b"text", "this is no bundle")):
        bundle.write_bytes(data)
        done = desk.run("verify", "bundle.zip")
        assert (done.code, said in done.out) == (10, True)


def test_what_cannot_be_asked(desk: Desk) -> None:
    desk.ok("run", "export", "@latest", "--output", "bundle.zip")
    before = (desk.path / "bundle.zip").read_bytes()
    for words, code, said in (
        ("run export @latest --output bundle.zip", 5, "bundle.zip exists"),
        ("run export @latest --output .", 5, "is a folder"),
        ("run export nothing", 3, "no run NOTHING"),
        ("run export @latest --format pdf", 2, "pdf"),
        ("verify nothing.zip", 3, "nothing.zip is not here"),
        ("verify no/such", 3, "no/such is not here"),
        ("verify bundle.zip --key nonsense", 2, "no public key"),
        ("verify bundle.zip --checkpoint bundle.zip", 2, "--checkpoint is for a home"),
    ):
        done = desk.run(*words.split())
        assert done.code == code, done
        assert said.lower() in done.err.lower(), done
        assert "Traceback" not in done.err
    assert (desk.path / "bundle.zip").read_bytes() == before
    desk.ok("run", "export", "@latest", "--output", "bundle.zip", "--force")
    assert [one.name for one in desk.path.iterdir() if one.name.startswith(".") and one.is_file()] == []


def test_what_is_empty_is_not_what_was_left_out(desk: Desk) -> None:
    """A variable of a script that nobody set: less would be checked than was asked for, and called right."""
    desk.ok("run", "export", "@latest", "--output", "bundle.zip")
    for words in (("bundle.zip", "--key", ""), ("",), ("--key", ""), ("--flow", ""), ("--checkpoint", "")):
        done = desk.run("verify", *words)
        assert (done.code, done.out, "is empty" in done.err) == (2, "", True), (words, done)


def test_a_name_as_long_as_names_can_be(desk: Desk) -> None:
    name = "\u6f22" * 83 + ".zip"
    desk.ok("run", "export", "@latest", "--output", name)
    assert "verify: ok" in desk.ok("verify", name).out
    assert sorted(one.name for one in desk.path.iterdir() if one.name.startswith(".runnotary-")) == []


def test_a_run_that_goes_on_has_no_bundle_and_leaves_no_file(desk: Desk) -> None:
    desk.write("waits.yaml", WAITS.replace("$TOP", str(desk.path)))
    going = desk.begin("start", "waits.yaml", "--wait")
    desk.wait_for("begun")
    done = desk.run("run", "export", "@latest", "--output", "bundle.zip")
    assert (done.code, "goes on" in done.err) == (5, True), done
    done = desk.run("run", "export", "@latest:makes", "--output", "other.zip")
    assert done.code == 0, "while another process has the home, that one exports"
    assert checked((desk.path / "other.zip").read_bytes()).ok
    desk.write("go", "")
    assert desk.end(going).code == 0
    assert not (desk.path / "bundle.zip").exists()
    assert not list(desk.path.glob(".runnotary-*"))


def test_standard_output(lab: Lab, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with (tmp_path / "out.zip").open("wb") as file:
        words = ["run", "export", lab.runs["silent"], "--home", str(lab.home)]
        subprocess.run([*COMMAND, *words], stdout=file, env=desk.environ, check=True, timeout=60)
    assert (tmp_path / "out.zip").read_bytes() == lab.bundles["silent"]


def test_neither_a_home_nor_a_server_is_asked_to_verify(lab: Lab, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "bundle.zip").write_bytes(lab.bundles["report"])
    nobody = {"RUNNOTARY_URL": "http://127.0.0.1:9", "RUNNOTARY_HOME": str(tmp_path / "none")}
    assert desk.ok("verify", "bundle.zip", env=nobody).out.endswith("verify: ok\n")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.zip"]


def test_a_full_disk_is_named_and_nothing_is_left_on_it(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(material: Material) -> Iterator[bytes]:
        yield b"some"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(FORMATS, "html", replace(FORMATS["html"], make=full))
    words = ["run", "export", lab.runs["silent"], "--home", str(lab.home), "--format", "html"]
    assert run([*words, "--output", str(tmp_path / "there" / "page.html")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'there'}: No space left on device\n"
    assert list((tmp_path / "there").iterdir()) == []


def test_a_pipe_is_no_bundle_that_is_wrong(lab: Lab, tmp_path: Path) -> None:
    command = [*COMMAND, "verify", "/dev/stdin"]
    done = subprocess.run(
        command,
        input=lab.bundles["silent"],
        capture_output=True,
        env=Desk(tmp_path).environ,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"/dev/stdin cannot be read: File or stream is not seekable" in done.stderr


# --- client and route ------------------------------------------------------------------------------


def test_the_client_writes_a_file(lab: Lab, tmp_path: Path) -> None:
    with runnotary.Client(home=str(lab.home)) as client:
        made = client.export_run(lab.runs["report"], tmp_path / "bundle.zip")
        assert made == tmp_path / "bundle.zip"
        assert made.read_bytes() == lab.bundles["report"]
        client.export_run(lab.runs["silent"], str(made))
        assert made.read_bytes() == lab.bundles["silent"]
        long = tmp_path / ("\u6f22" * 83 + ".zip")
        client.export_run(lab.runs["silent"], long).unlink()
        with pytest.raises(RunNotFound):
            client.export_run("0" * 26, tmp_path / "other.zip")
        with pytest.raises(InvalidInput):
            client.export_run(lab.runs["silent"], tmp_path / "other.zip", format="pdf")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.zip"]


def test_the_client_for_asyncio_writes_the_same(lab: Lab, tmp_path: Path) -> None:
    async def work() -> None:
        async with runnotary.AsyncClient(home=str(lab.home)) as client:
            await client.export_run(lab.runs["failing"], tmp_path / "bundle.zip")

    asyncio.run(work())
    assert (tmp_path / "bundle.zip").read_bytes() == lab.bundles["failing"]


def test_the_route(up: Up) -> None:
    up.register({"flow": "quick", "steps": {"a": {"run": "echo quick"}}})
    run = up.run("quick")["id"]
    with httpx2.Client(base_url=up.url, trust_env=False) as http:
        answer = http.get(f"{API}/runs/{run}/export")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/zip"
        named = f"attachment; filename=\"quick-{run}.zip\"; filename*=UTF-8''quick-{run}.zip"
        assert answer.headers["content-disposition"] == named
        assert checked(answer.content, Holder.of(up.home).key).ok
        assert http.get(f"{API}/runs/{run}/export?format=bundle").content == answer.content
        assert http.head(f"{API}/runs/{run}/export").content == b""
        for query, status in (("format=pdf", 422), ("form=bundle", 422), ("format=", 422)):
            assert http.get(f"{API}/runs/{run}/export?{query}").status_code in (400, status), query
        assert http.get(f"{API}/runs/{'0' * 26}/export").status_code == 404


def test_the_words_for_formats_are_one_list(lab: Lab) -> None:
    """The table of formats, the route, the command and the client."""
    (command,) = (one for one in LOOKING if one.words == ("run", "export"))
    (option,) = (one for one in command.options if "--format" in one.names)
    assert list(option.choices or ()) == list(FORMATS)
    taken = msgspec.json.schema(AsFile)["$defs"]["AsFile"]["properties"]["format"]["enum"]
    assert set(taken) == set(FORMATS)


# --- large -----------------------------------------------------------------------------------------


def test_a_large_blob_is_never_held_in_memory(lab: Lab) -> None:
    """256 MiB through the writer, the pieces thrown away as a slow disk would take them."""
    material, piece, count = material_of(lab, "silent"), bytes(1 << 20), 256
    hashed = sha256()
    for _ in range(count):
        hashed.update(piece)
    digest, plain = f"sha256:{hashed.hexdigest()}", material.blob_pieces
    old = re.findall(r"sha256:[0-9a-f]{64}", material.events[-2].text or "")[0]
    body = (material.events[-2].text or "").replace(old, digest)
    event = msgspec.structs.replace(
        material.events[-2], body=(material.events[-2].body or b"")[:16] + body.encode()
    )
    events = (*material.events[:-2], event, material.events[-1])

    def pieces(name: str) -> Iterator[bytes]:
        return (piece for _ in range(count)) if name == digest else plain(name)

    tracemalloc.start()
    try:
        size = sum(map(len, make(replace(material, events=events, blob_pieces=pieces))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > count << 20
    assert peak < 24 << 20


def test_a_large_file_comes_through_every_door_piece_by_piece(desk: Desk) -> None:
    desk.ok("start", "makes.yaml", "-i", f"size={40 << 20}", "--wait")
    desk.ok("run", "export", "@latest", "--output", "large.zip")
    with zipfile.ZipFile(desk.path / "large.zip") as there:
        assert max(one.file_size for one in there.infolist()) == 40 << 20
    assert "verify: ok" in desk.ok("verify", "large.zip").out


def test_several_at_once_are_the_same(lab: Lab, tmp_path: Path) -> None:
    with runnotary.Client(home=str(lab.home)) as client:
        work = [
            threading.Thread(target=client.export_run, args=(lab.runs["report"], tmp_path / f"{number}.zip"))
            for number in range(8)
        ]
        for one in work:
            one.start()
        for one in work:
            one.join()
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {lab.bundles["report"]}


def test_an_open_run_is_refused_by_the_client(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "waits.yaml").write_text(WAITS.replace("$TOP", str(tmp_path)))
    with runnotary.Client(home=str(tmp_path / "home")) as client:
        run = client.run_flow(tmp_path / "waits.yaml", {})
        with pytest.raises(NotEnded):
            client.export_run(run.id, tmp_path / "bundle.zip")
        (tmp_path / "go").write_text("")
        client.wait_for_run(run.id, timeout=60)
        client.export_run(run.id, tmp_path / "bundle.zip")
    report = checked((tmp_path / "bundle.zip").read_bytes())
    assert report.ok, report
