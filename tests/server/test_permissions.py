"""Every route for every kind of caller, by hand: a route without a row here fails.

Columns: nobody, a stranger, viewer, starter, operator, approver, admin of the namespace, an admin of another
one, the run's owner, monitor and manager (without a role), and an admin of everything.

    y  may                  U  401 unauthenticated
    n  is told 403          N  is told 404, as if there were none
    s  sees it among others e  is answered, and it is not among what is shown or done
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from runnotary.api.route import API
from runnotary.api.routes import ROUTES
from tests.server.up import Up, until

Json = Any
WHO = (
    *("nobody", "stranger", "viewer", "starter", "operator", "approver", "admin", "elsewhere"),
    *("owner", "monitor", "manager", "root"),
)
#                                               n s v s o a a e o m m r
#                                               o t i t p p d l w o a o
TABLE = {
    "GET /runs":                               "U e s s s s s e s s s s",
    "POST /runs":                              "U n n y y n y n n n n y",
    "GET /runs/{run}":                         "U N y y y y y N y y y y",
    "PATCH /runs/{run}":                       "U N n n y n y N y n y y",
    "POST /runs/{run}/cancel":                 "U N n n y n y N y n y y",
    "POST /runs/{run}/resume":                 "U N n n y n y N y n y y",
    "POST /runs/{run}/rerun":                  "U N n y y n y N n n n y",
    "POST /runs/{run}/archive":                "U N n n y n y N y n y y",
    "POST /runs/{run}/unarchive":              "U N n n y n y N y n y y",
    "POST /runs/{run}/hold":                   "U N n n n n y N n n n y",
    "POST /runs/{run}/release-hold":           "U N n n n n y N n n n y",
    "POST /runs/{run}/purge":                  "U N n n n n y N n n n y",
    "POST /runs/{run}/erase":                  "U N n n n n y N n n n y",
    "POST /runs:archive":                      "U e e e s e s e s e s s",
    "POST /runs:purge":                        "U e e e e e s e e e e s",
    "POST /runs:batch-start":                  "U e e s s e s e e e e s",
    "POST /runs:batch-get":                    "U e s s s s s e s s s s",
    "POST /runs:batch-cancel":                 "U e e e s e s e s e s s",
    "POST /runs:batch-update":                 "U e e e s e s e s e s s",
    "GET /runs/{run}/logs":                    "U N y y y y y N y y y y",
    "GET /runs/{run}/tasks":                   "U N y y y y y N y y y y",
    "GET /runs/{run}/tasks/{task}":            "U N y y y y y N y y y y",
    "GET /runs/{run}/tasks/{task}/stdout":     "U N y y y y y N y y y y",
    "GET /runs/{run}/tasks/{task}/stderr":     "U N y y y y y N y y y y",
    "GET /approvals":                          "U e s s s s s e s s s s",
    "GET /runs/{run}/tasks/{task}/approval":   "U N y y y y y N y y y y",
    "POST /runs/{run}/tasks/{task}/approve":   "U N n n n y y N n n n y",
    "POST /runs/{run}/tasks/{task}/reject":    "U N n n n y y N n n n y",
    "GET /runs/{run}/files":                   "U N y y y y y N y y y y",
    "GET /runs/{run}/files/{name:path}":       "U N y y y y y N y y y y",
    "GET /runs/{run}/lineage":                 "U N y y y y y N y y y y",
    "GET /lineage":                            "U e s s s s s e s s s s",
    "GET /runs/{run}/export":                  "U N y y y y y N y y y y",
    "GET /runs/{run}/audit":                   "U N y y y y y N y y y y",
    "GET /runs/{run}/events":                  "U N y y y y y N y y y y",
    "GET /events":                             "U e s s s s s e s s s s",
    "POST /blobs":                             "U n n y y n y n n n n y",
    "GET /blobs/{hash:hash}":                  "U n y y y y y y n n n y",
    "GET /flows":                              "U n y y y y y n n n n y",
    "POST /flows":                             "U n n n y n y n n n n y",
    "GET /flows/{flow}":                       "U n y y y y y n n n n y",
    "GET /flows/{flow}/versions":              "U n y y y y y n n n n y",
    "GET /flows/{flow}/diff":                  "U n y y y y y n n n n y",
    "POST /flows/{flow}/runs":                 "U n n y y n y n n n n y",
    "GET /definitions/{hash:hash}":            "U n y y y y y y n n n y",
    "POST /definitions/{hash:hash}/runs":      "U n n y y n y n n n n y",
    "GET /log/checkpoint":                     "U n y y y y y y n n n y",
    "POST /log/checkpoint":                    "U n y y y y y y n n n y",
    "GET /log/proof":                          "U N y y y y y N y y y y",
    "GET /log/consistency":                    "U n y y y y y y n n n y",
    "GET /keys":                               "U n y y y y y y n n n y",
    "POST /keys/rotate":                       "U n n n n n n n n n n y",
    "POST /keys/{key}/revoke":                 "U n n n n n n n n n n y",
    "GET /audit/events":                       "U e s s s s s e s s s s",
    "GET /audit/verify":                       "U N y y y y y N y y y y",
    "GET /whoami":                             "U y y y y y y y y y y y",
    "GET /namespaces":                         "U e s s s s s e e e e s",
    "POST /namespaces":                        "U n n n n n n n n n n y",
    "GET /namespaces/{namespace}":             "U N y y y y y N N N N y",
    "GET /namespaces/{namespace}/audit":       "U N n n n n y N N N N y",
    "PUT /namespaces/{namespace}/roles/{principal}":    "U N n n n n y N N N N y",
    "DELETE /namespaces/{namespace}/roles/{principal}": "U N n n n n y N N N N y",
    "GET /groups":                             "U e e e e e e e e e e s",
    "PUT /groups/{group}":                     "U n n n n n n n n n n y",
    "GET /tokens":                             "U e e e e e e e e e e s",
    "POST /tokens":                            "U n n n n n n n n n n y",
    "DELETE /tokens/{token}":                  "U N N N N N N N N N N y",
    "GET /health":                             "y y y y y y y y y y y y",
    "GET /openapi.json":                       "y y y y y y y y y y y y",
    "GET /metrics":                            "U y y y y y y y y y y y",
}  # fmt: skip
ASKS = {"flow": "asks", "steps": {"gate": {"approve": "Go on?"}}}
FLOW = {"flow": "f", "steps": {"a": {"run": "echo hi > out", "files": ["out"]}}}


def name_of(route: Any) -> str:
    return f"{route.verb} {route.path.removeprefix(API)}"


def test_every_route_has_a_row() -> None:
    assert {name_of(route) for route in ROUTES} == set(TABLE)
    assert all(len(row.split()) == len(WHO) for row in TABLE.values())


class Lab:
    """A server whose namespace `lab` has a caller of every kind, and runs of `owner` in it."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.numbers = itertools.count()
        self.tokens = {"nobody": ""}
        self.spare: list[str] = []
        for name in ("lab", "other"):
            assert up.post("/namespaces", {"name": name}).status == 201
        roles = [("lab", role, role) for role in ("viewer", "starter", "operator", "approver", "admin")]
        roles += [("other", "elsewhere", "admin"), ("*", "root", "admin"), ("lab", "owner", "starter")]
        for namespace, who, role in roles:
            reply = up.ask("PUT", f"/namespaces/{namespace}/roles/user:{who}", {"role": role})
            assert reply.status == 200, reply
        for who in WHO[1:]:
            reply = up.post("/tokens", {"principal": f"user:{who}", "name": who})
            assert reply.status == 201, reply
            self.tokens[who] = reply.json["secret"]
        assert up.ask("PUT", "/groups/group:qa", {"members": ["user:nobody-here"]}).status == 200
        up.register(FLOW, token=None)
        for flow in (FLOW, ASKS):
            assert up.post("/flows", {"definition": flow, "namespace": "lab"}).status == 201
        assert up.stop() == 0
        up.start()
        people = {"monitors": ["user:monitor"], "managers": ["user:manager"]}

        def begin(flow: str) -> str:
            body = {"flow": flow, "namespace": "lab", **people}
            begun = up.post("/runs", body, token=self.tokens["owner"])
            assert begun.status == 201, begun
            return str(begun.json["id"])

        self.spare += [begin("f") for _ in range(48)]
        self.asks = begin("asks")
        root = self.tokens["root"]
        assert up.ask("DELETE", "/namespaces/lab/roles/user:owner?role=starter", token=root).status == 200
        for run in self.spare:
            done = up.get(f"/runs/{run}", headers={"prefer": "wait=60"}, token=root).json
            assert done["status"] == "success"
        self.run = self.spare.pop()
        self.definition = done["definition_hash"]
        self.blob = up.get(f"/runs/{self.run}/files", token=root).json["files"][0]["blob"]

    def fresh(self) -> str:
        return self.spare.pop()

    def key(self) -> str:
        """A key that was in use."""
        root = self.tokens["root"]
        (one,) = [key for key in self.up.get("/keys", token=root).json["keys"] if key["status"] == "active"]
        assert self.up.post("/keys/rotate", {}, token=root).status == 200
        return str(one["id"])

    def token_id(self) -> str:
        body = {"principal": f"user:temporary{next(self.numbers)}", "name": "t"}
        return str(self.up.post("/tokens", body, token=self.tokens["root"]).json["id"])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    up = Up(tmp_path_factory.mktemp("lab")).start()
    assert "local owner" in up.said[2]
    yield Lab(up)
    assert "token" in up.said[2]
    up.close()


