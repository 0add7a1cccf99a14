"""Who may change access, as a table written by hand; and what every change leaves in the record."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from runnotary.core.chain import Recorded
from runnotary.core.errors import Conflict, InvalidInput, NamespaceNotFound, NotFound, PermissionDenied
from runnotary.core.events import By
from runnotary.core.permissions import Action, People, Who, granted
from tests.access.place import OWNER, Place

Call = Callable[[Place, Who], Any]


def of_another(place: Place) -> str:
    """The id of a token that is not the caller's."""
    found = [one["id"] for one in place.access.tokens(place.owner) if one["principal"] == "user:other"]
    return str(found[0])


CALLS: dict[str, Call] = {
    "make_ns": lambda place, who: place.access.create_namespace(who, "fresh"),
    "grant_lab": lambda place, who: place.access.grant(who, "lab", "user:new", "viewer"),
    "admin_lab": lambda place, who: place.access.grant(who, "lab", "user:new", "admin"),
    "grant_far": lambda place, who: place.access.grant(who, "far", "user:new", "viewer"),
    "grant_all": lambda place, who: place.access.grant(who, "*", "user:new", "viewer"),
    "revoke_lab": lambda place, who: place.access.revoke(who, "lab", "user:viewer"),
    "group": lambda place, who: place.access.set_group(who, "group:qa", ["user:new"]),
    "own_token": lambda place, who: place.access.create_token(who, who.by.principal, name="mine"),
    "token_for": lambda place, who: place.access.create_token(who, "user:new", name="theirs"),
    "end_token": lambda place, who: place.access.revoke_token(who, of_another(place)),
    "see_lab": lambda place, who: place.access.namespace(who, "lab"),
    "see_far": lambda place, who: place.access.namespace(who, "far"),
    "past_lab": lambda place, who: place.access.history(who, "lab"),
    "past_all": lambda place, who: place.access.history(who, "*"),
}

# y: done. d: PermissionDenied. n: there is no such thing, as far as they are told.
MATRIX = {
    #                  make_ns, grant_lab, admin_lab, grant_far, grant_all,
    #                             revoke_lab, group, own_token, token_for, end_token,
    #                                        see_lab, see_far, past_lab, past_all
    "local owner":     "y y y y y  y y y y y  y y y y",
    "admin of *":      "y y y y y  y y y y y  y y y y",
    "admin of lab":    "d y y n d  y d y d n  y n y n",
    "operator in lab": "d d d n d  d d y d n  y n d n",
    "approver in lab": "d d d n d  d d y d n  y n d n",
    "starter in lab":  "d d d n d  d d y d n  y n d n",
    "viewer in lab":   "d d d n d  d d y d n  y n d n",
    "viewer of *":     "d d d d d  d d y d n  y y d d",
    "in group of lab": "d y y n d  y d y d n  y n y n",
    "stranger":        "d n n n d  n d d d n  n n n n",
    # Tokens of the admin of *, limited:
    "token: read":     "d d d d d  d d d d n  y y d d",
    "token: admin":    "y y d y y  y d y y y  y y y y",
    "token: in lab":   "d y y n d  y d d d n  y n y n",
    "token: dead":     "d n n n d  n d d d n  n n n n",
    # A token of the admin of lab, without limits:
    "token: lab's":    "d y y n d  y d d d n  y n y n",
}  # fmt: skip
ROLES = {
    "admin of *": ("*", "admin"),
    "admin of lab": ("lab", "admin"),
    "operator in lab": ("lab", "operator"),
    "approver in lab": ("lab", "approver"),
    "starter in lab": ("lab", "starter"),
    "viewer in lab": ("lab", "viewer"),
    "viewer of *": ("*", "viewer"),
}
TOKENS = {
    "token: read": ("user:star", ["read"]),
    "token: admin": ("user:star", ["administer", "read"]),
    "token: in lab": ("user:star", ["namespace:lab"]),
    "token: lab's": ("user:labadmin", []),
    "token: dead": ("user:star", []),
}


