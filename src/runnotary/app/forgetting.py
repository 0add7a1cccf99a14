"""Forgetting people, and clearing away: what is done to a home while no engine works in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from runnotary.app.home import Embedded
from runnotary.app.system import operating_user
from runnotary.config import Settings
from runnotary.core.errors import FileMissing, HomeLocked
from runnotary.engine.erasure import Forgetting
from runnotary.store.sqlite import database

Json = Any


async def forgotten(settings: Settings, principal: str, reason: str, *, runs: bool, dry_run: bool) -> Json:
    """Erase a person from a home, or with `dry_run` only say what would go; return what went.

    Raises:
        HomeLocked: an engine works there. And whatever `Forgetting.erase` raises.
    """
    async with _alone(settings) as home:
        eraser, by = Forgetting(home.parts, home.access, home.service.retention), operating_user()
        if dry_run:
            plan = await asyncio.to_thread(eraser.plan, principal, by)
        else:
            plan = await eraser.erase(principal, by, reason, runs=runs)
        return {**plan.document, "runs_erased": runs and not dry_run, "dry_run": dry_run}


async def pruned(settings: Settings) -> int:
    """Take blobs away that nothing names, and write the database anew; return how many went.

    Raises:
        HomeLocked: an engine works there.
    """
    async with _alone(settings) as home:
        count = await home.store.prune()
        await home.store.scrub()
        return count


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncIterator[Embedded]:
    if not database(settings.home).is_file():
        raise FileMissing(f"nothing is recorded in {settings.home}", hint="name the home: --home DIR")
    try:
        home = Embedded(settings)
    except HomeLocked as locked:
        raise HomeLocked(locked.message, hint="end it first: stop the server, or wait for its runs") from None
    try:
        yield home
    finally:
        await home.close()
