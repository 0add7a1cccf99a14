"""Who may do what is the same at every server, within moments of a change at one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.postgres import Postgres
from tests.server.up import QUICK, until
from tests.servers.pair import Pair, Server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Pair]:
    """Two servers that ask for tokens; their own is an admin's."""
    servers = Pair(tmp_path_factory.mktemp("guarded"), postgres)
    assert servers.command("namespace", "grant", "*", "user:chief", "admin").returncode == 0
    made = servers.command("token", "create", "user:chief", "-o", "json")
    assert made.returncode == 0, made.stderr
    servers.start()
    for server in (servers.a, servers.b):
        server.token = json.loads(made.stdout)["secret"]
    yield servers
    servers.close()


def may(server: Server, secret: str, path: str = "/runs") -> int:
    return server.get(path, token=secret).status


def test_a_token_made_at_one_counts_at_the_other_until_it_is_revoked(guarded: Pair) -> None:
    for one, other in ((guarded.a, guarded.b), (guarded.b, guarded.a)):
        made: Any = one.post("/tokens", {"name": "short-lived"}).json
        until(lambda t=made, s=other: may(s, t["secret"]) == 200)
        assert one.ask("DELETE", f"/tokens/{made['id']}").status in (200, 204)
        assert may(one, made["secret"]) == 401
        until(lambda t=made, s=other: may(s, t["secret"]) == 401)


def test_namespaces_and_roles(guarded: Pair) -> None:
    a, b = guarded.a, guarded.b
    assert a.post("/namespaces", {"name": "lab", "reason": "test"}).status == 201
    until(lambda: b.post("/flows", {"definition": QUICK, "namespace": "lab"}).status == 201)
    made = a.post("/tokens", {"name": "ana", "principal": "user:ana"}).json
    secret = made["secret"]
    until(lambda: may(b, secret) == 200)

    def starts(server: Server) -> int:
        return server.post("/flows/quick/runs", {"namespace": "lab"}, token=secret).status

    assert starts(b) in (403, 404)
    role = {"role": "operator", "reason": "test"}
    assert b.ask("PUT", "/namespaces/lab/roles/user:ana", role).status == 200
    assert starts(b) == 201
    until(lambda: starts(a) == 201)
    assert a.ask("DELETE", "/namespaces/lab/roles/user:ana").status == 200
    assert starts(a) in (403, 404)
    until(lambda: starts(b) in (403, 404))
