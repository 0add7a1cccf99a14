"""What visitors change: starts, cancels, reruns; and that nobody else's page can make them."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from runnotary.core.definition import Words
from runnotary.web import guard
from runnotary.web.asked import Asked
from runnotary.web.pages import PAGES
from tests.web.conftest import House
from tests.web.flows import PLAIN, TYPED
from tests.web.markup import Markup, check_page

FORM = "application/x-www-form-urlencoded"
SLOW = {"flow": "slow", "steps": {"pause": {"wait": "60s"}}}


def run_of(answer_location: str) -> str:
    found = re.match(r"/runs/([0-9A-Z]{26})", answer_location)
    assert found, answer_location
    return found[1]


# --- cancel and rerun ------------------------------------------------------------------------------


def test_a_run_is_cancelled_after_a_question(house: House) -> None:
    run = house.start(SLOW)
    question = check_page(house.client.get(f"/runs/{run}/cancel").text)
    assert "Cancel this run?" in question.text
    assert [form.attributes["action"] for form in question.all("form")] == [f"/runs/{run}/cancel"]
    answer = house.post(f"/runs/{run}/cancel", {"reason": "wrong month"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run}")
    document = house.ended(run)
    assert document["status"] == "cancelled"
    shown = check_page(house.client.get(f"/runs/{run}").text).words
    assert "cancelled wrong month" in shown and "What went wrong" not in shown
    assert house.client.get(f"/runs/{run}/cancel").headers["location"] == f"/runs/{run}"
    assert house.post(f"/runs/{run}/cancel").status_code == 303, "cancelled twice is cancelled"


def test_where_a_reason_is_asked_for_the_page_asks(house: House, tmp_path: Path) -> None:
    field = {"id": "reason", "name": "reason", "maxlength": "256", "autocomplete": "off"}
    strict = House(tmp_path, profile="regulated")
    try:
        for place, required in ((house, False), (strict, True)):
            run = place.start(SLOW)
            page = check_page(place.client.get(f"/runs/{run}/cancel").text)
            (found,) = [one for one in page.all("input") if one.attributes.get("id") == "reason"]
            assert found.attributes == (field | {"required": ""} if required else field)
            answer = place.post(f"/runs/{run}/cancel", {"reason": " "})
            assert answer.status_code == (422 if required else 303)
            assert ("Reason required" in answer.text) == required
            assert place.post(f"/runs/{run}/cancel", {"reason": "why"}).status_code == 303
            assert place.ended(run)["status"] == "cancelled"
    finally:
        strict.close()


def test_cancelling_what_is_over_leads_back_to_the_run(house: House) -> None:
    run = house.run(PLAIN)["id"]
    answer = house.post(f"/runs/{run}/cancel")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run}")
    assert house.ended(run)["status"] == "success"


def test_run_again_keeps_definition_inputs_and_words(house: House) -> None:
    before = house.run(PLAIN, inputs={"rows": 5}, label="monthly", tags=("a", "b"), labels={"k": "v"})
    answer = house.post(f"/runs/{before['id']}/rerun")
    assert answer.status_code == 303
    after = house.ended(run_of(answer.headers["location"]))
    assert after["id"] != before["id"]
    for name in ("definition_hash", "inputs", "label", "tags", "labels", "flow", "namespace"):
        assert after[name] == before[name], name
    assert after["trigger"]["kind"] == "manual"
    assert after["previous_run"] == before["id"]
    shown = check_page(house.client.get(answer.headers["location"]).text)
    assert before["id"] in shown.text


def test_run_again_of_a_definition_that_the_name_no_longer_means(house: House) -> None:
    first = house.run({"flow": "moving", "steps": {"a": {"run": "true"}}})
    house.run({"flow": "moving", "steps": {"b": {"run": "true"}}})
    answer = house.post(f"/runs/{first['id']}/rerun")
    after = house.ended(run_of(answer.headers["location"]))
    assert after["definition_hash"] == first["definition_hash"]
    assert after["flow"] == "moving"


# --- the form that starts a run --------------------------------------------------------------------


@pytest.fixture(scope="module")
def paper(house: House) -> str:
    house.call(house.operations.register(house.who, TYPED, "default", Words()))
    kept = house.call(house.operations.put_blob(house.who, b"on paper\n"))
    return str(kept["digest"])


def fields(page: Markup) -> dict[str, str]:
    return {
        one.attributes["name"]: one.attributes.get("value", "")
        for one in page.elements
        if one.name in ("input", "select", "textarea")
    }


def typed(page: Markup, **changed: str) -> dict[str, str]:
    """What a browser would send: every field as it stands, the chosen options, and what was typed."""
    form = fields(page)
    chosen = r'<select[^>]* name="([^"]+)".*?<option value="([^"]*)" selected'
    written = r'<textarea[^>]* name="([^"]+)"[^>]*>\n?(.*?)</textarea>'
    for pattern in (chosen, written):
        form |= {name: unescape(text) for name, text in re.findall(pattern, page.source, re.DOTALL)}
    words = ("label", "tags")
    return form | {name if name in words else f"input.{name}": text for name, text in changed.items()}


def test_the_form_shows_a_field_for_each_input_with_its_default(house: House, paper: str) -> None:
    page = check_page(house.client.get("/start/typed").text)
    form = typed(page)
    assert form["input.text"] == "as it is"
    assert (form["input.must"], form["input.share"], form["input.sure"]) == ("", "0.5", "true")
    assert (form["input.choice"], form["input.some"], form["input.thing"]) == ("red", "[1,2]", '{"a":1}')
    (must,) = [one for one in page.all("input") if one.attributes["name"] == "input.must"]
    assert (must.attributes["type"], must.attributes["min"]) == ("number", "2")
    assert "required" in must.attributes


def test_the_form_starts_a_run_once_however_often_it_is_sent(house: House, paper: str) -> None:
    page = check_page(house.client.get("/start/typed").text)
    form = typed(
        page,
        must="7",
        paper=paper,
        whatever="[null]",
        sure="false",
        some="[3, 4]",
        label="by hand",
        tags="x, y,, z ",
    )
    answers = [house.post("/start/typed", form) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    document = house.ended(run_of(answers[0].headers["location"]))
    assert document["status"] == "success"
    assert document["label"] == "by hand" and document["tags"] == ["x", "y", "z"]
    inputs = document["inputs"]
    assert inputs["must"] == 7 and inputs["sure"] is False and inputs["some"] == [3, 4]
    assert inputs["text"] == "as it is" and inputs["whatever"] == [None]
    assert inputs["paper"] == {"$file": paper, "name": "paper", "size": 9}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("must", "", "is required"),
        ("must", "1", "less than 2"),
        ("must", "two", "is not an integer"),
        ("must", "9" * 40, "64 bits"),
        ("share", "NaN", "is not a number"),
        ("text", "UPPER", "does not match"),
        ("choice", "blue", "not one of red, green"),
        ("some", '["a"]', "must be an integer"),
        ("some", "{", "is not a list"),
        ("thing", "[]", "must be an object"),
        ("paper", "/etc/passwd", "write the digest"),
        ("paper", f"sha256:{'0' * 64}", "is not here"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_started(
    house: House, paper: str, name: str, text: str, problem: str
) -> None:
    page = check_page(house.client.get("/start/typed").text)
    before = house.client.get("/?flow=typed").text.count("row is-")
    form = typed(page, must="7", paper=paper, whatever="[null]") | {f"input.{name}": text, "label": "kept"}
    answer = house.post("/start/typed", form)
    assert answer.status_code == 422
    shown = check_page(answer.text)
    assert problem in shown.text
    (wrong,) = [one for one in shown.elements if one.attributes.get("aria-invalid") == "true"]
    assert wrong.attributes["name"] == f"input.{name}"
    assert fields(shown)["label"] == "kept"
    assert house.client.get("/?flow=typed").text.count("row is-") == before


def test_a_word_that_is_too_long_is_a_problem_of_the_form(house: House, paper: str) -> None:
    page = check_page(house.client.get("/start/typed").text)
    for form in ({"label": "x" * 300}, {"tags": ",".join(f"t{number}" for number in range(80))}):
        answer = house.post("/start/typed", typed(page, must="7", paper=paper, whatever="[null]") | form)
        assert answer.status_code == 422
        check_page(answer.text)


# --- who may make a change -------------------------------------------------------------------------

CHANGES = [
    page.path.replace("{run}", "@latest").replace("{flow}", "plain")
    for page in PAGES
    if page.method == "POST"
]


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "{url}", "sec-fetch-site": "same-site"},
        {"origin": "{url}.evil.example"},
    ],
    ids=str,
)
def test_a_change_from_elsewhere_is_refused(house: House, path: str, headers: dict[str, str]) -> None:
    house.run(PLAIN)
    said = {name: text.replace("{url}", house.url) for name, text in headers.items()}
    answer = house.client.post(path, content="", headers={"content-type": FORM} | said)
    assert answer.status_code == 403
    assert "location" not in answer.headers


def test_every_change_is_a_post_and_every_post_is_known(house: House) -> None:
    assert len(CHANGES) == 7
    for path in ("/demo", "/runs/@latest/rerun", "/sign-out"):
        assert house.client.get(path).status_code == 405


def test_a_body_that_is_no_form_is_refused(house: House) -> None:
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json", ""):
        assert house.post("/demo", {"a": "b"}, **{"content-type": kind}).status_code == 422
    assert house.post("/demo", {"a": "b" * (2 * 1024 * 1024)}).status_code == 422
    assert house.post("/demo", {f"a{number}": "b" for number in range(2000)}).status_code == 422


def test_another_name_for_this_machine_is_refused(house: House) -> None:
    """A name that somebody else's DNS lets point here must not read the owner's runs."""
    for path in ("/", "/flows", "/runs/@latest"):
        assert house.client.get(path, headers={"host": "evil.example"}).status_code == 403


def test_the_key_of_a_session_is_asked_for() -> None:
    headers = {"origin": "http://h", "host": "h", "sec-fetch-site": "same-origin"}
    right = Asked(method="POST", headers=headers, form={"form_token": ("key",)})
    guard.checked(right, "key")
    guard.checked(Asked(method="GET"), "key")
    for token in ("", "other", "ké"):
        with pytest.raises(guard.Foreign):
            guard.checked(Asked(method="POST", headers=headers, form={"form_token": (token,)}), "key")
    with pytest.raises(guard.Foreign):
        guard.checked(Asked(method="POST", headers=headers), "key")


def test_templates_hold_no_script_no_style_and_a_token_in_every_form() -> None:
    folder = Path(guard.__file__).parent / "templates"
    templates = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(templates) > 10
    for name, text in templates.items():
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), name
        assert "|safe" not in text and "Markup" not in text and "autoescape" not in text, name
        forms = re.findall(r'<form[^>]*method="post"[^>]*>(.*?)\n?.*?</form>', text, re.S)
        assert text.count('method="post"') == text.count("view.form_token()") + (name == "sign_in.html"), name
        assert len(forms) == text.count('method="post"'), name
