"""Namespaces, groups and tokens as commands: in a home, through the engine next door, and on a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.terminal import Desk, Done

Json = Any
SECRET = re.compile(r"rn_[A-Za-z0-9_-]{43}\n")
SERVING = re.compile(r"http://127\.0\.0\.1:\d+")


def test_roles_are_given_shown_and_taken_away(desk: Desk) -> None:
    assert desk.ok("namespace", "create", "lab", "--title", "The lab").out == "namespace lab\n"
    granted = desk.ok("namespace", "grant", "lab", "user:bob", "operator", "--reason", "nightly")
    assert granted.out == "user:bob in lab: operator\n"
    desk.ok("namespace", "grant", "lab", "user:bob", "approver")
    shown = desk.json("namespace", "show", "lab")
    assert shown["roles"] == [{"principal": "user:bob", "roles": ["approver", "operator"]}]
    assert desk.ok("namespace", "show", "lab").out.splitlines()[-1] == "user:bob  approver, operator"
    one = desk.ok("namespace", "revoke", "lab", "user:bob", "operator")
    assert one.out == "user:bob in lab: approver\n"
    assert desk.ok("namespace", "revoke", "lab", "user:bob").out == "user:bob in lab: no role\n"
    assert desk.ok("namespace", "list", "-o", "name").out == "default\nlab\n"
    told = desk.json("namespace", "audit", "lab")["changes"]
    assert [one["reason"] for one in told] == ["", "nightly", "", "", ""]
    assert "nightly" in desk.ok("namespace", "audit", "lab").out
    desk.ok("verify", "--deep")


def test_a_group_is_set_whole(desk: Desk) -> None:
    assert desk.ok("group", "set", "group:qa", "user:b", "user:a").out == "group:qa: user:a, user:b\n"
    assert desk.json("group", "list") == {"groups": [{"group": "group:qa", "members": ["user:a", "user:b"]}]}
    assert desk.ok("group", "set", "group:qa").out == "group:qa: nobody\n"
    assert "nobody" in desk.ok("group", "list").out


def test_the_secret_of_a_token_is_all_of_standard_output(desk: Desk) -> None:
    made = desk.ok("token", "create", "service:ci", "--name", "nightly", "--scope", "read")
    assert SECRET.fullmatch(made.out)
    assert "shown this once" in made.err
    (listed,) = desk.json("token", "list")["tokens"]
    assert (listed["name"], listed["principal"], listed["scopes"]) == ("nightly", "service:ci", ["read"])
    assert made.out[-5:-1] == listed["last4"]
    assert made.out.strip() not in desk.ok("token", "list").out
    assert listed["expires_at"] is not None


def test_a_token_may_be_for_oneself_and_for_ever(desk: Desk) -> None:
    made = desk.json("token", "create", "--expires", "never")
    assert (made["expires_at"], made["status"]) == (None, "live")
    assert made["principal"].startswith("user:")
    assert made["principal"] == made["created_by"]


def test_tokens_are_revoked_by_a_beginning_of_their_id(desk: Desk) -> None:
    made = desk.json("token", "create", "user:bob")
    assert "is revoked" in desk.ok("token", "revoke", made["id"][:14].lower(), "--reason", "lost").out
    assert desk.json("token", "list")["tokens"][0]["status"] == "revoked"


REFUSED = [
    (("namespace", "create", "Lab"), 2, "no name for a namespace"),
    (("namespace", "create", "default"), 5, "already"),
    (("namespace", "grant", "nowhere", "user:a", "viewer"), 3, "no namespace nowhere"),
    (("namespace", "grant", "default", "ana", "viewer"), 2, "no principal"),
    (("namespace", "grant", "default", "user:a", "king"), 2, "king"),
    (("namespace", "show", "nowhere"), 3, "no namespace nowhere"),
    (("group", "set", "user:a", "user:b"), 2, "no group"),
    (("group", "set", "group:a", "group:b"), 2, "is a group"),
    (("token", "create", "group:qa"), 2, "is a group"),
    (("token", "create", "user:a", "--scope", "fly"), 2, "no scope"),
    (("token", "create", "user:a", "--expires", "soon"), 2, "--expires"),
    (("token", "revoke", "01NOTHING"), 3, "no token"),
]


def test_what_cannot_be_is_refused_with_a_reason(shared_desk: Desk) -> None:
    shared_desk.ok("namespace", "create", "lab")
    for words, code, why in REFUSED:
        done = shared_desk.run(*words)
        assert (done.code, done.out) == (code, ""), done
        assert why in done.err
        assert "Traceback" not in done.err


def test_an_empty_home_has_nothing_to_list(desk: Desk) -> None:
    assert desk.run("token", "list").code == 3
    assert not desk.home.exists()


# --- a server ------------------------------------------------------------------------------------


class Serving:
    """A server of the desk's home, and commands that ask it with a token."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.secret = desk.ok("token", "create", "user:star", "--name", "first").out.strip()
        desk.ok("namespace", "grant", "*", "user:star", "admin")
        process = desk.begin("up", "--port", "0")
        assert process.stdout is not None
        found = None
        while found is None:
            line = process.stdout.readline()
            assert line, "the server ended"
            found = SERVING.search(line)
        self.url = found[0]

    def run(self, *words: str, token: str = "") -> Done:
        env = {"RUNNOTARY_URL": self.url, "RUNNOTARY_TOKEN": token or self.secret}
        return self.desk.run(*words, env=env)

    def json(self, *words: str, token: str = "") -> Json:
        done = self.run(*words, "-o", "json", token=token)
        assert done.code == 0, done
        return done.json


