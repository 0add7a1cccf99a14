"""Every page over a real home: what it shows, and that every link on it leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from runnotary.web import flow_pages, run_page
from tests.web.conftest import House, Json
from tests.web.flows import FAILING, FOLDERS, GOING, ODD_NAME, PLAIN
from tests.web.markup import Markup, check, check_page


def page(house: House, path: str, status: int = 200) -> Markup:
    answer = house.client.get(path, follow_redirects=True)
    assert answer.status_code == status, (path, answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return check_page(answer.text)


@pytest.fixture(scope="module")
def plain(house: House) -> Json:
    return house.run(PLAIN, label="the first", tags=("nightly",), inputs={"rows": 4})


@pytest.fixture(scope="module")
def failed(house: House) -> Json:
    return house.run(FAILING)


@pytest.fixture(scope="module")
def folders(house: House) -> Json:
    return house.run(FOLDERS)


@pytest.fixture
def going(house: House, tmp_path: Path) -> Iterator[str]:
    run = house.start(GOING, inputs={"gate": str(tmp_path / "gate")})
    yield run
    (tmp_path / "gate").touch()
    house.ended(run)


def test_the_runs_stand_newest_first_with_what_went_wrong(house: House, plain: Json, failed: Json) -> None:
    shown = page(house, "/").words
    assert shown.index(failed["id"]) < shown.index(plain["id"])
    assert "break: exit 3" in shown
    assert "the first" in shown and "nightly" in shown


@pytest.mark.parametrize(
    ("query", "shows", "hides"),
    [
        ("status=failed", "failed", "plain"),
        ("status=success", "plain", "failed"),
        ("flow=plain", "plain", "failed"),
        ("q=NIGHTLY", "plain", "failed"),
        ("q=exit", "failed", "plain"),
        ("status=failed&q=nightly", "", "both"),
    ],
)
def test_filters(house: House, plain: Json, failed: Json, query: str, shows: str, hides: str) -> None:
    ids = {"plain": plain["id"], "failed": failed["id"]}
    shown = page(house, f"/?{query}").words
    assert not shows or ids[shows] in shown
    for hidden in ids if hides == "both" else [hides]:
        assert ids[hidden] not in shown
    assert shows or "No run fits" in shown


def test_what_has_not_begun_has_taken_no_time(empty_house: House) -> None:
    hold = {"flow": "hold", "steps": {"sleep": {"run": "sleep 60"}}}
    started = [empty_house.start(hold) for _ in range(6)]  # there are four slots
    rows = dict.fromkeys(started, "")
    while "pending" not in rows[started[-1]] or "running" not in rows[started[0]]:
        source = page(empty_house, "/").source
        rows = {run: source.partition(f'id="run-{run}"')[2].partition("</tr>")[0] for run in started}
    assert "data-since" in rows[started[0]]
    assert "data-since" not in rows[started[-1]]
    for run in started:
        empty_house.post(f"/runs/{run}/cancel", {"force": "1"})
        empty_house.ended(run)


def test_pages_of_runs_follow_each_other_without_gaps(empty_house: House) -> None:
    quick = {"flow": "quick", "steps": {"one": {"set": {"n": 1}}}}
    started = [empty_house.start(quick) for _ in range(53)]
    assert empty_house.ended(started[-1])["status"] == "success"
    shown: list[str] = []
    path = "/"
    while path:
        found = page(empty_house, path)
        shown += re.findall(r"(?<![/-])\b[0-9A-HJKMNP-TV-Z]{26}\b", found.text)
        path = next((one for one in found.links() if "cursor=" in one), "")
    assert shown == sorted(started, reverse=True)  # within a millisecond the order is that of ids
    assert (
        "Newest"
        in page(empty_house, next(one for one in page(empty_house, "/").links() if "cursor=" in one)).text
    )


def test_a_cursor_of_another_listing_is_refused_in_words(house: House, plain: Json) -> None:
    shown = page(house, "/?cursor=AAAA")
    assert "not one of this listing" in shown.text
    assert "not one of this listing" in page(house, "/?cursor=%00%ff").text


def test_a_failed_run_begins_with_what_went_wrong(house: House, failed: Json) -> None:
    shown = page(house, f"/runs/{failed['id']}").words
    order = [
        "failed",
        "What went wrong",
        "break",
        "exit 3",
        "stderr",
        "the last words",
        "stdout",
        "to stdout",
    ]
    places = [shown.index(word) for word in order]
    assert places == sorted(places)
    assert shown.index("the last words") < shown.index("Steps") < shown.index("Record")
    assert "line 60" in shown and "line 30 " not in shown
    assert "upstream_failed" in shown
    assert "try 2" in shown


def test_a_run_shows_what_it_took_did_and_gave(house: House, plain: Json) -> None:
    shown = page(house, f"/runs/{plain['id']}")
    for word in ("the first", "rows 4", "parts", "rows.txt", "output of make", plain["definition_hash"]):
        assert word in shown.words, word
    assert plain["log"]["head"] in shown.text
    assert "What went wrong" not in shown.text
    assert "run success" in shown.words


def test_a_long_log_shows_how_it_ended_and_how_it_began(
    house: House, plain: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_page, "ENTRIES_READ", 4)
    shown = page(house, f"/runs/{plain['id']}").words.partition("The whole log")[2]
    assert "run accepted" in shown and "run success" in shown
    assert shown.index("run accepted") < shown.index("run success")


def test_a_run_is_found_by_the_beginning_of_its_id_and_as_the_latest(house: House, plain: Json) -> None:
    assert plain["id"] in page(house, f"/runs/{plain['id'][:-1]}").text
    assert page(house, "/runs/@latest")


def test_what_is_not_there_is_a_page_that_says_so(house: House, plain: Json) -> None:
    for path in ("/runs/0000000000000000000000000A", "/runs/nothing", "/flows/nothing", "/start/nothing"):
        assert "Back to the runs" in page(house, path, 404).text
    for rest in ("steps/nothing", f"files/sha256:{'0' * 64}", "files/passwd", "steps/%00"):
        page(house, f"/runs/{plain['id']}/{rest}", 404)
    assert house.client.get(f"/runs/{plain['id']}/files/..%2f..%2fetc%2fpasswd").status_code == 404
    assert "definition" in page(house, f"/definitions/sha256:{'0' * 64}", 404).text


@pytest.mark.parametrize(
    "path", ["/rnus", "/runs/", "/flows/a/b/c", "/demo", "/apis", "/static/a/b", "/%00%1b"]
)
def test_a_mistyped_address_is_a_page_with_a_way_back(house: House, path: str) -> None:
    answer = house.client.get(path, headers={"accept": "text/html,application/xhtml+xml;q=0.9"})
    assert answer.status_code == 404
    shown = check_page(answer.text)
    assert "No such page" in shown.words
    assert {"/", "/flows"} <= shown.links()
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json"])
def test_the_api_and_programs_are_told_of_a_wrong_address_in_their_own_way(house: House, accept: str) -> None:
    headers = {"accept": accept}
    paths = ["/api", "/api/", "/api/v1/rnus", "/api/v2/runs"] + (["/rnus"] if accept != "text/html" else [])
    for path in paths:
        answer = house.client.get(path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
        assert answer.json()["code"] == "no_such_route"
    assert house.client.get("/api/v1/runs:batch-start", headers=headers).status_code == 405


def test_the_address_of_a_run_can_be_shortened(house: House, plain: Json) -> None:
    assert house.client.get("/runs").headers["location"] == "/"


def test_a_step_shows_each_of_its_attempts(house: House, failed: Json) -> None:
    path = f"/runs/{failed['id']}/steps/break"
    shown = page(house, path)
    assert "Attempt 2" in shown.words and "the last words" in shown.text and "line 1\n" in shown.text
    assert "bash -euo pipefail -c" in shown.words
    assert "Attempt 1" in page(house, f"{path}?attempt=1").words
    for strange in ("0", "3", "-1", "x", "9" * 400, "0000010", "000001" + "0" * 5000, "²"):
        assert "Attempt 2" in page(house, f"{path}?attempt={strange}").words
    assert "No attempt was made" in page(house, f"/runs/{failed['id']}/steps/never").text


def test_a_task_of_a_for_each_step_has_its_own_page(house: House, plain: Json) -> None:
    links = [one for one in page(house, f"/runs/{plain['id']}").links() if "/steps/parts" in one]
    assert len(links) == 3
    whole = page(house, f"/runs/{plain['id']}").source
    group = whole.partition('id="task-parts"')[2].partition("</tr>")[0]
    assert re.search(r'<span class="num">(\d+ms|\d\.\ds)</span>', group), (
        "a step is at work while its tasks are"
    )
    shown = [page(house, link).words for link in links]
    assert sum("All of stdout" in one for one in shown) == 2


def test_a_file_is_shown_as_text(house: House, plain: Json) -> None:
    blob = plain["outputs"]["rows"]["$file"]
    shown = page(house, f"/runs/{plain['id']}/files/{blob}")
    assert "1\n2\n3\n4" in shown.text and blob in shown.text and "rows.txt" in shown.words


def test_a_folder_lists_its_files_each_with_its_own_page(house: House, folders: Json) -> None:
    run, tree = folders["id"], folders["outputs"]["site"]["$dir"]
    whole = page(house, f"/runs/{run}")
    assert f"/runs/{run}/files/{tree}" in whole.links()
    shown = page(house, f"/runs/{run}/files/{tree}")
    names = [
        ODD_NAME,
        "a?b#c%2e%2e.txt",
        "index.html",
        "pages/index.html",
        "zeros.bin",
    ]
    places = [shown.text.index(f"{name}\n") if name == ODD_NAME else shown.text.index(name) for name in names]
    assert places == sorted(places)
    assert "5 files 300 kB" in shown.words and "6 B" in shown.words
    links = [one.attributes["href"] for one in shown.all("a") if f"/files/{tree}/" in one.attributes["href"]]
    assert len(links) == 5
    found = [page(house, link) for link in links]
    assert [name in one.text for name, one in zip(names, found, strict=True)] == [True] * 5
    assert "odd" in found[1].text and "first" in found[2].text and "again" in found[3].text
    assert "is no text" in found[4].text
    for one, text in zip(found[1:4], ("odd\n", "first\n", "again\n"), strict=True):
        (address,) = {a.attributes["href"] for a in one.all("a") if a.attributes["href"].startswith("/api/")}
        answer = house.client.get(address)
        assert answer.text == text and answer.headers["content-disposition"].startswith("attachment")


def test_an_empty_folder_says_so(house: House, folders: Json) -> None:
    tree = folders["outputs"]["empty"]["$dir"]
    assert "Nothing is in it" in page(house, f"/runs/{folders['id']}/files/{tree}").text


def test_a_folder_that_was_given_is_listed_from_the_run_and_the_step(house: House, folders: Json) -> None:
    tree = folders["outputs"]["site"]["$dir"]
    assert f"/runs/{folders['id']}/files/{tree}" in page(house, f"/runs/{folders['id']}/steps/look").links()


@pytest.mark.parametrize(
    "path",
    [
        "../index.html", "pages/../index.html", "/index.html", "pages//index.html", "pages", "pages/",
        "./index.html", "/etc/passwd", "../../../../../etc/passwd", "index.html\0", "nothing", "INDEX.HTML",
        "index.html/", "..\\index.html", "a", "x" * 5000,
    ],
)  # fmt: skip
def test_only_what_a_folder_names_is_in_it(house: House, folders: Json, path: str) -> None:
    tree = folders["outputs"]["site"]["$dir"]
    for door in ("", "/api/v1"):
        address = f"{door}/runs/{folders['id']}/files/{tree}/{quote(path, safe='')}"
        assert house.client.get(address).status_code == 404, address


def test_a_folder_of_another_run_is_none_of_this_one(house: House, folders: Json, plain: Json) -> None:
    tree = folders["outputs"]["site"]["$dir"]
    file = plain["outputs"]["rows"]["$file"]
    assert "Back to the runs" in page(house, f"/runs/{plain['id']}/files/{tree}", 404).text
    page(house, f"/runs/{plain['id']}/files/{tree}/index.html", 404)
    page(house, f"/runs/{plain['id']}/files/{file}/index.html", 404)


def test_the_whole_log_has_every_event(house: House, plain: Json) -> None:
    rows = page(house, f"/runs/{plain['id']}/log").all("time")
    assert len(rows) == plain["log"]["events"]


def test_a_running_step_shows_what_it_prints_now(house: House, going: str) -> None:
    path = f"/runs/{going}"
    for _ in range(200):
        shown = page(house, path)
        if "still here" in shown.text:
            break
    assert "still here" in shown.text and "Cancel…" in shown.text and "not yet" in shown.text
    assert "still here" in page(house, f"{path}/steps/talk").text


def test_a_flow_shows_what_it_takes_and_does(house: House, plain: Json) -> None:
    shown = page(house, "/flows/plain")
    for word in ("Counts", "integer", "from 1 to 9", "left, right after parts", "tidy finally"):
        assert word in shown.words, word
    assert plain["id"] in shown.text
    assert plain["definition_hash"][:15] in shown.text
    assert "plain" in page(house, "/flows").words
    assert '"steps"' in page(house, f"/definitions/{plain['definition_hash']}").text


def test_a_flow_of_many_versions_says_how_many_it_does_not_show(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_pages, "VERSIONS_SHOWN", 2)
    for number in range(4):
        house.start({"flow": "versions", "steps": {"only": {"run": f"echo {number}"}}})
        assert ("older" in page(house, "/flows/versions").words) is (number > 1)
    assert "and 2 older" in page(house, "/flows/versions").words


@pytest.mark.parametrize("path", ["/", "/runs/{run}", "/runs/{run}/steps/make"])
def test_the_live_part_alone_is_what_stands_in_the_page(house: House, plain: Json, path: str) -> None:
    path = path.format(run=plain["id"])
    part = house.client.get(path, params={"part": "live"}).text
    assert "<html" not in part
    found = check(part)
    whole = page(house, path)
    assert [one.name for one in found.elements if one.name in ("table", "section", "dl")] == [
        one.name for one in whole.elements if one.name in ("table", "section", "dl")
    ]


def test_every_link_leads_to_a_page(house: House, plain: Json, failed: Json, going: str) -> None:
    left, seen = {"/"}, set()
    while left:
        path = left.pop()
        seen.add(path)
        left |= page(house, path).links() - seen
    kinds = {re.sub(r"[0-9A-Z]{26}|sha256:[0-9a-f]{64}", "…", path.partition("?")[0]) for path in seen}
    assert kinds >= {"/", "/flows", "/runs/…", "/runs/…/steps/break", "/runs/…/files/…", "/definitions/…"}
    assert f"/runs/{going}/cancel" in seen and "/start/plain" in seen


def test_bytes_that_pages_link_to_can_be_had(house: House, plain: Json, failed: Json) -> None:
    for path in (
        f"/runs/{failed['id']}/steps/break",
        f"/runs/{plain['id']}/files/{plain['outputs']['rows']['$file']}",
    ):
        links = [one.attributes["href"] for one in page(house, path).all("a")]
        for link in [one for one in links if one.startswith("/api/")]:
            answer = house.client.get(link)
            assert answer.status_code == 200 and answer.content
            assert "html" not in answer.headers["content-type"]


def test_headers_of_a_page(house: House) -> None:
    answer = house.client.get("/")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers


def test_static_files_are_kept_by_their_hash_only(house: House) -> None:
    sources = re.findall(r'"(/static/[^"]+)"', house.client.get("/").text)
    assert len(set(sources)) == 3
    for source in sources:
        assert "immutable" in house.client.get(source).headers["cache-control"]
        assert house.client.get(source.partition("?")[0]).headers["cache-control"] == "no-cache"
    assert house.client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"
    for name in ("..%2fpages.py", "style.css%00", "runs.html", "demo.json"):
        assert house.client.get(f"/static/{name}").status_code == 404


def test_an_empty_home_offers_the_demo_and_the_demo_runs(empty_house: House) -> None:
    assert "Start the demo" in page(empty_house, "/").text
    assert "No flow is here yet" in page(empty_house, "/flows").words
    assert "Start the demo" in page(empty_house, "/flows").text
    assert "Nothing has run yet" in empty_house.client.get("/?part=live").text
    answer = empty_house.post("/demo")
    assert answer.status_code == 303
    path = answer.headers["location"]
    document = empty_house.ended(path.removeprefix("/runs/"))
    assert document["status"] == "success"
    assert 3 < document["outputs"]["average"] < 4
    assert document["trigger"]["kind"] == "manual"
    blob = document["outputs"]["report"]["$file"]
    assert "3.5 expected" in page(empty_house, f"{path}/files/{blob}").text
    assert "Start the demo" not in page(empty_house, "/").text