BODIES: dict[str, Any] = {
    "POST /runs": lambda lab: {"flow": "f", "namespace": "lab"},
    "PATCH /runs/{run}": lambda lab: {"tags": [f"t{next(lab.numbers)}"]},
    "POST /runs:archive": lambda lab: {"namespace": "lab", "older_than": "0s", "dry_run": True},
    "POST /runs:purge": lambda lab: {"namespace": "lab", "older_than": "0s", "dry_run": True},
    "POST /runs:batch-start": lambda lab: {"runs": [{"flow": "f", "namespace": "lab"}]},
    "POST /runs:batch-get": lambda lab: {"ids": [lab.run]},
    "POST /runs:batch-cancel": lambda lab: {"ids": [lab.run]},
    "POST /runs:batch-update": lambda lab: {"updates": [{"id": lab.run, "tags": [f"t{next(lab.numbers)}"]}]},
    "POST /flows": lambda lab: {"definition": FLOW | {"title": f"t{next(lab.numbers)}"}, "namespace": "lab"},
    "POST /flows/{flow}/runs": lambda lab: {"namespace": "lab"},
    "POST /definitions/{hash:hash}/runs": lambda lab: {"namespace": "lab"},
    "POST /namespaces": lambda lab: {"name": f"made{next(lab.numbers)}"},
    "PUT /namespaces/{namespace}/roles/{principal}": lambda lab: {"role": "viewer"},
    "PUT /groups/{group}": lambda lab: {"members": [f"user:g{next(lab.numbers)}"]},
    "POST /tokens": lambda lab: {"name": f"n{next(lab.numbers)}"},
}
QUERIES = {
    "GET /approvals": "?namespace=lab",
    "GET /runs": "?namespace=lab&include_archived=true",
    "GET /lineage": "?blob={blob}&direction=up",
    "GET /flows": "?namespace=lab",
    "GET /flows/{flow}": "?namespace=lab",
    "GET /flows/{flow}/versions": "?namespace=lab",
    "GET /flows/{flow}/diff": "?namespace=lab&from={definition}",
    "POST /blobs": "?namespace=lab",
    "GET /log/proof": "?run={run}",
    "GET /log/consistency": "?old=1",
    "GET /audit/events": "?what=run.created&limit=500",
    "GET /audit/verify": "?run={run}",
}
# What changes a run for good gets one of its own.
USED_UP = ("/purge", "/erase", "/archive", "/hold")


