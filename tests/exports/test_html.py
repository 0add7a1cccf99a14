"""The page of a run: all of it is there, nothing of it acts, and it fits on screens and on paper."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Page

from runnotary.core import chain
from runnotary.core.events import By, StreamErased
from runnotary.core.telling import told
from runnotary.exports import html
from runnotary.exports.material import LogRow, Material, Stored, Tombstone
from tests.exports.recorded import HOSTILE, HOSTILE_LABEL, ODD_NAME, Home
from tests.web.conftest import chromium  # noqa: F401  (a fixture)

Json = Any
FLOWS = ("report", "failing", "unstarted", "calculated", "silent", "gated")
WIDTHS = (390, 1440)
A4_WIDTH_PX = 680
"""What is left of A4 between the margins, at 96 px an inch."""


class Shape(HTMLParser):
    """A page as a browser would take it: elements, attributes, and the text that is seen."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.seen: list[str] = []
        self.style = ""
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.seen.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.seen))


@pytest.fixture(scope="module")
def pages(home: Home) -> dict[str, bytes]:
    return {flow: html.make(home.material(flow)) for flow in FLOWS}


@pytest.fixture
def material(home: Home) -> Material:
    return home.material("report")


# --- nothing acts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", FLOWS)
def test_no_script_no_address_and_every_element_is_closed(pages: dict[str, bytes], flow: str) -> None:
    shape = Shape(pages[flow])
    assert shape.open == []
    allowed = {"html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "div"}
    allowed |= {
        "h1",
        "h2",
        "h3",
        "p",
        "span",
        "strong",
        "dl",
        "dt",
        "dd",
        "ul",
        "li",
        "pre",
        "table",
        "caption",
    }
    allowed |= {"thead", "tbody", "tr", "th", "td"}
    assert {tag for tag, _ in shape.elements} <= allowed
    names = {name for _, attributes in shape.elements for name in attributes}
    assert names <= {"lang", "charset", "http-equiv", "content", "name", "class", "colspan"}
    assert "url(" not in shape.style
    assert "@import" not in shape.style


def test_the_policy_allows_this_style_and_nothing_else(pages: dict[str, bytes]) -> None:
    shape = Shape(pages["report"])
    [policy] = [
        one["content"] for _, one in shape.elements if one.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = b64encode(sha256(shape.style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_hostile_words_are_words(pages: dict[str, bytes]) -> None:
    shape = Shape(pages["failing"])
    assert HOSTILE_LABEL in "".join(shape.seen)
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
    assert "".join(shape.seen).count(shown) == 3  # given to the run, given to the attempt, printed by it
    assert b"\x1b" not in pages["failing"]
    assert "\u202e" not in pages["failing"].decode()


# --- all of it is there ----------------------------------------------------------------------------


def test_who_when_what_and_every_hash(pages: dict[str, bytes], material: Material) -> None:
    text = Shape(pages["report"]).text
    run = material.run
    for word in (
        run["id"],
        run["created_by"],
        run["label"],
        run["definition_hash"],
        "Words counted",
        ODD_NAME,
    ):
        assert word in text
    assert run["created_at"][11:26] in text
    for task in material.tasks:
        assert task["key"] in text
        for attempt in task["attempts"]:
            assert attempt["fingerprint"] in text
            for file in attempt["outputs"].values():
                assert file["blob"][7:] in text
            for log in (attempt["stdout"], attempt["stderr"]):
                assert log is None or log["digest"][7:] in text
    assert "Attempt 1 failed, exit 7" in text
    assert "Attempt 2 success, exit 0" in text
    assert "never skipped" in text
    assert "not yet" in text  # the end of what the failed attempt printed


def test_what_people_were_asked_and_answered(pages: dict[str, bytes]) -> None:
    text = Shape(pages["gated"]).text
    assert "Publish <b>it</b>? approved" in text
    assert ": <i>as it should be</i>" in text


def test_every_event_in_words(pages: dict[str, bytes], material: Material) -> None:
    text = Shape(pages["report"]).text
    for entry in material.history:
        for one in told(entry, material.flow):
            assert re.sub(r"\s+", " ", str(one)) in text
    assert "user:" in text


def test_lineage_checkpoint_key_and_doubts(pages: dict[str, bytes], material: Material) -> None:
    text = Shape(pages["report"]).text
    assert f"sorted.txt ← sort ← {ODD_NAME} sha256:" in text
    assert material.public_key in text
    assert material.run["log"]["head"] in text
    assert re.sub(r"\s+", " ", material.checkpoint).strip() in text
    assert "No witness signed the checkpoint" in text
    assert "Times are those of the host's clock" in text


def test_a_witness_and_a_run_that_goes_on(material: Material) -> None:
    note = material.checkpoint + material.checkpoint.splitlines()[-1].replace("— ", "— other-") + "\n"
    going = material.run | {"status": "running", "ended_at": None}
    text = Shape(html.make(replace(material, checkpoint=note, run=going))).text
    assert "No witness" not in text
    assert "witnesses: other-" in text
    assert "The run was not over" in text


def test_what_was_erased_keeps_its_place(material: Material) -> None:
    erasing = StreamErased(stream="run/x", by=By("user:eve"), reason="<b>asked to</b>", seqs=(2,))
    sealed = chain.seal(b"\3x", 7, bytes(32), 1, bytes(16), erasing, bytes(16))
    row = LogRow(1, 6, 7, sealed.hash)
    tombstone = Tombstone(b"\3x", bytes(32), row, (b"", sealed.envelope), 7, sealed.body, ())
    kept = tuple(entry for entry in material.history if entry.seq not in (2, 3))
    events = tuple(replaced(one) if one.seq in (2, 3) else one for one in material.events)
    without = replace(material, history=kept, events=events, tombstones=(tombstone,))
    shape = Shape(html.make(without))
    assert "task.startedwhat it said was erased by user:eve: <b>asked to</b>" in shape.text
    assert "task.startedwhat it said was erased " in shape.text
    assert "Parts of the record were erased on purpose" in shape.text


def replaced(stored: Stored) -> Stored:
    return Stored(stored.seq, stored.envelope, None)


def test_output_that_is_gone_is_said_to_be(material: Material) -> None:
    text = Shape(html.make(replace(material, has_blob=lambda _: False))).text
    assert "(the home keeps this output no more)" in text
    assert "Some output is no more in the home" in text


def test_a_page_has_a_largest_size(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "TASKS_MAX", 2)
    monkeypatch.setattr(html, "EVENTS_MAX", 3)
    monkeypatch.setattr(html, "TEXT_MAX", 10)
    monkeypatch.setattr(html, "ROWS_MAX", 4)
    file = {"$file": "sha256:" + "0" * 64, "name": "f", "size": 1}
    outputs = {"files": [file | {"name": f"f{number}"} for number in range(1_004)]}
    run = material.run | {"inputs": {"long": "x" * 5_000_000}, "outputs": outputs}
    code = {f"{number:04}.py": material.flow.code["sort_words.py"] for number in range(1_005)}
    material = replace(material, flow=msgspec.structs.replace(material.flow, code=code))
    page = html.make(replace(material, run=run))
    text = Shape(page).text
    assert f"{len(material.tasks) - 2} more are left out" in text
    assert f"{len(material.events) - 3} more are left out" in text
    assert text.count("1,000 more are left out of this page") == 2, "files, and sentences about them"
    assert "1,001 more are left out of this page" in text
    assert "xxxxxxxxxx … 4,999,990 more characters" in text
    assert len(page) < 50_000


def test_the_same_record_is_the_same_page(pages: dict[str, bytes], home: Home) -> None:
    assert html.make(home.material("report")) == pages["report"]


# --- in a browser ----------------------------------------------------------------------------------


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:  # noqa: F811
    context = chromium.new_context()
    opened = context.new_page()
    yield opened
    context.close()


@pytest.fixture(scope="module")
def files(pages: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for flow, data in pages.items():
        (folder / f"{flow}.html").write_bytes(data)
    return {flow: folder / f"{flow}.html" for flow in pages}


def test_a_browser_shows_it_without_complaint_at_any_width(page: Page, files: dict[str, Path]) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    for flow in ("report", "failing"):
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(files[flow].as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.evaluate("getComputedStyle(document.querySelector('h2')).borderBottomWidth") == "2px"
    assert complaints == []
    assert set(requests) == {files[flow].as_uri() for flow in ("report", "failing")}


def test_it_prints_on_a4_and_nothing_is_cut_off(page: Page, files: dict[str, Path]) -> None:
    page.goto(files["report"].as_uri())
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4_WIDTH_PX, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    data = page.pdf(prefer_css_page_size=True)
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)
    assert len(sizes) > 2
    assert {(round(float(width)), round(float(height))) for width, height in sizes} == {(595, 842)}