async def peopled(place: Place, kind: str) -> Who:
    """Make the namespaces and people of the table, and return one kind of them."""
    access, owner = place.access, place.owner
    for name in ("lab", "far"):
        await access.create_namespace(owner, name)
    await access.grant(owner, "*", "user:star", "admin")
    await access.grant(owner, "lab", "user:labadmin", "admin")
    await access.grant(owner, "lab", "user:viewer", "viewer")
    await access.grant(owner, "lab", "group:lab", "admin")
    who: Who | None = None
    if kind == "local owner":
        who = owner
    elif kind in ROLES:
        await access.grant(owner, ROLES[kind][0], "user:asks", ROLES[kind][1])
    elif kind == "in group of lab":
        await access.set_group(owner, "group:lab", ["user:asks"])
    elif kind in TOKENS:
        principal, scopes = TOKENS[kind]
        document, secret = await access.create_token(owner, principal, name="t", scopes=scopes)
        who = place.bearer(secret)
        if kind == "token: dead":
            await access.revoke_token(owner, document["id"])
            who = access.who(who.by)
    await access.create_token(owner, "user:other", name="another's")
    return who or place.who("user:asks")


def outcome(done: Callable[[], Any]) -> str:
    try:
        done()
    except PermissionDenied:
        return "d"
    except NotFound:
        return "n"
    return "y"


def call(name: str, place: Place, who: Who) -> Any:
    made = CALLS[name](place, who)
    return asyncio.run(awaited(made)) if isinstance(made, Awaitable) else made


async def awaited(made: Awaitable[Any]) -> Any:
    return await made


@pytest.mark.parametrize("kind", MATRIX)
def test_the_matrix_of_changes_holds(place: Place, kind: str) -> None:
    wanted = dict(zip(CALLS, MATRIX[kind].split(), strict=True))
    who = asyncio.run(peopled(place, kind))
    # Reading comes first, and what takes something away last, so that no call stands in another's way.
    order = [name for name in CALLS if name.startswith(("see", "past"))]
    order += [name for name in CALLS if name not in order]
    assert {name: outcome(lambda name=name: call(name, place, who)) for name in order} == wanted


def test_an_admin_of_a_limited_token_grants_no_more_than_it_may(place: Place) -> None:
    async def play() -> None:
        access = place.access
        await access.create_namespace(place.owner, "lab")
        await access.grant(place.owner, "*", "user:star", "admin")
        _, secret = await access.create_token(
            place.owner, "user:star", name="t", scopes=["administer", "read", "start", "namespace:lab"]
        )
        limited = place.bearer(secret)
        await access.grant(limited, "lab", "user:new", "starter")
        for role in ("operator", "approver", "admin"):
            with pytest.raises(PermissionDenied, match="lacks rights"):
                await access.grant(limited, "lab", "user:new", role)
        # What is taken away needs no right but to administer.
        await access.grant(place.owner, "lab", "user:new", "admin")
        await access.revoke(limited, "lab", "user:new", "admin")

    asyncio.run(play())


def test_who_was_admin_when_they_came_in_may_not_be_when_it_is_their_turn(place: Place) -> None:
    async def play() -> None:
        await place.access.create_namespace(place.owner, "lab")
        await place.access.grant(place.owner, "lab", "user:ana", "admin")
        ana = place.who("user:ana")
        await place.access.revoke(place.owner, "lab", "user:ana")
        with pytest.raises(NamespaceNotFound):
            await place.access.grant(ana, "lab", "user:friend", "admin")
        # And what was given since does not help somebody who came in with less.
        stranger = place.who("user:bob")
        await place.access.grant(place.owner, "lab", "user:bob", "admin")
        with pytest.raises(NamespaceNotFound):
            await place.access.grant(stranger, "lab", "user:friend", "admin")
        await place.access.grant(place.who("user:bob"), "lab", "user:friend", "viewer")

    asyncio.run(play())


