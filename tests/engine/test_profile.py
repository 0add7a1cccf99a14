"""The regulated profile: why is asked for, a version means one thing, and the record says since when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from runnotary.app.serving import _mode
from runnotary.app.stores import record_of
from runnotary.config import Settings
from runnotary.core import events as ev
from runnotary.core.definition import Words
from runnotary.core.errors import InvalidInput, PermissionDenied, ReasonRequired, VersionTaken
from runnotary.core.permissions import Role
from runnotary.core.profile import PROFILES, Change
from runnotary.core.queries import RunQuery
from runnotary.store.verify import verify
from tests.engine.test_retention import BY, ONE, SLOW, House, house

Work = Callable[[House], Awaitable[None]]
NOBODY = ev.By("user:nobody", "oidc")


def under(settings: Settings, name: str, work: Work) -> None:
    """Do something in a home under a profile; the record holds afterwards."""

    async def whole() -> None:
        async with house(msgspec.structs.replace(settings, profile=name)) as place:
            await work(place)

    asyncio.run(asyncio.wait_for(whole(), 60))
    assert verify(record_of(settings), deep=True).findings == ()


@pytest.mark.parametrize("name", PROFILES)
def test_who_ends_removes_or_permits_says_why(settings: Settings, name: str) -> None:
    async def work(place: House) -> None:
        access, owner = place.home.access, place.home.access.who(BY)
        going = await place.start(SLOW)
        runs = [await place.ended(ONE) for _ in range(4)]
        token, _ = await access.create_token(owner, "user:ana", name="n", reason="first")
        service, wanted = place.service, name == "regulated"
        tries: list[tuple[Callable[[str], Awaitable[object]], str]] = [
            (lambda why: service.cancel(going, BY, reason=why), "cancel"),
            (lambda why: service.hold(runs[0], BY, why), "hold"),
            (lambda why: service.release_hold(runs[0], BY, why), "hold"),
            (lambda why: service.purge(runs[0], BY, why), "purge"),
            (lambda why: service.erase(runs[1], BY, why), "erase"),
            (lambda why: service.sweep(RunQuery(), BY, action="purge", reason=why), "purge"),
            (lambda why: access.create_namespace(owner, "lab", "", why), "access"),
            (lambda why: access.grant(owner, "lab", "user:ana", Role.VIEWER, why), "access"),
            (lambda why: access.revoke(owner, "lab", "user:ana", None, why), "access"),
            (lambda why: access.set_group(owner, "group:qa", ["user:ana"], why), "access"),
            (lambda why: access.create_token(owner, "user:ana", name="m", reason=why), "access"),
            (lambda why: access.revoke_token(owner, token["id"], why), "access"),
        ]
        for does, what in tries:
            if wanted:
                before = place.store.position()
                for empty in ("", "   "):
                    with pytest.raises(ReasonRequired, match=what):
                        await does(empty)
                for invisible in ("\u200b", "\u00a0\u2060\n"):  # some take printable letters only
                    with pytest.raises(InvalidInput):
                        await does(invisible)
                assert place.store.position() == before
            await does("because" if wanted else "")
            await place.home.engine.ended(going)  # what its end writes is nobody's wish
        assert await service.sweep(RunQuery(), BY, action="purge", dry_run=True) is not None
        await service.archive(await place.ended(ONE), BY)
        with pytest.raises(PermissionDenied):
            await service.purge(await place.ended(ONE, owner_of(NOBODY)), NOBODY)

    if name == "regulated":
        under(settings, name, first_reason)
    under(settings, name, work)


def owner_of(by: ev.By) -> ev.By:
    return ev.By(by.principal)


async def first_reason(place: House) -> None:
    """Permission first: whoever may not is told so, not asked why."""
    with pytest.raises(PermissionDenied):
        await place.home.access.create_namespace(place.home.access.who(NOBODY), "lab")


def test_a_version_means_one_definition_for_ever(settings: Settings) -> None:
    async def work(place: House) -> None:
        async def register(document: object, version: str, title: str = "") -> None:
            words = Words(flow="f", version=version, title=title)
            await place.service.register(place.keep(document), words, BY)

        await register(ONE, "1")
        await register(SLOW, "2")
        await register(ONE, "1")  # back to what it always meant
        await register(ONE, "1", "a title is no definition")
        for version in ("1", "2"):
            with pytest.raises(VersionTaken, match=f"version {version} of flow f already means"):
                await register({"steps": {"other": {"run": "true"}}}, version)
        await register({"steps": {"other": {"run": "true"}}}, "")
        await register({"steps": {"another": {"run": "true"}}}, "")

    under(settings, "regulated", work)


def test_under_standard_a_label_may_move(settings: Settings) -> None:
    async def work(place: House) -> None:
        for document in (ONE, SLOW):
            await place.service.register(place.keep(document), Words(flow="f", version="1"), BY)

    under(settings, "standard", work)


def test_nobody_comes_in_without_credentials(settings: Settings) -> None:
    async def work(place: House) -> None:
        strict = msgspec.structs.replace(settings, profile="regulated")
        with pytest.raises(InvalidInput, match="without credentials"):
            _mode(strict, place.home)
        access = place.home.access
        await access.create_token(access.who(BY), "user:ana", name="n", reason="first")
        assert _mode(strict, place.home) == (None, "callers bring a token")

    under(settings, "regulated", work)


def test_the_record_says_since_when_a_profile_is_in_force(settings: Settings) -> None:
    told: list[list[str]] = []

    async def look(place: House) -> None:
        noted = [one.event for one in place.store.noted()]
        kinds = [one for one in noted if isinstance(one, ev.EngineNoted) and one.kind == "profile"]
        told.append([one.data["profile"] for one in kinds])

    for name in ("standard", "standard", "regulated", "regulated", "standard"):
        under(settings, name, look)
    assert told == [[], [], ["regulated"], ["regulated"], ["regulated", "standard"]]


def test_every_demand_is_of_something_that_can_be_done() -> None:
    assert PROFILES["regulated"].reasons == frozenset(Change) and not PROFILES["standard"].reasons
