"""The pages in Debian's Chromium: they fit, read, stay current, and the browser never complains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, expect

from tests.web.conftest import House, Json
from tests.web.flows import (
    ALL,
    BREAKOUT,
    FAILING,
    FOLDERS,
    GOING,
    HOSTILE_FLOW,
    MARKUP,
    ODD_NAME,
    PLAIN,
    PRINTABLE,
    SAID,
)

WIDTHS = (390, 1440)
SCHEMES = ("light", "dark")
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)

# Contrast by WCAG 2: of each text that is seen, against what is painted behind it.
CONTRAST = """
() => {
  const parse = (text) => [...text.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const part = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] > 0.99) return color;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const one = walk.currentNode.parentElement;
    if (!walk.currentNode.nodeValue.trim() || !one.getClientRects().length) continue;
    const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${one.className} ${one.textContent.slice(0, 40)}`);
  }
  return found;
}
"""
SMALL = """
() => [...document.querySelectorAll("button, .button, input:not([type=hidden]):not([type=checkbox]), select")]
  .filter((one) => one.getClientRects().length && one.getBoundingClientRect().height < 24)
  .map((one) => one.outerHTML.slice(0, 80))
"""
VIOLATIONS = """
window.violations = [];
const note = (one) => violations.push(`${one.violatedDirective} ${one.blockedURI}`);
document.addEventListener("securitypolicyviolation", note);
"""


class Watched:
    """A window and everything its browser complained of."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        context.add_init_script(VIOLATIONS)
        self.page: Page = context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def go(self, address: str) -> None:
        answer = self.page.goto(address)
        assert answer is not None and answer.status == 200, address
        self.page.wait_for_load_state("load")

    def check(self) -> None:
        assert self.page.evaluate("window.violations") == []
        assert self.complaints == []


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    window = Watched(context)
    yield window
    context.close()
    assert window.complaints == []


@pytest.fixture(scope="module")
def runs(house: House) -> dict[str, Json]:
    return {
        "plain": house.run(PLAIN, label="the first", tags=("nightly",)),
        "failed": house.run(FAILING),
        "folders": house.run(FOLDERS),
        "hostile": house.run(HOSTILE_FLOW, inputs={"given": ALL}, label=SAID, tags=PRINTABLE),
    }


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def going(house: House, gate: Path) -> Iterator[str]:
    run = house.start(GOING, inputs={"gate": str(gate)})
    yield run
    gate.touch()
    house.ended(run)


def paths(runs: dict[str, Json], going: str) -> list[str]:
    failed, plain, hostile, folders = (runs[name]["id"] for name in ("failed", "plain", "hostile", "folders"))
    tree = runs["folders"]["outputs"]["site"]["$dir"]
    return [
        "/",
        "/?status=waiting",
        f"/runs/{failed}",
        f"/runs/{failed}/steps/break",
        f"/runs/{failed}/log",
        f"/runs/{plain}",
        f"/runs/{plain}/files/{runs['plain']['outputs']['rows']['$file']}",
        f"/runs/{folders}",
        f"/runs/{folders}/files/{tree}",
        f"/runs/{folders}/files/{tree}/pages/index.html",
        f"/runs/{folders}/files/{tree}/{quote(ODD_NAME)}",
        f"/runs/{hostile}",
        f"/runs/{hostile}/steps/fail",
        f"/runs/{going}",
        f"/runs/{going}/cancel",
        "/flows",
        "/flows/plain",
        "/flows/hostile",
        "/start/hostile",
        "/start/plain",
        f"/definitions/{runs['plain']['definition_hash']}",
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_reads_and_raises_no_complaint(
    chromium: Browser, house: House, runs: dict[str, Json], going: str, width: int, scheme: Any
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    window = Watched(context)
    for path in paths(runs, going):
        window.go(house.url + path)
        wide = window.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is {wide} wide"
        assert window.page.evaluate(CONTRAST) == [], path
        assert window.page.evaluate(SMALL) == [], path
        window.check()
    context.close()


def test_hostile_text_does_nothing(house: House, runs: dict[str, Json], watched: Watched) -> None:
    for path in ("/", f"/runs/{runs['hostile']['id']}", "/flows/hostile", "/start/hostile"):
        watched.go(house.url + path)
        assert watched.page.locator("img[src=x]").count() == 0
        assert watched.page.locator("script").count() == 1
        expect(watched.page.locator("body")).to_contain_text(
            MARKUP if path != "/start/hostile" else "hostile"
        )
        watched.check()
    watched.go(f"{house.url}/?q={BREAKOUT}")
    assert watched.page.locator("input[name=q]").input_value() == BREAKOUT


def test_the_policy_is_in_force(house: House, runs: dict[str, Json], watched: Watched) -> None:
    """What a mistake of ours would let in, the browser refuses."""
    watched.go(house.url)
    watched.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')")
    watched.page.wait_for_function("() => window.violations.length > 0")
    assert any("script-src" in one for one in watched.page.evaluate("window.violations"))
    assert not any(one.startswith("dialog") for one in watched.complaints)
    watched.complaints.clear()


def test_the_runs_are_current_without_being_asked(house: House, watched: Watched, gate: Path) -> None:
    watched.go(house.url)
    expect(watched.page.locator("[data-connection]")).to_have_text("live")
    run = house.start(GOING, inputs={"gate": str(gate)}, label="a new one")
    row = watched.page.locator(f"#run-{run}")
    expect(row).to_contain_text("running")
    expect(row).to_contain_text("a new one")
    gate.touch()
    expect(row).to_contain_text("success")
    expect(watched.page.locator("[role=status]")).to_contain_text("success")
    watched.check()


def test_a_run_is_current_while_it_goes_on(house: House, going: str, gate: Path, watched: Watched) -> None:
    watched.go(f"{house.url}/runs/{going}")
    page = watched.page
    expect(page).to_have_title(re.compile("^running"))
    tail = page.locator("#tail-talk pre")
    expect(tail).to_contain_text("still here")
    expect(tail).to_contain_text(re.compile(r"still here ([3-9]\d|\d{3})"))
    page.locator("text=Cancel…").focus()
    gate.touch()
    expect(page.locator(".verdict")).to_contain_text("success")
    expect(page).to_have_title(re.compile("^success"))
    expect(page.locator("#task-after")).to_contain_text("success")
    expect(page.locator("text=Cancel…")).to_have_count(0)
    expect(page.locator("[data-connection]")).to_have_text("")
    watched.check()


def test_a_change_of_the_page_leaves_focus_and_selection(house: House, going: str, watched: Watched) -> None:
    watched.go(f"{house.url}/runs/{going}")
    page = watched.page
    expect(page.locator("#tail-talk pre")).to_contain_text("still here")
    link = page.locator("#task-after a")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#record-title'))")
    link.focus()
    text = page.locator("#tail-talk pre").inner_text()
    page.wait_for_function("(text) => document.querySelector('#tail-talk pre').innerText !== text", arg=text)
    assert page.evaluate("document.activeElement.textContent") == "after"
    assert page.evaluate("String(getSelection())") == "Record"


def test_a_page_comes_back_to_life_after_the_server_did(tmp_path: Path, chromium: Browser) -> None:
    house = House(tmp_path)
    port = int(house.url.rpartition(":")[2])
    context = chromium.new_context()
    window = Watched(context)
    window.go(house.url)
    connection = window.page.locator("[data-connection]")
    expect(connection).to_have_text("live")
    house.close()
    expect(connection).to_contain_text("no answer")
    house = House(tmp_path, port=port)
    try:
        run = house.run(PLAIN)["id"]
        expect(window.page.locator(f"#run-{run}")).to_contain_text("success")
        expect(connection).to_have_text("live")
    finally:
        context.close()
        house.close()


def test_from_nothing_to_a_finished_demo_by_clicks(empty_house: House, watched: Watched) -> None:
    page = watched.page
    watched.go(empty_house.url)
    page.get_by_role("button", name="Start the demo").click()
    expect(page).to_have_title(re.compile("^running"))
    expect(page.locator("#tail-roll pre")).to_contain_text("rolling part 1 of 4")
    expect(page.locator("progress")).to_have_count(1)
    expect(page.locator(".verdict")).to_contain_text("success")
    page.get_by_role("link", name="report.txt").first.click()
    expect(page.locator("pre")).to_contain_text("3.5 expected")
    page.go_back()
    page.get_by_role("button", name="Run again").click()
    expect(page.locator(".facts")).to_contain_text("again after")
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_label("Reason").fill("seen enough")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".verdict")).to_contain_text("cancelled")
    expect(page.locator(".log")).to_contain_text("seen enough")
    watched.check()


def test_a_flow_is_started_by_its_form(house: House, runs: dict[str, Json], watched: Watched) -> None:
    page = watched.page
    watched.go(f"{house.url}/flows")
    page.get_by_role("link", name="plain", exact=True).click()
    page.get_by_role("link", name="Start…").click()
    page.get_by_label("rows").fill("5")
    page.get_by_label("Label").fill("by hand")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".verdict")).to_contain_text("success")
    expect(page.locator("h1")).to_contain_text("by hand")
    watched.check()


def test_everything_works_without_script(chromium: Browser, empty_house: House) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(empty_house.url)
    page.get_by_role("button", name="Start the demo").click()
    expect(page.locator(".verdict")).to_contain_text("running")
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the run").click()
    run = page.url.rpartition("/")[2]
    assert empty_house.ended(run)["status"] == "cancelled"
    page.reload()
    expect(page.locator(".verdict")).to_contain_text("cancelled")
    page.get_by_role("link", name="Runs").first.click()
    page.get_by_label("Search").fill("nothing like it")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("main")).to_contain_text("No run fits")
    context.close()


IN_SIGHT = """
() => {
  const pre = document.querySelector(".tail pre"), text = pre.querySelector("code").lastChild;
  const range = document.createRange();
  range.setStart(text, text.length - 2);
  range.setEnd(text, text.length - 1);
  const end = range.getBoundingClientRect(), frame = pre.getBoundingClientRect();
  return [pre.scrollHeight > pre.clientHeight, end.top > frame.top && end.bottom <= frame.bottom];
}
"""


@pytest.mark.parametrize("script", [True, False])
def test_the_last_line_that_was_printed_is_in_sight(
    chromium: Browser, house: House, runs: dict[str, Json], script: bool
) -> None:
    context = chromium.new_context(java_script_enabled=script)
    page = context.new_page()
    page.goto(f"{house.url}/runs/{runs['failed']['id']}/steps/break")
    assert page.evaluate(IN_SIGHT) == [True, True]
    context.close()


def test_a_time_of_another_day_is_in_utc_wherever_the_browser_is(
    chromium: Browser, house: House, runs: dict[str, Json]
) -> None:
    context = chromium.new_context(timezone_id="Asia/Tokyo")
    page = context.new_page()
    page.goto(f"{house.url}/runs/{runs['plain']['id']}")
    time = page.locator("time[data-ago]").first
    time.evaluate("(one) => { one.dateTime = '2020-01-31T23:30:00.000000Z'; }")
    expect(time).to_have_text("2020-01-31 23:30")
    context.close()


def test_a_run_takes_one_line_of_the_list(house: House, watched: Watched) -> None:
    """However long the name of whoever started it: a page of runs is to be seen at a glance."""
    run = house.run(PLAIN)["id"]
    watched.page.set_viewport_size({"width": 1440, "height": 900})
    watched.go(house.url)
    lines = watched.page.evaluate(
        """(id) => { const row = document.getElementById(`run-${id}`), style = getComputedStyle(row);
                     return row.getBoundingClientRect().height / parseFloat(style.lineHeight); }""",
        run,
    )
    assert lines < 2


def test_a_keyboard_gets_everywhere_and_sees_where_it_is(
    house: House, runs: dict[str, Json], watched: Watched
) -> None:
    watched.go(f"{house.url}/runs/{runs['failed']['id']}")
    page = watched.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        here = page.evaluate(
            """() => {
              const one = document.activeElement, style = getComputedStyle(one);
              const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
              return [one.nodeName, one.textContent.trim(), seen];
            }"""
        )
        if here[0] != "BODY":
            assert here[2], here
            reached.add(here[1])
    assert {"Runs", "Flows", "Run again", "begin", "break"} <= reached


def test_on_paper_there_is_the_record_and_no_buttons(
    house: House, runs: dict[str, Json], watched: Watched
) -> None:
    watched.go(f"{house.url}/runs/{runs['failed']['id']}")
    watched.page.emulate_media(media="print")
    expect(watched.page.get_by_role("button", name="Run again")).to_be_hidden()
    expect(watched.page.locator("text=the last words").first).to_be_visible()
    expect(watched.page.get_by_text(runs["failed"]["log"]["head"])).to_be_visible()


def test_signing_in_and_out(tmp_path: Path, chromium: Browser) -> None:
    house = House(tmp_path, local=False)
    access = house.operations.access
    house.call(access.grant(house.who, "default", "user:ana", "operator"))
    _, secret = house.call(access.create_token(house.who, "user:ana", name="browser"))
    context = chromium.new_context()
    window = Watched(context)
    page = window.page
    try:
        page.goto(f"{house.url}/flows")
        page.get_by_label("Token").fill(secret)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{house.url}/flows")
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("link", name="Runs").click()
        expect(page.locator("[data-connection]")).to_have_text("live")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        page.goto(f"{house.url}/")
        expect(page.get_by_label("Token")).to_be_visible()
        window.check()
    finally:
        context.close()
        house.close()