def test_two_admins_at_once_leave_one_history(place: Place) -> None:
    async def play() -> None:
        await place.access.create_namespace(place.owner, "lab")
        await asyncio.gather(
            *(place.access.grant(place.owner, "lab", f"user:u{n}", "viewer") for n in range(10)),
            *(place.access.grant(place.owner, "lab", "user:same", role) for role in ("viewer", "starter")),
        )

    asyncio.run(play())
    roles = place.again().namespace(place.owner, "lab")["roles"]
    assert len(roles) == 11
    assert {"principal": "user:same", "roles": ["starter", "viewer"]} in roles


class TestTheLastAdmin:
    def test_is_not_taken_away(self, place: Place) -> None:
        async def play() -> None:
            access, owner = place.access, place.owner
            await access.grant(owner, "*", "user:a", "admin")
            await access.grant(owner, "*", "user:b", "admin")
            await access.revoke(place.who("user:a"), "*", "user:b")
            with pytest.raises(Conflict, match="last admin"):
                await access.revoke(place.who("user:a"), "*", "user:a")
            with pytest.raises(Conflict, match="last admin"):
                await access.revoke(place.who("user:a"), "*", "user:a", "admin")
            await access.revoke(owner, "*", "user:a")  # Who owns the files may.

        asyncio.run(play())
        assert place.access.namespace(place.owner, "*")["roles"] == []

    def test_is_not_emptied_out_of_a_group(self, place: Place) -> None:
        async def play() -> None:
            access, owner = place.access, place.owner
            await access.set_group(owner, "group:admins", ["user:a"])
            await access.grant(owner, "*", "group:admins", "admin")
            with pytest.raises(Conflict, match="last admin"):
                await access.set_group(place.who("user:a"), "group:admins", [])
            with pytest.raises(Conflict, match="last admin"):
                await access.revoke(place.who("user:a"), "*", "group:admins")
            await access.set_group(place.who("user:a"), "group:admins", ["user:b"])

        asyncio.run(play())

    def test_may_leave_the_home_to_a_group_of_the_identity_provider(self, place: Place) -> None:
        async def play() -> None:
            await place.access.grant(place.owner, "*", "user:a", "admin")
            await place.access.grant(place.owner, "*", "group:admins", "admin")
            await place.access.revoke(place.who("user:a"), "*", "user:a")
            with pytest.raises(Conflict, match="last admin"):
                await place.access.revoke(place.who("user:x", "group:admins"), "*", "group:admins")

        asyncio.run(play())


def test_every_change_says_who_as_what_when_and_why(place: Place) -> None:
    async def play() -> None:
        await place.access.create_namespace(place.owner, "lab", "The lab", reason="project 7")
        await place.access.grant(place.owner, "lab", "user:ana", "admin", "leads it")
        place.clock.at += 5
        await place.access.grant(place.who("user:ana"), "lab", "user:bob", "viewer", "reads along")
        await place.access.revoke(place.who("user:ana"), "lab", "user:bob", reason="left")

    asyncio.run(play())
    told = place.again().history(place.owner, "lab")
    assert [(one["kind"], one["subject"], one["reason"]) for one in told] == [
        ("namespace", "lab", "project 7"),
        ("roles", "user:ana", "leads it"),
        ("roles", "user:bob", "reads along"),
        ("roles", "user:bob", "left"),
    ]
    assert told[0]["by"] == {"principal": "user:owner", "role": "admin@*"}
    assert told[2]["by"] == {"principal": "user:ana", "auth": "oidc", "role": "admin@lab"}
    assert (told[2]["was"], told[2]["set"]) == ({"roles": []}, {"roles": ["viewer"]})
    assert (told[3]["was"], told[3]["set"]) == ({"roles": ["viewer"]}, {"roles": []})
    assert told[0]["time"] < told[2]["time"]


