"""Tokens: what is kept of them, when they count, and what their scopes take away."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from runnotary.core.errors import Conflict, InvalidInput, PermissionDenied, TokenNotFound
from runnotary.core.permissions import Action, People, granted
from tests.access.place import DAY, START, Place

Json = Any


def make(place: Place, principal: str = "user:bob", **more: Any) -> tuple[Json, str]:
    return asyncio.run(place.access.create_token(place.owner, principal, **{"name": "laptop", **more}))


def test_a_secret_has_256_bits_and_is_in_no_file(place: Place) -> None:
    document, secret = make(place)
    _, other = make(place)
    assert re.fullmatch(r"rn_[A-Za-z0-9_-]{43}", secret)
    assert secret != other
    assert "secret" not in document
    assert "hash" not in document
    kept = b"".join(file.read_bytes() for file in place.path.rglob("*") if file.is_file())
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in kept
    assert secret.encode() not in kept
    assert secret[3:].encode() not in kept


def test_a_token_is_told_with_all_but_its_secret(place: Place) -> None:
    document, secret = make(place, scopes=["start", "read", "namespace:lab"], expires_at=START + DAY)
    assert document == {
        "id": document["id"],
        "principal": "user:bob",
        "name": "laptop",
        "last4": secret[-4:],
        "scopes": ["read", "start", "namespace:lab"],
        "status": "live",
        "created_at": "2027-01-15T08:00:00.000000Z",
        "created_by": "user:owner",
        "created_with": None,
        "expires_at": "2027-01-16T08:00:00.000000Z",
        "revoked_at": None,
    }
    assert place.access.tokens(place.owner) == [document]
    assert place.again().tokens(place.owner) == [document]
    assert secret not in str(place.access.history(place.owner, "*"))
    assert "hash" not in str(place.access.history(place.owner, "*"))


def test_a_token_stands_for_its_principal_until_it_expires(place: Place) -> None:
    document, secret = make(place, expires_at=START + DAY)
    by = place.access.token(secret)
    assert by is not None
    assert (by.principal, by.auth, by.token) == ("user:bob", "token", document["id"])
    place.clock.at = START + DAY - 1
    assert place.access.token(secret) == by
    place.clock.at = START + DAY
    assert place.access.token(secret) is None
    assert place.access.tokens(place.owner)[0]["status"] == "expired"
    assert granted(place.access.who(by).caller, People("default")) == frozenset()


def test_a_revoked_token_is_refused_for_ever(place: Place) -> None:
    document, secret = make(place)
    by = place.access.token(secret)
    assert by is not None
    revoked = asyncio.run(place.access.revoke_token(place.owner, document["id"], "laptop lost"))
    assert (revoked["status"], revoked["revoked_at"]) == ("revoked", "2027-01-15T08:00:00.000000Z")
    assert place.access.token(secret) is None
    assert place.again().token(secret) is None
    assert granted(place.access.who(by).caller, People("default")) == frozenset()
    place.clock.at += 1
    assert asyncio.run(place.access.revoke_token(place.owner, document["id"])) == revoked
    assert [one["reason"] for one in place.access.history(place.owner, "*")] == ["", "laptop lost"]


BAD_SECRETS = ["", "rn_", "rn_" + "A" * 42, "rn_" + "A" * 44, "rn_" + "A" * 43, "RN_" + "A" * 43, "A" * 43]


@pytest.mark.parametrize("secret", BAD_SECRETS)
def test_what_is_no_secret_stands_for_nobody(place: Place, secret: str) -> None:
    _, real = make(place)
    assert place.access.token(secret) is None
    assert place.access.token(real + "\n") is None
    assert place.access.token(real[:-1] + ("A" if real[-1] != "A" else "B")) is None


def test_scopes_take_away_and_never_give(place: Place) -> None:
    asyncio.run(place.access.create_namespace(place.owner, "lab"))
    asyncio.run(place.access.grant(place.owner, "lab", "user:bob", "viewer"))
    _, wide = make(place, scopes=["administer", "purge", "namespace:default"])
    assert granted(place.bearer(wide).caller, People("lab")) == frozenset()
    assert granted(place.bearer(wide).caller, People("default")) == frozenset()
    asyncio.run(place.access.grant(place.owner, "lab", "user:bob", "operator"))
    _, narrow = make(place, scopes=["read", "cancel", "administer"])
    assert granted(place.bearer(narrow).caller, People("lab")) == {Action.READ, Action.CANCEL}
    _, plain = make(place)
    assert Action.START in granted(place.bearer(plain).caller, People("lab"))


def test_scopes_hold_for_the_people_of_a_run_too(place: Place) -> None:
    _, secret = make(place, scopes=["read", "namespace:lab"])
    caller = place.bearer(secret).caller
    assert granted(caller, People("lab", owner="user:bob")) == {Action.READ}
    assert granted(caller, People("far", owner="user:bob")) == frozenset()


@pytest.mark.parametrize(
    "scope", ["", "READ", "everything", "namespace:", "namespace:*", "namespace:Lab", "*"]
)
def test_a_scope_has_its_form(place: Place, scope: str) -> None:
    with pytest.raises(InvalidInput):
        make(place, scopes=[scope])
    assert place.access.tokens(place.owner) == []


@pytest.mark.parametrize(
    "more", [{"name": ""}, {"name": "x" * 101}, {"name": "a\nb"}, {"expires_at": START}, {"expires_at": 0}]
)
def test_name_and_expiry_make_sense(place: Place, more: Json) -> None:
    with pytest.raises(InvalidInput):
        make(place, **more)


def test_a_group_has_no_token(place: Place) -> None:
    with pytest.raises(InvalidInput, match="is a group"):
        make(place, "group:qa")


def test_a_limited_admin_makes_tokens_within_its_limits(place: Place) -> None:
    asyncio.run(place.access.grant(place.owner, "*", "user:star", "admin"))
    _, secret = make(place, "user:star", scopes=["administer", "read", "start"])
    limited = place.bearer(secret)

    async def play() -> None:
        with pytest.raises(PermissionDenied, match="beyond"):
            await place.access.create_token(limited, "user:bob", name="t", scopes=["read", "purge"])
        heir, _ = await place.access.create_token(limited, "user:bob", name="t")
        assert heir["scopes"] == ["read", "start", "administer"]
        assert heir["created_with"] == limited.by.token
        less, _ = await place.access.create_token(
            limited, "user:bob", name="t", scopes=["read", "namespace:lab"]
        )
        assert less["scopes"] == ["read", "namespace:lab"]

    asyncio.run(play())


def test_a_limited_token_ends_itself_and_no_other(place: Place) -> None:
    own, secret = make(place, scopes=["read"])
    other, plain = make(place)
    with pytest.raises(PermissionDenied, match="itself only"):
        asyncio.run(place.access.revoke_token(place.bearer(secret), other["id"]))
    asyncio.run(place.access.revoke_token(place.bearer(secret), own["id"]))
    assert place.access.token(secret) is None
    asyncio.run(place.access.revoke_token(place.bearer(plain), other["id"]))
    assert place.access.token(plain) is None


def test_a_token_is_named_by_a_beginning_that_is_enough(place: Place) -> None:
    first, _ = make(place)
    place.clock.at += 10 * DAY
    second, _ = make(place)
    with pytest.raises(InvalidInput, match="several"):
        asyncio.run(place.access.revoke_token(place.owner, first["id"][:2]))
    asyncio.run(place.access.revoke_token(place.owner, first["id"][:10].lower()))
    assert {one["id"]: one["status"] for one in place.access.tokens(place.owner)} == {
        first["id"]: "revoked",
        second["id"]: "live",
    }
    for name in ("", "nothing", second["id"] + "0"):
        with pytest.raises(TokenNotFound):
            asyncio.run(place.access.revoke_token(place.owner, name))


def test_nobody_fills_the_ledger_with_tokens(place: Place) -> None:
    asyncio.run(place.access.grant(place.owner, "default", "user:bob", "viewer"))
    bob = place.who("user:bob")

    async def play() -> None:
        for number in range(64):
            await place.access.create_token(bob, "user:bob", name=f"t{number}", expires_at=START + DAY)
        with pytest.raises(Conflict, match="64 live tokens"):
            await place.access.create_token(bob, "user:bob", name="one more")
        place.clock.at = START + DAY
        await place.access.create_token(bob, "user:bob", name="one more")

    asyncio.run(play())


def test_everyone_sees_their_own_tokens_only(place: Place) -> None:
    mine, _ = make(place)
    make(place, "user:eve")
    assert place.access.tokens(place.who("user:bob")) == [mine]
    assert place.access.tokens(place.who("user:nobody")) == []


def test_what_is_read_beside_the_engine_is_the_same(place: Place, tmp_path: Path) -> None:
    view = place.again()
    assert not view.has_live_token()
    document, secret = make(place)
    assert not place.again().refresh().tokens.keys() ^ {document["id"]}
    view.refresh()
    assert view.has_live_token()
    assert view.token(secret) == place.access.token(secret)
