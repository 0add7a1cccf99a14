"""What somebody did with a run says as what they did it; those who may not see it are told nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runnotary import config
from runnotary.app.home import Embedded
from runnotary.app.intake import StartRequest, taken_in
from runnotary.app.stores import record_of
from runnotary.core import events as ev
from runnotary.core.chain import ledger_stream, run_stream
from runnotary.core.errors import PermissionDenied, RunNotFound
from runnotary.core.events import By
from runnotary.core.queries import RunQuery
from runnotary.engine import retention
from runnotary.store.verify import verify
from tests.database import ENVIRON

PATIENCE_S = 60
FLOW = {"flow": "quick", "steps": {"only": {"run": ["true"]}}}
PEOPLE = {"monitors": ("user:monitor", "group:qa"), "managers": ("user:manager",)}


def oidc(name: str, *groups: str) -> By:
    return By(f"user:{name}", "oidc", groups=groups)


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Embedded, bytes], Awaitable[Any]]], Any]:
    """Return a function that plays with a home in which `user:starter` has run a flow in `lab`."""
    settings = config.load({"home": str(tmp_path / "home")}, environ=ENVIRON, cwd=tmp_path)
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(FLOW))

    async def whole(scene: Callable[[Embedded, bytes], Awaitable[Any]]) -> Any:
        home = Embedded(settings)
        try:
            owner = home.access.who(By("user:local"))
            await home.access.create_namespace(owner, "lab")
            for name in ("operator", "viewer", "admin"):
                await home.access.grant(owner, "lab", f"user:{name}", name)
            await home.access.grant(owner, "lab", "user:starter", "operator")
            await home.access.grant(owner, "default", "group:qa", "viewer")
            request = StartRequest(cwd=str(tmp_path), target="flow.yaml", namespace="lab", **PEOPLE)
            submission = await taken_in(request, home.blobs, home.reader)
            run, _ = await home.service.submit(submission, oidc("starter"))
            await home.engine.ended(run)
            return await scene(home, run)
        finally:
            await home.close()

    def plays(scene: Callable[[Embedded, bytes], Awaitable[Any]]) -> Any:
        told = asyncio.run(asyncio.wait_for(whole(scene), PATIENCE_S))
        assert verify(record_of(settings), deep=True).ok
        return told

    return plays


def roles(home: Embedded, run: bytes) -> list[tuple[str, str, str]]:
    """Who did what with a run, as what."""
    acts = [record.event for record in home.store.read(run_stream(run))]
    said = [(act, getattr(act, "by", None) or getattr(act, "data", {}).get("by")) for act in acts]
    found = []
    for act, by in said:
        if by is not None:
            who = by if isinstance(by, By) else By(**by)
            found.append((ev.NAMES[type(act)], who.principal, who.role))
    return found


def test_every_act_says_as_what_it_was_done(play: Callable[..., Any]) -> None:
    async def scene(home: Embedded, run: bytes) -> None:
        service = home.service
        await service.update(run, oidc("manager"), {"label": "a"})
        await service.update(run, oidc("starter"), {"label": "b"})
        await service.update(run, oidc("operator"), {"label": "c"})
        await service.update(run, By("user:local"), {"label": "d"})
        await service.archive(run, oidc("manager"), "done with")
        await service.sweep(RunQuery(include_archived=True), oidc("admin"), action="archive")
        await service.hold(run, oidc("admin"), "evidence")
        assert roles(home, run) == [
            ("run.created", "user:starter", "operator@lab"),
            ("run.updated", "user:manager", "manager"),
            ("run.updated", "user:starter", "owner"),
            ("run.updated", "user:operator", "operator@lab"),
            ("run.updated", "user:local", ""),
            ("run.annotated", "user:manager", "manager"),
            ("run.held", "user:admin", "admin@lab"),
        ]
        flow = [one.event for one in home.store.read(ledger_stream("lab"))]
        assert [one.by.role for one in flow if isinstance(one, ev.DefinitionChanged)] == ["operator@lab"]

    play(scene)


def test_a_purge_says_as_what_it_was_done(play: Callable[..., Any]) -> None:
    async def scene(home: Embedded, run: bytes) -> None:
        await home.service.purge(run, oidc("admin"), "asked for")
        (stone,) = [
            one.event
            for one in home.store.read(ledger_stream("lab"))
            if isinstance(one.event, ev.StreamErased)
        ]
        assert (stone.by.role, stone.reason) == ("admin@lab", "asked for")

    play(scene)


# r: RunNotFound. d: PermissionDenied. y: done.
MATRIX = {
    #                 update archive hold purge
    "user:starter":  "y y d d",
    "user:manager":  "y y d d",
    "user:monitor":  "d d d d",
    "user:operator": "y y d d",
    "user:viewer":   "d d d d",
    "user:admin":    "y y y d",  # The hold that they made protects it.
    "user:stranger": "r r r r",
    "in group:qa":   "d d d d",
    "says group:xx": "r r r r",
}  # fmt: skip


@pytest.mark.parametrize("who", MATRIX)
def test_people_of_a_run_and_of_its_namespace(play: Callable[..., Any], who: str) -> None:
    by = {"in group:qa": oidc("x", "group:qa"), "says group:xx": oidc("x", "group:xx")}.get(who)
    by = by or By(who, "oidc")

    async def scene(home: Embedded, run: bytes) -> str:
        service = home.service
        acts: tuple[Callable[[], Awaitable[None]], ...] = (
            lambda: service.update(run, by, {"label": "x"}),
            lambda: service.archive(run, by, "x"),
            lambda: service.hold(run, by, "x"),
            lambda: service.purge(run, by, "x"),
        )
        outcomes = []
        for act in acts:
            try:
                await act()
            except RunNotFound:
                outcomes.append("r")
            except PermissionDenied:
                outcomes.append("d")
            except Exception as other:  # noqa: BLE001 - a hold protects from a purge
                assert type(other).__name__ == "Held"
                outcomes.append("d")
            else:
                outcomes.append("y")
        return " ".join(outcomes)

    assert play(scene) == MATRIX[who]


def test_a_purge_looks_again_when_it_has_read_the_log(
    play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take long; the role of who purges is taken away meanwhile."""
    reading, go_on = threading.Event(), threading.Event()

    class Slow(retention.Leaving):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words)
            reading.set()
            assert go_on.wait(PATIENCE_S)

    async def scene(home: Embedded, run: bytes) -> None:
        monkeypatch.setattr(retention, "Leaving", Slow)
        owner = home.access.who(By("user:local"))
        for act in (home.service.purge, home.service.erase):
            await home.access.grant(owner, "lab", "user:admin", "admin")
            reading.clear(), go_on.clear()
            acting = asyncio.ensure_future(act(run, oidc("admin"), "why"))
            await asyncio.to_thread(reading.wait, PATIENCE_S)
            await home.access.revoke(owner, "lab", "user:admin")
            go_on.set()
            with pytest.raises(RunNotFound):
                await acting
            assert home.store.run(run) is not None

    play(scene)


def test_a_token_that_was_revoked_since_does_nothing_more(play: Callable[..., Any]) -> None:
    async def scene(home: Embedded, run: bytes) -> None:
        owner = home.access.who(By("user:local"))
        document, secret = await home.access.create_token(owner, "user:admin", name="t")
        by = home.access.token(secret)
        assert by is not None
        await home.service.update(run, by, {"label": "a"})
        await home.access.revoke_token(owner, document["id"])
        with pytest.raises(RunNotFound):
            await home.service.update(run, by, {"label": "b"})
        acts = [
            one.event.by for one in home.store.read(run_stream(run)) if isinstance(one.event, ev.RunUpdated)
        ]
        assert [(one.token, one.role) for one in acts] == [(document["id"], "admin@lab")]

    play(scene)