def test_what_changes_nothing_is_no_event(place: Place) -> None:
    async def play() -> None:
        await place.access.create_namespace(place.owner, "lab")
        await place.access.grant(place.owner, "lab", "user:bob", "viewer")
        before = len(place.access.history(place.owner, "lab"))
        await place.access.grant(place.owner, "lab", "user:bob", "viewer")
        await place.access.revoke(place.owner, "lab", "user:bob", "admin")
        await place.access.revoke(place.owner, "lab", "user:nobody")
        assert len(place.access.history(place.owner, "lab")) == before
        await place.access.set_group(place.owner, "group:g", ["user:b", "user:a", "user:b"])
        home = len(place.access.history(place.owner, "*"))
        await place.access.set_group(place.owner, "group:g", ["user:a", "user:b"])
        assert len(place.access.history(place.owner, "*")) == home

    asyncio.run(play())


BAD_PRINCIPALS = [
    "ana",
    "user:",
    "role:admin",
    "user:a b",
    "user:a\n",
    "user:ünal",
    "user:" + "a" * 251,
    "",
    "*",
]
BAD_NAMESPACES = ["", "Lab", "a/b", "..", "-a", "a" * 64, "a b", "lab\n", "läb"]


@pytest.mark.parametrize("text", BAD_PRINCIPALS)
def test_a_principal_has_its_form(place: Place, text: str) -> None:
    calls = (
        lambda: place.access.grant(place.owner, "default", text, "viewer"),
        lambda: place.access.revoke(place.owner, "default", text),
        lambda: place.access.create_token(place.owner, text, name="t"),
        lambda: place.access.set_group(place.owner, "group:g", [text]),
        lambda: place.access.set_group(place.owner, text, []),
    )
    for make in calls:
        with pytest.raises(InvalidInput):
            asyncio.run(awaited(make()))
    assert place.access.history(place.owner, "*") == []


@pytest.mark.parametrize("text", BAD_NAMESPACES)
def test_a_namespace_has_its_form(place: Place, text: str) -> None:
    with pytest.raises(InvalidInput):
        asyncio.run(place.access.create_namespace(place.owner, text))
    with pytest.raises(InvalidInput):
        asyncio.run(place.access.grant(place.owner, text, "user:a", "viewer"))


def test_other_words_have_limits_too(place: Place) -> None:
    access, owner = place.access, place.owner
    with pytest.raises(InvalidInput, match="no role"):
        asyncio.run(access.grant(owner, "default", "user:a", "king"))
    with pytest.raises(InvalidInput, match="a reason"):
        asyncio.run(access.grant(owner, "default", "user:a", "viewer", "x" * 1001))
    with pytest.raises(InvalidInput, match="a title"):
        asyncio.run(access.create_namespace(owner, "lab", "\x1b[31m"))
    with pytest.raises(InvalidInput, match="group"):
        asyncio.run(access.set_group(owner, "group:outer", ["group:inner"]))
    for many in (range(1001), range(10**240, 10**240 + 100)):
        with pytest.raises(InvalidInput, match="at most 1,000 members"):
            asyncio.run(access.set_group(owner, "group:g", [f"user:{n}" for n in many]))
    with pytest.raises(NamespaceNotFound, match="nowhere"):
        asyncio.run(access.grant(owner, "nowhere", "user:a", "viewer"))
    with pytest.raises(Conflict, match="already"):
        asyncio.run(access.create_namespace(owner, "default"))


def test_the_largest_group_fits_into_an_event(place: Place) -> None:
    few = [f"user:{n:03}{letter * 247}" for letter in "x" for n in range(94)]
    many = [f"user:{n:04}{'y' * 15}" for n in range(1000)]
    for members in (few, many):
        asyncio.run(place.access.set_group(place.owner, "group:g", members, "\N{EURO SIGN}" * 1000))
    assert place.again().groups(place.owner) == [{"group": "group:g", "members": many}]


