"""Routes about many runs at once: each entry has a result of its own, in the order asked.

Whatever is wrong with one entry is said in its result and keeps none of the others from being done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from runnotary.api.call import Call, Document
from runnotary.api.flows import DEFAULT_NAMESPACE
from runnotary.api.runs import head_of, key_of, source_of, trigger_of
from runnotary.api.wire import Update
from runnotary.core.errors import InvalidInput, RunnotaryError
from runnotary.engine.requests import Changes, RunRequest

Json = Any
T = TypeVar("T")
CONCURRENCY: Final = 10


async def start(call: Call) -> Document:
    key, trigger, source = key_of(call), trigger_of(call), source_of(call)

    async def one(index: int, entry: Json) -> Json:
        request = _of_type(entry, RunRequest)
        if not request.namespace:
            request = msgspec.structs.replace(request, namespace=DEFAULT_NAMESPACE)
        own = request.idempotency_key or (f"{key}-{index}" if key else "")
        return (await call.operations.start(call.who, request, own, trigger, source))[0]

    return await _results(call.body.runs, call.body.concurrency, one)


async def get(call: Call) -> Document:
    async def one(index: int, entry: str) -> Json:
        return await asyncio.to_thread(call.operations.run, call.who, entry)

    return await _results(call.body.ids, 0, one)


async def cancel(call: Call) -> Document:
    body = call.body

    async def one(index: int, entry: str) -> Json:
        return await call.operations.cancel(call.who, entry, body.reason, body.grace_ms)

    return await _results(body.ids, body.concurrency, one)


async def update(call: Call) -> Document:
    async def one(index: int, entry: Json) -> Json:
        asked = _of_type(entry, Update)
        changes = Changes(**{name: getattr(asked, name) for name in Changes.__struct_fields__})
        return await call.operations.update(call.who, asked.id, changes, head_of(asked.if_match))

    return await _results(call.body.updates, call.body.concurrency, one)


def _of_type(entry: Json, kind: type[T]) -> T:
    try:
        return msgspec.convert(entry, kind)
    except msgspec.ValidationError as wrong:
        raise InvalidInput(str(wrong)) from None


async def _results(
    entries: Sequence[Any], concurrency: int, do: Callable[[int, Any], Awaitable[Json]]
) -> Document:
    turn = asyncio.Semaphore(concurrency if concurrency > 0 else CONCURRENCY)

    async def result(index: int, entry: Any) -> Json:
        async with turn:
            try:
                run = await do(index, entry)
            except RunnotaryError as wrong:
                error = {"code": wrong.code, "message": wrong.message}
                return {"index": index, "run_id": _id_of(entry), "error": error}
        return {"index": index, "run_id": run["id"], "run": run}

    return Document({"results": await asyncio.gather(*(result(*pair) for pair in enumerate(entries)))})


def _id_of(entry: Any) -> str | None:
    found = entry.get("id") if isinstance(entry, dict) else entry
    return found if isinstance(found, str) else None