def path_of(lab: Lab, route: str, may: bool) -> str:
    path = route.partition(" ")[2]
    run = lab.fresh() if may and path.endswith(USED_UP) else lab.run
    asks = "/appr" in path or path.endswith("/reject")
    parts = {
        "{run}": lab.asks if asks else run,
        "{task}": "gate" if asks else "a",
        "{name:path}": "out",
        "{flow}": "f",
        "{namespace}": "lab",
        "{principal}": "user:new",
        "{group}": "group:made",
        "{key}": lab.key() if may and "{key}" in path else "any",
        "{token}": lab.token_id() if "{token}" in path else "",
        "{hash:hash}": lab.definition if "definitions" in path else lab.blob,
    }
    for name, value in parts.items():
        path = path.replace(name, value)
    query = QUERIES.get(route, "")
    for name, value in {"{blob}": lab.blob, "{definition}": lab.definition, "{run}": run}.items():
        query = query.replace(name, value)
    return path + query


def shown(lab: Lab, route: str, answer: Json) -> bool:
    """Whether the answer shows, or would have done something with, what the route is about."""
    if route == "GET /approvals":
        return bool(lab.asks in [one["run"] for one in answer["approvals"]])
    if route == "GET /runs":
        return bool(lab.run in [run["id"] for run in answer["runs"]])
    if route == "GET /audit/events":
        return lab.run in [one["run"] for one in answer["events"]]
    if route == "GET /lineage":
        return lab.run in [node.get("run") for node in answer["nodes"]]
    if "batch" in route:
        (result,) = answer["results"]
        assert ("run" in result) != ("error" in result)
        code = result.get("error", {}).get("code")
        assert code in (None, "run_not_found", "permission_denied", "already_ended")
        return code in (None, "already_ended")
    if route.startswith("POST /runs:"):
        return lab.run in answer["runs"]
    if route == "GET /namespaces":
        return "lab" in [one["namespace"] for one in answer["namespaces"]]
    if route == "GET /groups":
        return "group:qa" in [one["group"] for one in answer["groups"]]
    assert route == "GET /tokens"
    return len({token["principal"] for token in answer["tokens"]}) > 1


