"""Signing in: a token becomes a cookie, the cookie opens pages and what the API lets its holder read."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest

from runnotary.core.definition import Words
from runnotary.engine.requests import RunRequest
from runnotary.web.asked import Asked
from runnotary.web.sessions import LIFETIME_US, MOST, Sessions, set_cookie
from tests.web.conftest import House, Json
from tests.web.flows import PLAIN
from tests.web.markup import check_page

ANA = "user:ana"
"""An operator."""

ELSEWHERE = (
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "/a\r\nb",
)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    opened = House(tmp_path_factory.mktemp("guarded"), local=False)
    opened.call(opened.operations.access.grant(opened.who, "default", ANA, "operator"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def plain(guarded: House) -> Json:
    return guarded.run(PLAIN, monitors=("user:mona",))


@pytest.fixture
def browser(guarded: House) -> Iterator[httpx2.Client]:
    """Somebody with a cookie jar who nobody knows yet."""
    headers = {"origin": guarded.url, "sec-fetch-site": "same-origin"}
    with httpx2.Client(base_url=guarded.url, headers=headers) as client:
        yield client


def token_of(house: House, principal: str) -> tuple[str, str]:
    """Make a token; returns its id and its secret."""
    access = house.operations.access
    made, secret = house.call(access.create_token(house.who, principal, name="for a browser"))
    return made["id"], secret


def signed_in(client: httpx2.Client, secret: str, onward: str = "") -> httpx2.Response:
    return client.post("/sign-in", data={"token": secret, "next": onward})


def form_token(client: httpx2.Client, path: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', client.get(path).text)
    assert found
    return found[1]


def test_nobody_is_sent_to_the_door_and_comes_back(
    guarded: House, plain: Json, browser: httpx2.Client
) -> None:
    path = f"/runs/{plain['id']}?all=1"
    answer = browser.get(path)
    assert answer.status_code == 303
    door = browser.get(answer.headers["location"])
    check_page(door.text)
    assert plain["id"] not in door.text.replace(f"/runs/{plain['id']}?all=1", "")
    onward = re.search(r'name="next" value="([^"]*)"', door.text)
    assert onward and onward[1] == path
    _, secret = token_of(guarded, ANA)
    answer = signed_in(browser, secret, path)
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    assert secret not in cookie
    shown = browser.get(path)
    assert shown.status_code == 200 and secret not in shown.text
    assert "Sign out" in check_page(shown.text).text


@pytest.mark.parametrize("secret", ["", "rn_nothing", "x" * 20_000, "é", "a\nb", "rn_" + "A" * 43])
def test_what_is_no_token_opens_nothing(browser: httpx2.Client, secret: str) -> None:
    answer = signed_in(browser, secret)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    check_page(answer.text)
    assert secret not in answer.text or not secret


@pytest.mark.parametrize("onward", ELSEWHERE)
def test_the_door_leads_to_no_other_server(guarded: House, browser: httpx2.Client, onward: str) -> None:
    _, secret = token_of(guarded, ANA)
    assert signed_in(browser, secret, onward).headers["location"] == "/"
    assert browser.get("/sign-in", params={"next": onward}).headers["location"] == "/"


def test_signing_out_ends_the_session_everywhere(guarded: House, browser: httpx2.Client) -> None:
    _, secret = token_of(guarded, ANA)
    signed_in(browser, secret)
    kept = dict(browser.cookies)
    assert browser.post("/sign-out", data={"a": "b"}).status_code == 403, "without the key of the form"
    answer = browser.post("/sign-out", data={"form_token": form_token(browser, "/")})
    assert answer.status_code == 303 and "Max-Age=0" in answer.headers["set-cookie"]
    browser.cookies.update(kept)
    assert browser.get("/").status_code == 303


def test_a_revoked_token_ends_its_sessions_at_once(guarded: House, browser: httpx2.Client) -> None:
    token, secret = token_of(guarded, ANA)
    signed_in(browser, secret)
    assert browser.get("/").status_code == 200
    guarded.call(guarded.operations.access.revoke_token(guarded.who, token))
    assert browser.get("/").status_code == 303


def test_a_change_needs_the_key_of_the_session(guarded: House, plain: Json, browser: httpx2.Client) -> None:
    _, secret = token_of(guarded, ANA)
    signed_in(browser, secret)
    path = f"/runs/{plain['id']}/rerun"
    for wrong in ({}, {"form_token": "0" * 64}, {"form_token": ""}):
        assert browser.post(path, data={"a": "b"} | wrong).status_code == 403
    key = form_token(browser, f"/runs/{plain['id']}")
    elsewhere = {"origin": "http://evil.example"}
    assert browser.post(path, data={"form_token": key}, headers=elsewhere).status_code == 403
    answer = browser.post(path, data={"form_token": key})
    assert answer.status_code == 303
    again = re.search(r"[0-9A-Z]{26}", answer.headers["location"])
    assert again and guarded.ended(again[0])["status"] == "success"


def test_the_key_of_one_session_is_none_for_another(guarded: House, browser: httpx2.Client) -> None:
    _, secret = token_of(guarded, ANA)
    signed_in(browser, secret)
    key = form_token(browser, "/")
    browser.cookies.clear()
    signed_in(browser, secret)
    assert browser.post("/sign-out", data={"form_token": key}).status_code == 403


def test_a_cookie_reads_the_api_and_changes_nothing_there(
    guarded: House, plain: Json, browser: httpx2.Client
) -> None:
    _, secret = token_of(guarded, ANA)
    path = f"/api/v1/runs/{plain['id']}"
    assert browser.get(path).status_code == 401
    signed_in(browser, secret)
    assert browser.get(path).json()["id"] == plain["id"]
    assert browser.get(f"{path}/files/{plain['outputs']['rows']['$file']}").text == "1\n2\n3\n"
    with browser.stream("GET", f"{path}/events") as feed:
        assert "event: end" in feed.read().decode()
    assert browser.post(f"{path}/cancel", json={}).status_code == 401
    assert browser.patch(path, json={"label": "x"}).status_code == 401
    wrong = {"authorization": "Bearer rn_wrong"}
    assert browser.get(path, headers=wrong).status_code == 401, "what is said counts, not the cookie"


def test_a_monitor_sees_its_run_and_no_buttons(guarded: House, plain: Json, browser: httpx2.Client) -> None:
    other = guarded.run(PLAIN)
    _, secret = token_of(guarded, "user:mona")
    signed_in(browser, secret)
    shown = check_page(browser.get(f"/runs/{plain['id']}").text)
    assert "Cancel" not in shown.text and "Run again" not in shown.text
    listed = check_page(browser.get("/").text)
    assert plain["id"] in listed.text and other["id"] not in listed.text
    for path in ("", "/cancel", "/log", "/steps/make"):
        assert browser.get(f"/runs/{other['id']}{path}").status_code == 404
    assert browser.get("/flows/plain").status_code == 403
    assert browser.get("/start/plain").status_code == 403
    assert 'href="/flows/plain"' not in browser.get("/flows").text
    key = form_token(browser, "/")
    assert browser.post(f"/runs/{plain['id']}/rerun", data={"form_token": key}).status_code == 403
    assert browser.post(f"/runs/{other['id']}/cancel", data={"form_token": key}).status_code == 404
    assert browser.post("/demo", data={"form_token": key}).status_code == 403


def test_run_again_is_offered_to_those_who_may_start_where_the_run_is(
    guarded: House, plain: Json, browser: httpx2.Client
) -> None:
    access, operations = guarded.operations.access, guarded.operations
    guarded.call(access.create_namespace(guarded.who, "team"))
    guarded.call(access.grant(guarded.who, "team", "user:tim", "operator"))
    guarded.call(access.grant(guarded.who, "default", "user:tim", "viewer"))
    flow = guarded.call(operations.register(guarded.who, PLAIN, "team", Words()))
    request = RunRequest(flow=flow["flow"], namespace="team")
    started, _ = guarded.call(operations.start(guarded.who, request))
    run = guarded.ended(started["id"])["id"]
    _, secret = token_of(guarded, "user:tim")
    signed_in(browser, secret)
    shown = check_page(browser.get(f"/runs/{run}").text)
    assert "Run again" in shown.text and "team" in shown.words.partition("Steps")[0]
    assert "Run again" not in browser.get(f"/runs/{plain['id']}").text
    assert (
        "/?namespace=team&flow=plain" in check_page(browser.get("/flows/plain?namespace=team").text).links()
    )
    listed = check_page(browser.get("/?namespace=team&flow=plain").text)
    assert run in listed.text and plain["id"] not in listed.text
    assert {"name": "namespace", "type": "hidden", "value": "team"} in [
        one.attributes for one in listed.all("input")
    ]


def test_who_may_see_nothing_is_told_so_and_offered_nothing(guarded: House, browser: httpx2.Client) -> None:
    _, secret = token_of(guarded, "user:nora")
    signed_in(browser, secret)
    for path in ("/", "/flows"):
        shown = check_page(browser.get(path).text)
        assert "Nothing is here for you" in shown.words and "yet" not in shown.words
        assert not [form for form in shown.all("form") if form.attributes["action"] == "/demo"]


def test_a_link_on_another_site_looks_again_before_it_leads_to_the_door(browser: httpx2.Client) -> None:
    answer = browser.get("/runs/x?a=%22%3E", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    page = check_page(answer.text)
    (again,) = [one for one in page.all("meta") if "http-equiv" in one.attributes]
    assert again.attributes["content"] == "0; url=/runs/x?a=%22%3E"
    assert browser.get("/runs/x", headers={"sec-fetch-site": "none"}).status_code == 303


def test_pages_and_cookies_of_nobody(browser: httpx2.Client) -> None:
    for cookie in ("runnotary=x", "a=b; ;;;", "runnotary_80=" + "x" * 5000, "\x7f"):
        assert browser.get("/", headers={"cookie": cookie}).status_code == 303


# --- sessions --------------------------------------------------------------------------------------


def numbers() -> Sessions:
    drawn = iter(range(1, 100_000))
    return Sessions(lambda size: next(drawn).to_bytes(size, "big"))


def test_a_session_ends_a_day_after_its_last_visit() -> None:
    sessions = numbers()
    cookie = sessions.open("Bearer x", 0)
    assert sessions.authorization(cookie, LIFETIME_US - 1) == "Bearer x"
    assert sessions.authorization(cookie, 2 * LIFETIME_US - 2) == "Bearer x"
    assert sessions.authorization(cookie, 3 * LIFETIME_US) is None


def test_a_forged_cookie_stands_for_nothing() -> None:
    sessions, others = numbers(), Sessions(lambda size: b"o" * size)
    cookie = sessions.open("Bearer x", 0)
    drawn, _, seal = cookie.partition(".")
    for forged in ("", ".", drawn, f"{drawn}.", f"{drawn}.{seal[:-1]}0x", f"{drawn}é.{seal}", f"x{cookie}"):
        assert sessions.authorization(forged, 1) is None
    assert others.authorization(cookie, 1) is None
    assert sessions.form_token(cookie) not in (sessions.form_token("other"), others.form_token(cookie))


def test_sessions_have_a_largest_number_and_the_oldest_goes() -> None:
    sessions = numbers()
    cookies = [sessions.open("Bearer x", 0) for _ in range(MOST + 3)]
    assert [sessions.authorization(cookie, 1) for cookie in cookies[:3]] == [None] * 3
    assert sessions.authorization(cookies[3], 1) == "Bearer x"


def test_the_cookie_is_secure_where_the_connection_is() -> None:
    for host, name in (("h:8080", "runnotary_8080"), ("h", "runnotary"), ("[::1]:80", "runnotary_80")):
        header, value = set_cookie(Asked(headers={"host": host}, secure=True), "v")
        assert header == "set-cookie"
        assert value == f"{name}=v; Path=/; HttpOnly; SameSite=Strict; Secure"
    assert "Secure" not in set_cookie(Asked(headers={"host": "h"}), "v")[1]
