"""What cannot be used is refused with a code, and nothing of it is stored."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.server.up import API, QUICK, SAYS, Up

Json = Any
JSON = {"content-type": "application/json"}
NO_RUN = "01M7ZHDDC0ETVT7J3EGTXVK40N"
NO_HASH = "sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def nothing_stored(up: Up) -> Iterator[None]:
    """Whatever a test here sends, the home holds afterwards what it held before."""

    def held() -> Json:
        runs = up.get("/runs?namespace=*&total=true&include_archived=true").json["total"]
        return (
            runs,
            up.get("/flows").json,
            up.get("/namespaces").json,
            up.get("/tokens").json,
            up.get("/groups").json,
        )

    before = held()
    yield
    assert held() == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"", 422, "invalid_input"),
        (b"nonsense", 400, "invalid_json"),
        (b'{"flow": "quick"', 400, "invalid_json"),
        (b'{"flow": NaN}', 400, "invalid_json"),
        (b'\xff\xfe{"flow": "quick"}', 400, "invalid_json"),
        (b'{"flow": "\xff"}', 400, "invalid_json"),
        (b'{"flow": "\\ud800"}', 400, "invalid_json"),
        (b"[" * 100_000, 422, "invalid_input"),
        (b'{"flow":"quick","inputs":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, 400, "invalid_json"),
        (b"[]", 422, "invalid_input"),
        (b'"quick"', 422, "invalid_input"),
        (b"null", 422, "invalid_input"),
        (b'{"flow": 3}', 422, "invalid_input"),
        (b'{"flow": "quick", "colour": "red"}', 422, "invalid_input"),
        (b'{"flow": "quick", "tags": "one"}', 422, "invalid_input"),
        (b'{"flow": "quick", "tags": [1]}', 422, "invalid_input"),
        (b'{"flow": "quick", "labels": {"a": 1}}', 422, "invalid_input"),
        (b'{"flow": "quick", "inputs": []}', 422, "invalid_input"),
        (b'{"flow": "quick", "max_concurrency": -1}', 422, "invalid_input"),
        (b'{"flow": "quick", "max_concurrency": 1.5}', 422, "invalid_input"),
        (b'{"flow": "quick", "max_concurrency": 99999999999999999999999}', 422, "invalid_input"),
        (b'{"flow": "quick", "on_failure": "panic"}', 422, "invalid_input"),
        (b'{"flow": "quick", "label": "' + b"x" * 257 + b'"}', 422, "invalid_input"),
        (b'{"flow": "quick", "label": "a\\u0000b"}', 422, "invalid_input"),
        (b'{"flow": "quick", "label": "a\\nb"}', 422, "invalid_input"),
        (b'{"flow": "quick", "namespace": "' + b"x" * 65 + b'"}', 422, "invalid_input"),
        (b'{"flow": "quick", "definition": "%s"}' % NO_HASH.encode(), 409, "conflict"),
        (b'{"definition": "sha256:12"}', 422, "invalid_input"),
        (b'{"definition": "%s"}' % NO_HASH.encode(), 404, "flow_not_found"),
        (b'{"flow": "no-such"}', 404, "flow_not_found"),
        (b'{"flow": "../quick"}', 404, "flow_not_found"),
        (b'{"flow": "quick", "inputs": {"x": 1}}', 422, "invalid_run_input"),
        (b'{"flow": "says", "inputs": {"word": 1}}', 422, "invalid_run_input"),
        (b'{"flow": "quick", "idempotency_key": "a\\nb"}', 422, "invalid_input"),
    ],
)  # fmt: skip
def test_a_start_that_cannot_be(up: Up, body: bytes, status: int, code: str) -> None:
    reply = up.ask("POST", "/runs", content=body, headers=JSON)
    assert (reply.status, reply.code) == (status, code), reply.body[:500]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("staus=success", "unknown_parameter"),
        ("status=finished", "invalid_parameter"),
        ("limit=0", "invalid_parameter"),
        ("limit=1001", "invalid_parameter"),
        ("limit=ten", "invalid_parameter"),
        ("limit=1&limit=2", "invalid_parameter"),
        ("offset=-1", "invalid_parameter"),
        ("total=perhaps", "invalid_parameter"),
        ("order=sideways", "invalid_parameter"),
        ("order_by=id;drop table runs", "invalid_parameter"),
        ("started_from=yesterday", "invalid_parameter"),
        ("ended_to=2026-13-01", "invalid_parameter"),
        ("ended_to=99999-01-01", "invalid_parameter"),
        ("label=%ff", "invalid_parameter"),
        ("cursor=AAAA", "invalid_cursor"),
        ("cursor=!!!", "invalid_cursor"),
        ("cursor=" + "A" * 900, "invalid_cursor"),
        ("cursor=%00", "invalid_cursor"),
        ("&".join(f"flow={n}" for n in range(500)), "invalid_parameter"),
    ],
)
def test_a_listing_that_cannot_be(up: Up, query: str, code: str) -> None:
    reply = up.get(f"/runs?{query}")
    assert (reply.status, reply.code) == (422, code), reply.body[:500]


def test_filters_match_text_and_no_patterns(up: Up) -> None:
    for text in ("%", "_", "' OR 1=1 --", '"', "\\", "*", "\u0000"):
        for word in ("label", "q", "flow", "tag", "created_by", "owner", "kind", "parent", "asset"):
            reply = up.get(f"/runs?{urlencode({word: text})}")
            assert (reply.status, reply.json["runs"]) == (200, []), (word, text)


def test_a_cursor_holds_for_its_listing_only(own: Callable[..., Up]) -> None:
    up = own()
    up.register(QUICK)
    for _ in range(4):
        up.run("quick")
    made = up.get("/runs?limit=2").json["next_cursor"]
    assert up.get(f"/runs?limit=2&cursor={made}").status == 200
    assert up.get(f"/runs?limit=1&cursor={made}").status == 200
    for other in (
        "status=success",
        "order=asc",
        "order_by=label",
        "namespace=*",
        "include_archived=true",
        "q=a",
    ):
        assert up.get(f"/runs?{other}&cursor={made}").code == "invalid_cursor", other
    assert up.get(f"/runs?offset=1&cursor={made}").code == "invalid_input"
    flipped = [made[:at] + ("A" if made[at] != "A" else "B") + made[at + 1 :] for at in range(len(made))]
    for forged in (*flipped, made[:-1], made + "A", made + "=", made.lower()):
        assert up.get(f"/runs?limit=2&cursor={forged}").code == "invalid_cursor"
    run = up.get("/runs").json["runs"][0]["id"]
    entries = up.get(f"/runs/{run}/logs?limit=1").json["next_cursor"]
    assert up.get(f"/runs?cursor={entries}").code == "invalid_cursor"
    other = up.get("/runs").json["runs"][1]["id"]
    assert up.get(f"/runs/{other}/logs?cursor={entries}").code == "invalid_cursor"


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/runnotary.db",
        "..%5c..%5crunnotary.db",
        "%2fetc%2fpasswd",
        "a%00b",
        "out.txt%00.html",
        "say/../out.txt",
        "out.txt/",
        "%0d%0aset-cookie:%20a=b",
        "%ff%fe",
        "%F0%9F%92%A9",
        "sha256:" + "0" * 64,
        "x" * 5000,
    ],
)
def test_path_tricks_lead_nowhere(up: Up, name: str) -> None:
    run = up.get("/runs?flow=says&limit=1").json["runs"]
    run = run[0]["id"] if run else NO_RUN
    for path in (
        f"/runs/{run}/files/{name}",
        f"/runs/{run}/tasks/{name}",
        f"/flows/{name}",
        f"/blobs/{name}",
    ):
        request = f"GET {API}{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        answer = up.raw(request.encode())
        status = int(answer.split()[1])
        assert status in (404, 422), (path, answer[:300])
        head = answer.split(b"\r\n\r\n")[0].lower()
        assert b"set-cookie" not in head
        assert b"application/problem+json" in head
    for verb in ("", "/logs", "/tasks", "/files", "/audit", "/events", "/lineage"):
        reply = up.get(f"/runs/{name.replace('/', '%2f')}{verb}")
        assert reply.status in (404, 422), verb


def test_names_that_are_no_runs(up: Up) -> None:
    for name in (NO_RUN, "x", "@latest:none", "@oldest", "0" * 26, "U" * 26, "Z" * 26, "%20", "run"):
        assert up.get(f"/runs/{name}").code == "run_not_found", name
        assert up.post(f"/runs/{name}/cancel").code == "run_not_found", name


def test_headers_cannot_be_injected(up: Up) -> None:
    for line in ("idempotency-key: a\x01b", "if-match: x", 'if-match: "sha256:zz"', "last-event-id: 1;2"):
        request = (
            f"PATCH {API}/runs/{NO_RUN} HTTP/1.1\r\nhost: localhost\r\n{line}\r\n"
            "content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
        )
        status = int(up.raw(request.encode()).split()[1])
        assert 400 <= status < 500
    line = "x: a\r\n b: c\r\nno colon"
    split = f"GET {API}/health HTTP/1.1\r\nhost: localhost\r\n{line}\r\nconnection: close\r\n\r\n"
    assert int(up.raw(split.encode()).split()[1]) == 400
    both = (
        f"POST {API}/runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n"
        "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        "GET /smuggled HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )
    assert b" 200 " not in up.raw(both.encode())


def test_a_head_over_the_limit(up: Up) -> None:
    long = b"x" * 100_000
    for line, header in ((b"/health", long), (b"/runs?q=" + long, b""), (b"/runs/" + long, b"")):
        request = b"GET %s%s HTTP/1.1\r\nhost: localhost\r\nx: %s\r\n\r\n" % (API.encode(), line, header)
        assert int(up.raw(request).split()[1]) in (400, 431)  # 400 if it came in more than one piece
    reply = up.get("/health", headers={"x": "x" * 40_000})
    assert (reply.status, reply.code, reply.headers["connection"]) == (431, "head_too_large", "close")


def test_media_types(up: Up) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        reply = up.ask("POST", "/runs", content=b'{"flow":"quick"}', headers={"content-type": media})
        assert (reply.status, reply.code) == (415, "unsupported_media_type"), media


def test_bodies_over_the_limit(own: Callable[..., Up]) -> None:
    up = own(body_limit=1000, blob_limit=2000)
    up.register(QUICK)
    big = b'{"flow":"quick","label":"' + b"x" * 2000 + b'"}'
    assert up.ask("POST", "/runs", content=big, headers=JSON).code == "body_too_large"
    chunked = (
        f"POST {API}/runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        "transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    ).encode() + b"".join(b"%x\r\n%s\r\n" % (len(big), big) for _ in range(3))
    assert int(up.raw(chunked).split()[1]) == 413
    assert up.ask("POST", "/blobs", content=b"x" * 2001).code == "body_too_large"
    assert up.ask("POST", "/blobs", content=b"x" * 2000).status == 201
    assert up.get("/runs?total=true").json["total"] == 0
    broken = f"POST {API}/runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n{{".encode()
    with socket.create_connection(("127.0.0.1", up.port)) as connection:
        connection.sendall(broken)
    assert up.get("/runs?total=true").json["total"] == 0
    assert up.get("/health").status == 200


def test_definitions_that_cannot_be(up: Up) -> None:
    for document in (
        {},
        {"flow": "x"},
        {"steps": {}},
        {"steps": {"a": {}}},
        {"steps": {"a": {"run": "x", "zz": 1}}},
    ):
        reply = up.post("/flows", {"definition": document, "flow": "x"})
        assert (reply.status, reply.code) == (422, "invalid_definition"), document
        assert reply.json["problems"]
    assert up.post("/flows", {"definition": {"steps": {"a": {"run": "x"}}}}).code == "invalid_input"
    named = {"definition": {"steps": {"a": {"run": "x"}}}}
    for name in ("../x", "a b", "x" * 129, "a\nb", "é"):
        assert up.post("/flows", named | {"flow": name}).status == 422, name
    missing = {"flow": "x", "code": {"a.py": {"blob": NO_HASH, "size": 1}}, "steps": {"a": {"run": "x"}}}
    assert up.post("/flows", {"definition": missing}).status == 422


def test_a_blob_is_a_definition_only_if_it_is_one(up: Up) -> None:
    for data in (
        b"no json",
        b"{}",
        b'{"steps":{"a":{"run":["true"]}}} ',
        b'{"steps":{"a":{"run":"x","needs":["b"]}}}',
    ):
        kept = up.ask("POST", "/blobs", content=data).json["digest"]
        assert up.get(f"/definitions/{kept}").code == "flow_not_found"
        assert up.post(f"/definitions/{kept}/runs").code == "flow_not_found"


def test_inputs_that_are_files_must_be_here(own: Callable[..., Up]) -> None:
    up = own()
    up.register(
        {
            "flow": "reads",
            "inputs": {"f": {"type": "file"}},
            "steps": {"a": {"run": "cat $f", "with": {"f": "${{ inputs.f }}"}}},
        }
    )
    reply = up.post("/flows/reads/runs", {"inputs": {"f": {"$file": NO_HASH, "name": "x", "size": 1}}})
    assert (reply.status, reply.code) == (422, "invalid_run_input")
    kept = up.ask("POST", "/blobs", content=b"content").json
    assert kept["size"] == 7
    for wrong in ({"$file": kept["digest"], "path": "/etc/passwd"}, {"$file": 3}, {"$dir": kept["digest"]}):
        assert up.post("/flows/reads/runs", {"inputs": {"f": wrong}}).status == 422
    run = up.run("reads", {"inputs": {"f": {"$file": kept["digest"], "size": 10**9}}})
    assert run["status"] == "success"
    assert run["inputs"]["f"]["size"] == 7
    assert up.get(f"/runs/{run['id']}/tasks/a/stdout").body == b"content"


def test_unknown_routes_and_verbs(up: Up) -> None:
    for path in ("/nothing", "/runs/", "/flows/", "/runs/x/nothing", "/blobs/x", "/definitions/sha256:12"):
        assert up.get(path).code == "no_such_route", path
    for verb, path in (
        ("DELETE", "/runs"),
        ("PUT", f"/runs/{NO_RUN}"),
        ("POST", "/health"),
        ("PATCH", "/flows"),
    ):
        reply = up.ask(verb, path)
        assert (reply.status, reply.code) == (405, "method_not_allowed")
        assert reply.headers["allow"]


def test_only_pages_of_its_own_may_ask_a_local_owner(up: Up) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "169.254.1.1", "", "[::2]:1"):
        request = f"GET {API}/runs HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode()
        assert int(up.raw(request).split()[1]) == 403, host
    for origin in (
        "http://evil.example",
        "null",
        "http://[",
        f"https://127.0.0.1:{up.port}.evil.example",
        "http://127.0.0.1:1",
    ):
        reply = up.get("/runs", headers={"origin": origin})
        assert (reply.status, reply.code) == (403, "wrong_origin"), origin
    assert up.get("/runs", headers={"origin": up.url}).status == 200
    assert up.get("/runs", headers={"host": f"localhost:{up.port}"}).status == 200


def test_other_sites_by_setting(own: Callable[..., Up]) -> None:
    up = own(cors_origins="https://one.example")
    asked = {"origin": "https://one.example", "access-control-request-method": "POST"}
    allowed = up.ask("OPTIONS", "/runs", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == "https://one.example"
    assert up.get("/runs", headers={"origin": "https://one.example"}).status == 200
    other = {"origin": "https://two.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in up.ask("OPTIONS", "/runs", headers=other).headers
    assert up.get("/runs", headers={"origin": "https://two.example"}).status == 403


def test_every_answer_says_how_a_browser_must_take_it(own: Callable[..., Up]) -> None:
    up = own()
    up.register(SAYS)
    run = up.run("says")["id"]
    for path in (
        "/health",
        "/runs",
        "/nothing",
        f"/runs/{run}/files/out.txt",
        f"/runs/{run}/tasks/say/stdout",
    ):
        headers = up.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in headers
