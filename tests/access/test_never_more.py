"""Generated cases: no sequence of grants gives more than somebody had, and a scope never widens."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runnotary.core.access import AccessState, fold
from runnotary.core.errors import RunnotaryError
from runnotary.core.events import AccessChanged, By
from runnotary.core.permissions import (
    Action,
    Caller,
    People,
    Role,
    Scopes,
    Who,
    granted,
    meet,
    visible,
)
from tests.access.place import Place

NAMES = ("user:a", "user:b", "group:g")
SPACES = ("lab", "far", "default")
WHERE = (*SPACES, "*")

names = st.frozensets(st.sampled_from(NAMES))
some_roles = st.frozensets(st.sampled_from(Role))
scopes = st.builds(
    Scopes,
    st.none() | st.frozensets(st.sampled_from(Action)),
    st.none() | st.frozensets(st.sampled_from(SPACES)),
)
callers = st.builds(Caller, names, st.dictionaries(st.sampled_from(WHERE), some_roles), scopes)
people = st.builds(
    People,
    st.sampled_from(WHERE),
    owner=st.sampled_from((*NAMES, "")),
    monitors=names.map(tuple),
    managers=names.map(tuple),
)


@given(callers, people, scopes)
def test_a_scope_never_widens(caller: Caller, run: People, more: Scopes) -> None:
    narrowed = Caller(caller.names, caller.roles, caller.scopes.meet(more))
    assert granted(narrowed, run) <= granted(caller, run)
    assert granted(narrowed, run) <= granted(Caller(caller.names, caller.roles, more), run)
    if not (more.allow(Action.READ) and more.cover(run.namespace)):
        assert not visible(narrowed).shows(run)


@given(callers, callers, people)
def test_a_meeting_has_no_more_than_either(one: Caller, other: Caller, run: People) -> None:
    assert granted(meet(one, other), run) <= granted(one, run) & granted(other, run)
    assert granted(meet(one, one), run) == granted(one, run)


@given(callers, people)
def test_a_listing_shows_what_may_be_read_and_nothing_else(caller: Caller, run: People) -> None:
    if run.namespace != "*":
        assert visible(caller).shows(run) is (Action.READ in granted(caller, run))


# --- sequences of changes ------------------------------------------------------------------------

USERS = ("user:a", "user:b", "user:c")
GROUPS = ("group:g", "group:h")
HOLDERS = st.sampled_from((*USERS, *GROUPS))
word = st.sampled_from((*Action, "namespace:lab", "namespace:far"))
first_grants = st.lists(st.tuples(st.sampled_from(WHERE), HOLDERS, st.sampled_from(Role)), max_size=5)
first_groups = st.dictionaries(st.sampled_from(GROUPS), st.lists(st.sampled_from(USERS), max_size=2))
limits = st.lists(word, max_size=6, unique=True)
changes = st.one_of(
    st.tuples(st.just("grant"), st.sampled_from(WHERE), HOLDERS, st.sampled_from(Role)),
    st.tuples(st.just("revoke"), st.sampled_from(WHERE), HOLDERS, st.sampled_from(Role)),
    st.tuples(st.just("set_group"), st.sampled_from(GROUPS), st.lists(st.sampled_from(USERS), max_size=3)),
    st.tuples(st.just("create_namespace"), st.sampled_from(("lab", "new"))),
    st.tuples(st.just("create_token"), st.sampled_from(USERS), limits),
    st.tuples(st.just("revoke_token"), st.integers(0, 5)),
)
acts = st.lists(st.tuples(st.integers(0, 8), changes), max_size=12)


async def act(place: Place, who: Who, change: Any, secrets: list[str]) -> None:
    """Try one change; a refusal is as good as any answer."""
    access = place.access
    with suppress(RunnotaryError):
        match change:
            case ("create_token", principal, scopes):
                _, secret = await access.create_token(who, principal, name="t", scopes=scopes)
                secrets.append(secret)
            case ("revoke_token", number):
                tokens = access.tokens(who)
                if tokens:
                    await access.revoke_token(who, tokens[number % len(tokens)]["id"])
            case (verb, *words):
                await getattr(access, verb)(who, *words)


def rights(whos: list[Who]) -> dict[str, frozenset[Action]]:
    """Everything that these can do together, by namespace."""
    return {
        name: frozenset().union(*(granted(who.caller, People(name)) for who in whos))
        for name in (*WHERE, "new")
    }


async def settled(place: Place, grants: Any, groups: Any) -> None:
    """Let the owner of the home prepare it."""
    for name in ("lab", "far"):
        await place.access.create_namespace(place.owner, name)
    for name, members in groups.items():
        await place.access.set_group(place.owner, name, members)
    for namespace, holder, role in grants:
        await place.access.grant(place.owner, namespace, holder, role)


@settings(max_examples=60)
@given(first_grants, first_groups, acts, st.none() | limits)
def test_no_sequence_of_changes_gives_anybody_more_than_all_had_together(
    grants: Any, groups: Any, steps: Any, limit: Any
) -> None:
    """With a limit, everybody acts through a token that has it; tokens made on the way act too."""

    async def play(place: Place) -> None:
        await settled(place, grants, groups)
        secrets: list[str] = []
        if limit is not None:
            for user in USERS:
                made = await place.access.create_token(place.owner, user, name="t", scopes=limit)
                secrets.append(made[1])

        def everybody() -> list[Who]:
            came = [by for secret in secrets if (by := place.access.token(secret))]
            people = [] if limit is not None else [place.who(user) for user in USERS]
            return people + [place.access.who(by) for by in came]

        had = rights(everybody())
        for number, change in steps:
            present = everybody()
            if present:
                await act(place, present[number % len(present)], change, secrets)
            now = rights(everybody())
            for name, actions in now.items():
                assert actions <= had[name] | (had["*"] if name == "new" else frozenset())
        again = place.again().refresh()
        kept = place.access.refresh()
        assert (again.roles, again.groups, again.tokens) == (kept.roles, kept.groups, kept.tokens)

    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "home")
        try:
            asyncio.run(play(place))
        finally:
            place.close()


@settings(max_examples=40)
@given(first_grants, first_groups, acts)
def test_an_admin_of_the_home_is_left_whatever_admins_do(grants: Any, groups: Any, steps: Any) -> None:
    async def play(place: Place) -> None:
        await settled(place, [*grants, ("*", "user:a", Role.ADMIN)], groups)
        for number, change in steps:
            await act(place, place.who(USERS[number % len(USERS)]), change, [])
            assert place.access.refresh().admins()

    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "home")
        try:
            asyncio.run(play(place))
        finally:
            place.close()


# --- what a ledger may not say -------------------------------------------------------------------

BY = By("user:owner")


def changed(kind: Any, namespace: str, subject: str, was: Any, now: Any) -> AccessChanged:
    return AccessChanged(kind, namespace, subject, BY, "", was, now)


TOKEN = {"principal": "user:a", "name": "t", "hash": "00", "last4": "abcd"}
NONSENSE = {
    "roles of lab in the home's ledger": ("default", changed("roles", "lab", "user:a", {"roles": []}, {})),
    "roles of far in lab's ledger": ("lab", changed("roles", "far", "user:a", {"roles": []}, {})),
    "roles of * in lab's ledger": ("lab", changed("roles", "*", "user:a", {"roles": []}, {"roles": []})),
    "a group in lab's ledger": ("lab", changed("group", "*", "group:g", {}, {"members": []})),
    "a token in lab's ledger": ("lab", changed("token", "*", "1", {}, TOKEN)),
    "roles that were not": ("lab", changed("roles", "lab", "user:a", {"roles": ["admin"]}, {"roles": []})),
    "a role that is none": ("lab", changed("roles", "lab", "user:a", {"roles": []}, {"roles": ["king"]})),
    "roles that are no list": ("lab", changed("roles", "lab", "user:a", {"roles": []}, {"roles": 7})),
    "a group that was not": ("default", changed("group", "*", "group:g", {"members": []}, {"members": []})),
    "a namespace without title": ("default", changed("namespace", "lab", "lab", {}, {})),
    "a namespace that was": ("default", changed("namespace", "lab", "lab", {"title": ""}, {"title": "x"})),
    "a token that was": ("default", changed("token", "*", "1", {"revoked": False}, {"revoked": True})),
    "a token without hash": ("default", changed("token", "*", "1", {}, {"principal": "user:a"})),
    "an action that is none": ("default", changed("token", "*", "1", {}, {**TOKEN, "actions": ["fly"]})),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_ledger_that_does_not_follow_is_refused(what: str) -> None:
    ledger, event = NONSENSE[what]
    with pytest.raises(ValueError):
        fold(AccessState(), ledger, event, 1)


def test_a_token_never_comes_back_and_has_a_secret_of_its_own() -> None:
    state = AccessState()
    fold(state, "default", changed("token", "*", "1", {}, TOKEN), 1)
    with pytest.raises(ValueError, match="one secret"):
        fold(state, "default", changed("token", "*", "2", {}, TOKEN), 2)
    fold(state, "default", changed("token", "*", "1", {"revoked": False}, {"revoked": True}), 3)
    for was in (False, True):
        with pytest.raises(ValueError):
            fold(state, "default", changed("token", "*", "1", {"revoked": was}, {"revoked": False}), 4)
    assert state.tokens["1"].revoked_at == 3
