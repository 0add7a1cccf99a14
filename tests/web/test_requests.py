"""What people are asked, on pages: seen, answered, decided once; with and without script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from runnotary.core.events import By
from runnotary.core.permissions import Caller, Who
from runnotary.engine.approvals import ApprovalQuery
from runnotary.web.run_page import asked_of
from tests.server.up import until
from tests.web.conftest import House, Json
from tests.web.markup import check_page
from tests.web.test_browser import CONTRAST, SCHEMES, SMALL, WIDTHS, Watched

HOSTILE = "<img src=x onerror=alert(1)>\u202e"


def asking(**approve: Any) -> Json:
    """Return a flow that asks whether to go on."""
    show = {"report": "${{ steps.make.files['report.txt'] }}", "count": "${{ 3 }}", "said": HOSTILE}
    gate = {"prompt": f"Publish {HOSTILE}?", "show": show, "timeout": "1d", **approve}
    return {
        "flow": "asking",
        "steps": {
            "make": {"run": "echo total > report.txt", "files": ["report.txt"]},
            "gate": {"approve": gate},
            "send": {"run": "echo sent", "needs": ["gate"]},
        },
    }


def begin(house: House, **approve: Any) -> str:
    """Start a run, and wait until it asks."""
    run = house.start(asking(**approve))
    until(lambda: house.operations.run(house.who, run)["status"] == "waiting")
    return run


@pytest.fixture
def run(house: House) -> Iterator[str]:
    asked = begin(house)
    yield asked
    if not house.operations.run(house.who, asked)["ended_at"]:
        house.call(house.operations.cancel(house.who, asked))


# --- by form -----------------------------------------------------------------------------------------


def test_a_run_shows_what_it_asks_and_takes_the_answer(house: House, run: str) -> None:
    page = check_page(house.client.get(f"/runs/{run}").text)
    assert "Waits for an answer" in page.text
    (form,) = [one for one in page.all("form") if one.attributes["action"].endswith("/answer")]
    assert form.attributes == {
        "class": "answer",
        "method": "post",
        "action": f"/runs/{run}/steps/gate/answer",
    }
    assert check_page(house.client.get(f"/runs/{run}/steps/gate").text).text.count("Publish") == 1
    request = house.operations.approvals.one(house.who, run, "gate")
    fields = {one.attributes.get("name"): one.attributes.get("value") for one in page.all("input")}
    assert fields["shown"] == request["shown_digest"]
    seen = {"decision": "approve", "reason": "looks fine", "shown": request["shown_digest"]}
    sent = house.post(f"/runs/{run}/steps/gate/answer", seen)
    assert (sent.status_code, sent.headers["location"]) == (303, f"/runs/{run}")
    assert house.ended(run)["status"] == "success"
    (decision,) = house.operations.approvals.one(house.who, run, "gate")["decisions"]
    assert (decision["decision"], decision["reason"]) == ("approved", "looks fine")
    step = check_page(house.client.get(f"/runs/{run}/steps/gate").text).words
    assert "approved by" in step and "looks fine" in step and request["shown_digest"] in step
    assert "No attempt was made" not in step


def test_whoever_comes_second_is_led_back_and_changes_nothing(house: House, run: str) -> None:
    for decision in ("reject", "approve"):
        sent = house.post(f"/runs/{run}/steps/gate/answer", {"decision": decision})
        assert (sent.status_code, sent.headers["location"]) == (303, f"/runs/{run}")
    assert house.ended(run)["reason"] == "denied"
    assert len(house.operations.approvals.one(house.who, run, "gate")["decisions"]) == 1
    assert "rejected by" in check_page(house.client.get(f"/runs/{run}").text).words


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        ({}, 422, "to approve or to reject"),
        ({"decision": "perhaps"}, 422, "to approve or to reject"),
        ({"decision": "approve", "shown": "sha256:" + "0" * 64}, 409, "look at the request again"),
    ],
)
def test_an_answer_that_says_nothing_is_none(
    house: House, run: str, form: Any, status: int, says: str
) -> None:
    sent = house.post(f"/runs/{run}/steps/gate/answer", form)
    assert sent.status_code == status
    assert says in check_page(sent.text).text
    assert house.operations.run(house.who, run)["status"] == "waiting"


def test_all_that_waits_is_on_one_page_mine_first(house: House, run: str) -> None:
    other = begin(house, by=["user:somebody-else"])
    shown = check_page(house.client.get("/approvals").text)
    page = shown.words
    assert page.index("For you to answer") < page.index(run) < page.index("For others") < page.index(other)
    assert "this request of run" in page
    actions = [
        one.attributes["action"] for one in check_page(house.client.get("/approvals").text).all("form")
    ]
    assert f"/runs/{run}/steps/gate/answer" in actions
    assert f"/runs/{other}/steps/gate/answer" not in actions
    refused = house.post(f"/runs/{other}/steps/gate/answer", {"decision": "approve"})
    assert refused.status_code == 403
    house.call(house.operations.cancel(house.who, other))
    house.ended(other)


def test_the_files_of_a_list_can_be_looked_at_one_by_one(house: House) -> None:
    file = {"$file": "sha256:" + "a" * 64, "name": "x", "size": 1}
    request = {"run": "R", "task": "gate", "shown": {"many": [file] * 102, "none": [], "mixed": [file, 1]}}
    values = {one["name"]: one for one in asked_of(request)["values"]}
    assert [name for name, one in values.items() if one["address"]] == [f"many[{n}]" for n in range(100)]
    assert values["many"]["value"] == [file] * 2
    assert values["none"]["value"] == []
    assert values["mixed"]["value"] == [file, 1]
    address = values["many[7]"]["address"]
    assert address == values["many[0]"]["address"]
    assert file["$file"] in address


def test_what_somebody_may_not_see_is_not_listed_for_them(house: House, run: str) -> None:
    eve = Who(By("user:eve", "token"), Caller(frozenset({"user:eve"})))
    listing = house.operations.approvals.listing
    assert run in [one["run"] for one in listing(house.who, ApprovalQuery(), limit=50)["approvals"]]
    assert listing(eve, ApprovalQuery(), limit=50)["approvals"] == []


# --- in a browser ------------------------------------------------------------------------------------


@pytest.fixture
def window(chromium: Browser) -> Iterator[Watched]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    watched = Watched(context)
    yield watched
    context.close()
    assert watched.complaints == []


def test_a_request_appears_by_itself_and_is_approved_with_a_click(house: House, window: Watched) -> None:
    page = window.page
    window.go(f"{house.url}/approvals")
    expect(page.locator("[data-connection]")).to_have_text("live")
    run = begin(house)
    asked = page.locator(f"#request-{run}-gate")
    expect(asked).to_contain_text("Publish")
    expect(asked).to_contain_text("report.txt")
    expect(page).to_have_title(re.compile("for you"))
    asked.get_by_role("textbox").fill("by hand")
    asked.get_by_role("button", name="Approve").click()
    expect(page.locator(".verdict")).to_contain_text("success")
    expect(page.locator("#task-gate")).to_contain_text("by hand")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    window.check()


def test_what_was_typed_stays_while_the_page_changes(house: House, run: str, window: Watched) -> None:
    page = window.page
    window.go(f"{house.url}/runs/{run}")
    expect(page.locator("[data-connection]")).to_have_text("live")
    page.locator(".answer input[name=reason]").fill("half a sente")
    house.call(house.operations.hold(house.who, run, "audit"))
    expect(page.locator("h1")).to_contain_text("held")
    expect(page.locator(".answer input[name=reason]")).to_have_value("half a sente")
    house.call(house.operations.approvals.answer(house.who, run, "gate", approve=False, reason="no"))
    expect(page.locator(".verdict")).to_contain_text("failed")
    expect(page.locator(".answer")).to_have_count(0)
    window.check()


def test_without_script_a_run_is_rejected_by_its_form(chromium: Browser, house: House, run: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{house.url}/approvals")
    page.get_by_role("link", name=run).click()
    page.get_by_label("Reason").fill("wrong region")
    page.get_by_label("Reason").press("Enter")
    assert house.operations.run(house.who, run)["status"] == "waiting", "Enter is no answer"
    page.get_by_role("button", name="Reject").click()
    assert house.ended(run)["reason"] == "denied"
    page.reload()
    expect(page.locator(".failure")).to_contain_text("wrong region")
    context.close()


def test_a_reason_that_is_wanted_is_asked_for_by_the_browser(
    chromium: Browser, house: House, window: Watched
) -> None:
    run = begin(house, reason="required")
    window.go(f"{house.url}/runs/{run}")
    window.page.get_by_role("button", name="Approve").click()
    assert house.operations.run(house.who, run)["status"] == "waiting"
    window.page.get_by_label("Reason").fill("checked")
    window.page.get_by_role("button", name="Approve").click()
    assert house.ended(run)["status"] == "success"


@pytest.fixture
def unbroken(house: House) -> Iterator[str]:
    """A run that asks two people, and one has answered, both in words that end nowhere."""
    asked = begin(house, prompt=f"Publish {HOSTILE}{'x' * 200}?", approvals=2)
    house.call(house.operations.approvals.answer(house.who, asked, "gate", approve=True, reason="y" * 300))
    yield asked
    house.call(house.operations.cancel(house.who, asked))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_fit_and_read(
    chromium: Browser, house: House, unbroken: str, width: int, scheme: Any
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    window, run = Watched(context), unbroken
    for path in ("/approvals", f"/runs/{run}", f"/runs/{run}/steps/gate"):
        window.go(house.url + path)
        assert window.page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert window.page.evaluate(CONTRAST) == [], path
        assert window.page.evaluate(SMALL) == [], path
        assert window.page.locator("img[src=x]").count() == 0
        window.check()
    context.close()