@pytest.mark.parametrize("route", TABLE)
def test_route(lab: Lab, route: str) -> None:
    for who, expected in zip(WHO, TABLE[route].split(), strict=True):
        path = path_of(lab, route, expected == "y")
        verb = route.partition(" ")[0]
        status, answer = asked(lab, route, verb, path, lab.tokens[who])
        wanted = {"U": (401,), "n": (403,), "N": (404,)}.get(expected, (200, 201, 202, 409))
        assert status in wanted, (who, status, answer)
        if status == 409:
            assert answer["code"] in ("already_ended", "already_decided"), answer
        if expected in "se":
            assert (answer if route == "GET /events" else shown(lab, route, answer)) == (expected == "s"), who


def asked(lab: Lab, route: str, verb: str, path: str, token: str) -> tuple[int, Json]:
    if route == "GET /events":
        return events(lab, token)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    body = BODIES[route](lab) if route in BODIES else None
    content = b"bytes" if route == "POST /blobs" else None
    api = "" if path == "/metrics" else API
    reply = lab.up.ask(verb, path, body, headers=headers, content=content, api=api, token="")
    kind = reply.headers["content-type"]
    answer = reply.json if "json" in kind and reply.body else None
    while route == "GET /audit/events" and reply.status == 200 and reply.json["next_cursor"]:
        reply = lab.up.ask(verb, f"{path}&cursor={reply.json['next_cursor']}", headers=headers, token="")
        answer["events"] += reply.json["events"]  # a page ends early where the machine is busy
    return reply.status, answer


def events(lab: Lab, token: str) -> tuple[int, Json]:
    """Whether the feed of everything tells of the run: of all that happened, and of what happens now."""
    with httpx2.Client(base_url=lab.up.url, timeout=60, trust_env=False) as http:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        with http.stream("GET", f"{API}/events", headers=headers) as answer:
            if answer.status_code != 200:
                return answer.status_code, None
            # A change that everybody here is told of says that everything before it was told.
            told = f"told{next(lab.numbers)}"
            own = lab.up.ask("PATCH", f"/runs/{lab.run}", {"label": told}, token=lab.tokens["root"])
            assert own.status == 200
            seen = ""
            for piece in answer.iter_text():
                seen += piece
                if told in seen:
                    return 200, True
                if lab.run in seen:
                    continue
                if quiet(lab, token):
                    return 200, False
    return 200, False


def quiet(lab: Lab, token: str) -> bool:
    names = lab.up.get("/runs?namespace=*&limit=1&include_archived=true", token=token).json["runs"]
    return not names


def test_a_monitor_becomes_nobody_and_its_feed_ends(lab: Lab) -> None:
    """What is revoked ends what goes on; a run it may not see is not there."""
    up, root = lab.up, lab.tokens["root"]
    run = lab.fresh()
    monitor = lab.tokens["monitor"]
    assert up.get(f"/runs/{run}", token=monitor).status == 200
    assert up.ask("PATCH", f"/runs/{run}", {"monitors": []}, token=root).status == 200
    assert up.get(f"/runs/{run}", token=monitor).code == "run_not_found"
    assert up.get(f"/runs/{run[:24]}", token=monitor).code == "run_not_found"


def test_credentials_that_do_not_count(lab: Lab) -> None:
    secrets = ("rn_x", "a.b.c", "rn_" + "A" * 43, "rn_" + "A" * 44, "x" * 20_000)
    for words in ("Basic YTpi", "rn_" + "x" * 43, *(f"Bearer {secret}" for secret in secrets)):
        reply = lab.up.get("/whoami", headers={"authorization": words}, token="")
        assert (reply.status, reply.code) == (401, "unauthenticated")
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_token_is_of_no_use(lab: Lab) -> None:
    root = lab.tokens["root"]
    made = lab.up.post("/tokens", {"principal": "user:viewer", "name": "short"}, token=root).json
    assert lab.up.get("/whoami", token=made["secret"]).json["principal"] == "user:viewer"
    assert lab.up.ask("DELETE", f"/tokens/{made['id']}", token=root).json["status"] == "revoked"
    assert lab.up.get("/whoami", token=made["secret"]).status == 401
    listed = lab.up.get("/tokens", token=root)
    assert made["secret"].encode() not in listed.body
    until(lambda: made["secret"].encode() not in (lab.up.folder / "stderr").read_bytes())


def test_nothing_is_kept_of_what_may_not_be_put(lab: Lab) -> None:
    """The first byte of a body is not read before the caller may put one."""
    request = (
        f"POST {API}/blobs?namespace=lab HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer {lab.tokens['viewer']}\r\ncontent-length: 1000000\r\n\r\n"
    )
    assert b" 403 " in first_line(lab.up, request.encode())


def first_line(up: Up, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", up.port), timeout=60) as connection:
        connection.sendall(request)
        return connection.recv(4096).splitlines()[0]
