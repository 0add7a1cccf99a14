"""Nothing that a flow, a person or a step says reaches a page as anything but text."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.web.conftest import House, Json
from tests.web.flows import ALL, BREAKOUT, FILE, HOSTILE, HOSTILE_FLOW, MARKUP, PRINTABLE, SAID
from tests.web.markup import Markup, check, check_page

LARGEST = 700_000
"""No page of this run may be larger, though its steps print megabytes."""


@pytest.fixture(scope="module")
def hostile(house: House) -> Json:
    return house.run(
        HOSTILE_FLOW,
        inputs={"given": ALL, "tree": {MARKUP: [BREAKOUT, {ALL: ALL}]}},
        label=SAID,
        tags=PRINTABLE,
        labels={MARKUP: BREAKOUT},
        monitors=("user:monitor",),
    )


@pytest.fixture(scope="module")
def pages(house: House, hostile: Json) -> dict[str, Markup]:
    """Every page that can be reached from the run and its flow."""
    found: dict[str, Markup] = {}
    left = {"/", f"/runs/{hostile['id']}", "/flows/hostile", "/start/hostile", f"/runs/{hostile['id']}/log"}
    while left:
        path = left.pop()
        answer = house.client.get(path)
        assert answer.status_code == 200, (path, answer.text[:300])
        assert len(answer.content) < LARGEST, path
        found[path] = check_page(answer.text)
        left |= {one for one in found[path].links() if "cancel" not in one} - found.keys()
    return found


def test_what_hostile_text_says_is_shown_as_it_is(hostile: Json, pages: dict[str, Markup]) -> None:
    assert hostile["status"] == "failed"
    run = pages[f"/runs/{hostile['id']}"]
    for text in PRINTABLE:
        assert text in run.text
    for spelled in ("\\u202egnp.exe\\u2066", "\\x1b[31m\\x07\\x9b\\u200b\\ufeff"):
        assert spelled in run.text
    assert "49" not in pages["/flows/hostile"].words.partition("Takes")[0]


def test_hostile_text_is_on_every_kind_of_page(hostile: Json, pages: dict[str, Markup]) -> None:
    for path in (
        "/",
        f"/runs/{hostile['id']}",
        f"/runs/{hostile['id']}/steps/fail",
        "/flows",
        "/flows/hostile",
        "/start/hostile",
        f"/definitions/{hostile['definition_hash']}",
    ):
        assert MARKUP in pages[path].text.replace("\\u003c", "<") or MARKUP in pages[path].source, path
    files = [page for path, page in pages.items() if "/files/" in path]
    assert any(FILE in page.text for page in files)


def test_a_line_of_a_megabyte_is_cut(hostile: Json, pages: dict[str, Markup]) -> None:
    step = pages[f"/runs/{hostile['id']}/steps/fail"]
    assert "more characters" in step.text
    assert "x" * 3_000 not in step.text


def test_an_address_is_no_link(pages: dict[str, Markup]) -> None:
    for page in pages.values():
        for element in page.elements:
            for value in element.attributes.values():
                assert not value.lower().lstrip().startswith("javascript:") or element.name in (
                    "input",
                    "option",
                )


@pytest.mark.parametrize("text", HOSTILE)
def test_the_address_of_a_page_comes_back_as_text(house: House, hostile: Json, text: str) -> None:
    run = hostile["id"]
    for path, name in (
        ("/", "q"),
        ("/", "flow"),
        ("/", "status"),
        ("/", "cursor"),
        (f"/runs/{run}", "all"),
        (f"/runs/{run}/steps/fail", "attempt"),
        (f"/runs/{run}/log", "cursor"),
        ("/flows/hostile", "namespace"),
        ("/sign-in", "next"),
    ):
        answer = house.client.get(path, params={name: text, "part": ""}, follow_redirects=False)
        assert answer.status_code < 500, (path, name)
        if answer.status_code != 303:
            check_page(answer.text)
        live = house.client.get(path, params={name: text, "part": "live"})
        assert live.status_code < 500
        if not live.text.startswith("<!doctype"):
            check(live.text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_in_a_path_are_not_found(house: House, hostile: Json, text: str) -> None:
    for path in (
        "/runs/{}",
        "/flows/{}",
        "/start/{}",
        "/definitions/{}",
        f"/runs/{hostile['id']}/steps/{{}}",
    ):
        answer = house.client.get(path.format(quote(text, safe="")))
        assert 400 <= answer.status_code < 500
        if answer.headers["content-type"].startswith("text/html"):
            check_page(answer.text)


def test_a_form_that_is_shown_again_holds_what_was_typed_as_text(house: House, hostile: Json) -> None:
    form = {"input.given": ALL, "input.choice": ALL, "input.tree": ALL, "label": ALL, "tags": ALL}
    answer = house.post("/start/hostile", form)
    assert answer.status_code == 422
    shown = check_page(answer.text)
    assert MARKUP in shown.text  # the problem names it
    typed = {one.attributes.get("name"): one.attributes.get("value", "") for one in shown.all("input")}
    assert BREAKOUT in typed["label"]


def test_a_reason_and_a_name_are_text_in_the_log(house: House) -> None:
    run = house.start(
        {"flow": "slow", "steps": {"wait": {"wait": "60s"}}}, label="slow", managers=("user:manager",)
    )
    answer = house.post(f"/runs/{run}/cancel", {"reason": SAID[:200]})
    assert answer.status_code == 303
    assert house.ended(run)["status"] == "cancelled"
    shown = check_page(house.client.get(f"/runs/{run}").text)
    assert MARKUP in shown.text