def test_members_of_a_group_have_its_roles_until_they_leave_it(place: Place) -> None:
    async def play() -> None:
        await place.access.create_namespace(place.owner, "lab")
        await place.access.grant(place.owner, "lab", "group:qa", "approver")
        await place.access.set_group(place.owner, "group:qa", ["user:ana", "service:bot"])
        for name in ("user:ana", "service:bot"):
            assert Action.APPROVE in granted(place.who(name).caller, People("lab"))
        assert place.access.groups(place.who("user:ana")) == [
            {"group": "group:qa", "members": ["service:bot", "user:ana"]}
        ]
        await place.access.set_group(place.owner, "group:qa", ["service:bot"])
        assert granted(place.who("user:ana").caller, People("lab")) == frozenset()
        assert place.access.groups(place.who("user:ana")) == []

    asyncio.run(play())


def test_a_vouched_group_counts_if_the_home_knows_it(place: Place) -> None:
    async def play() -> None:
        await place.access.grant(place.owner, "default", "group:qa", "viewer")
        who = place.who("user:ana", "group:qa", "group:all-of-the-company")
        assert who.by == By("user:ana", "oidc", groups=("group:qa",))
        assert who.caller.names == {"user:ana", "group:qa"}
        assert place.access.who(who.by) == who  # What stands in an event is enough to ask again.
        await place.access.revoke(place.owner, "default", "group:qa")
        assert place.access.who(who.by).caller.names == {"user:ana"}

    asyncio.run(play())


def test_whoever_has_the_files_is_admin_without_a_grant(place: Place) -> None:
    assert granted(place.owner.caller, People("anywhere")) == frozenset(Action)
    assert place.access.who(By("user:owner", "oidc")).caller.roles == {}
    assert place.access.who(By("user:owner", "token")).caller.names == {"user:owner"}
    assert granted(place.access.who(By("user:owner", "token")).caller, People("default")) == frozenset()
    assert place.access.whoami(place.owner) == {
        "principal": OWNER.principal,
        "auth": "os-user",
        "names": ["user:owner"],
        "roles": {"*": ["admin"]},
        "scopes": [],
    }


def test_who_has_which_role_is_for_admins_to_know(place: Place) -> None:
    async def play() -> None:
        await place.access.create_namespace(place.owner, "lab", "The lab")
        await place.access.grant(place.owner, "lab", "user:ana", "viewer")
        document = place.access.namespace(place.who("user:ana"), "lab")
        assert (document["your_roles"], document["title"]) == (["viewer"], "The lab")
        assert "roles" not in document
        assert [one["namespace"] for one in place.access.namespaces(place.who("user:ana"))] == ["lab"]
        assert [one["namespace"] for one in place.access.namespaces(place.owner)] == ["default", "lab"]

    asyncio.run(play())


def test_who_asks_while_the_first_one_still_reads_waits_for_all_of_it(place: Place) -> None:
    """Questions come in several threads; a ledger half read knows neither tokens nor their ends."""
    _, secret = asyncio.run(place.access.create_token(place.owner, "user:ana", name="hers"))
    asyncio.run(place.access.grant(place.owner, "*", "user:ana", "viewer"))
    view = place.again()
    found: list[By | None] = []
    second = threading.Thread(target=lambda: found.append(view.token(secret)))
    read = place.store.read

    def slowly(stream: bytes, after: int = 0) -> Iterator[Recorded]:
        for number, record in enumerate(read(stream, after)):
            if number == 1 and second.ident is None:
                second.start()
                second.join(0.2)  # it must not have an answer yet, so it cannot be waited for
            yield record

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(place.store, "read", slowly)
        view.who(By("user:ana", "oidc"))
    second.join()
    assert [by.principal if by else by for by in found] == ["user:ana"]
