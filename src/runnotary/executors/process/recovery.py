"""How an attempt stands whose end this engine did not see (docs/keeper.md, "When the keeper is gone").

The record is asked first, then whether its keeper lives. Only when the keeper is dead is anything killed
here, and only when nothing is left of the attempt's processes is it lost.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from runnotary.core.errors import RunnotaryError
from runnotary.executors import attempt_record, containment
from runnotary.executors.attempt_record import Record
from runnotary.executors.process.held import Held
from runnotary.executors.process.keeper_client import KeeperClient

_DYING_S: Final = 10.0
_GLANCE_S: Final = 0.01
_LOOK_S: Final = 0.5


def record_in(folder: str) -> Record | None:
    """Return an attempt's record, None if it is damaged: it may have been spawned, nothing else is known.

    Raises:
        FileNotFoundError: it was never claimed.
    """
    try:
        return attempt_record.read(f"{folder}/record")
    except attempt_record.Damaged:
        return None


def is_over(folder: str, boot_id: bytes) -> bool:
    """Tell whether nothing can run in a folder that this executor knows nothing about."""
    try:
        record = record_in(folder)
    except FileNotFoundError:
        return True
    return record is not None and (record.state == attempt_record.EXITED or record.boot_id != boot_id)


async def keeper_lives(keeper: KeeperClient, held: Held, record: Record | None) -> bool:
    """Tell whether some keeper still holds the attempt; notes whether that is another one than ours."""
    if record is None:
        return await _is_listed(keeper, held.attempt.id)
    if not containment.is_running(record.keeper_pid, record.keeper_ticks):
        return False
    try:
        ours = await keeper.connect(start=False) and keeper.pid == record.keeper_pid
    except RunnotaryError:
        ours = False
    held.orphaned = not ours
    return True


async def _is_listed(keeper: KeeperClient, attempt_id: str) -> bool:
    try:
        if not await keeper.connect(start=False):
            return False
        answer = await keeper.request("list")
    except RunnotaryError:
        return False
    return any(entry["attempt"] == attempt_id and entry["state"] != "exited" for entry in answer["attempts"])


async def bury(held: Held, record: Record | None) -> str:
    """Kill what a dead keeper left of an attempt; return in words what became of it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _DYING_S
    while left := await asyncio.to_thread(containment.kill_tree, held.attempt.id, held.folder, record):
        if loop.time() > deadline:
            break
        await asyncio.sleep(_GLANCE_S)
    fate = f"{left} of its processes do not die of SIGKILL" if left else "what was left of it was killed"
    return f"its keeper died, and how it ended is not known; {fate}"


async def stop_orphan(held: Held, grace_ms: int) -> None:
    """Stop an attempt whose keeper lives but cannot be talked to; that keeper still writes its record."""
    record = attempt_record.read(f"{held.folder}/record")
    process = containment.look(record.pid)
    if process is not None and process.start_ticks == record.start_ticks:
        containment.send(process, signal.SIGTERM)
    await asyncio.sleep(grace_ms / 1000)
    while held.state == "running":
        await asyncio.to_thread(containment.kill_tree, held.attempt.id, held.folder, record)
        await asyncio.sleep(_LOOK_S)