@pytest.fixture
def serving(desk: Desk) -> Iterator[Serving]:
    yield Serving(desk)


def test_a_server_answers_as_a_home_does(serving: Serving) -> None:
    assert serving.json("namespace", "create", "lab", "--title", "The lab")["title"] == "The lab"
    assert serving.json("namespace", "grant", "lab", "user:bob", "admin", "--reason", "leads")["roles"]
    assert serving.json("group", "set", "group:qa", "user:eve")["members"] == ["user:eve"]
    assert serving.json("group", "set", "group:qa")["members"] == []
    assert serving.json("group", "list")["groups"][0]["group"] == "group:qa"
    told = serving.json("namespace", "audit", "lab")["changes"]
    assert [(one["subject"], one["by"]["principal"], one["by"]["auth"]) for one in told] == [
        ("lab", "user:star", "token"),
        ("user:bob", "user:star", "token"),
    ]
    made = serving.run("token", "create", "user:bob", "--name", "second", "--scope", "read")
    assert SECRET.fullmatch(made.out)
    names = [one["name"] for one in serving.json("token", "list")["tokens"]]
    assert names == ["second", "first"]
    assert [one["namespace"] for one in serving.json("namespace", "list")["namespaces"]] == ["default", "lab"]


def test_a_server_tells_nobody_more_than_is_theirs(serving: Serving) -> None:
    serving.json("namespace", "create", "lab")
    serving.json("namespace", "create", "far")
    serving.json("namespace", "grant", "lab", "user:bob", "admin")
    bob = serving.json("token", "create", "user:bob", "--expires", "1h")["secret"]

    def asked(*words: str) -> Done:
        return serving.run(*words, token=bob)

    assert asked("namespace", "grant", "lab", "user:eve", "viewer").code == 0
    assert asked("namespace", "grant", "far", "user:eve", "viewer").code == 3
    assert asked("namespace", "grant", "*", "user:bob", "admin").code == 4
    assert asked("namespace", "show", "far").code == 3
    assert asked("namespace", "create", "mine").code == 4
    assert asked("group", "set", "group:qa", "user:bob").code == 4
    assert asked("token", "create", "user:star").code == 4
    assert asked("token", "create").code == 4
    assert [one["namespace"] for one in asked("namespace", "list", "-o", "json").json["namespaces"]] == [
        "lab"
    ]
    # Revoked by the owner of the files, beside the server, it counts no more at once.
    token = serving.json("token", "list")["tokens"][0]["id"]
    serving.desk.ok("token", "revoke", token)
    refused = asked("namespace", "list")
    assert refused.code == 4
    assert "revoked" in refused.err
    assert bob not in refused.err


def test_without_a_token_the_server_says_what_is_missing(serving: Serving) -> None:
    done = serving.desk.run("namespace", "list", env={"RUNNOTARY_URL": serving.url})
    assert done.code == 4
    assert "RUNNOTARY_TOKEN" in done.err
