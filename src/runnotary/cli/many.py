"""Commands for several runs: which are meant, and something done with each, so many at a time."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar

from runnotary.app.listing import FILTERS, pages
from runnotary.app.records import reading
from runnotary.cli.output import emit
from runnotary.config import Settings
from runnotary.core.errors import InvalidInput, RunnotaryError
from runnotary.core.findings import did_you_mean

Json = Any
T = TypeVar("T")
CONCURRENCY: Final = 10
LISTS: Final = frozenset({"flow", "status", "kind", "tag", "created_by", "owner", "asset", "namespace"})
"""Words of a filter that take several values."""
SWITCHES: Final = frozenset({"include_archived"})
FLAGS: Final = {"true": True, "false": False}


class Refused(NamedTuple):
    """A run for which it could not be done, and why."""

    run: str
    error: RunnotaryError


def filter_words(args: Namespace) -> dict[str, Json]:
    """Read `--filter WORD=VALUE`, and the namespace, as words of a listing.

    Raises:
        InvalidInput: a word that there is not, or that comes without a value: it would leave every run.
    """
    words: dict[str, Json] = {}
    for text in args.filters:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        if not equals:
            raise InvalidInput(f"--filter {text}: write --filter WORD=VALUE, as --filter status=failed")
        if name not in FILTERS:
            known = ", ".join(sorted(FILTERS))
            raise InvalidInput(f"--filter {text}: no word {name}{did_you_mean(name, FILTERS)}", hint=known)
        if not value.strip(","):
            raise InvalidInput(f"--filter {text}: no value", hint="without one it would mean every run")
        if name in LISTS:
            words[name] = [*words.get(name, []), *(part for part in value.split(",") if part)]
        elif name in words:
            raise InvalidInput(f"--filter {name}: given twice")
        else:
            words[name] = FLAGS.get(value, value) if name in SWITCHES else value
    if args.namespace:
        words["namespace"] = [args.namespace]
    return words


def meant(args: Namespace, settings: Settings, **usual: Json) -> list[Json]:
    """Return the documents of the runs that are named, or that the filter leaves.

    `usual` are the words of the filter that count if nothing else is said for them.

    Raises:
        InvalidInput: neither runs nor a filter, or both. RunNotFound: one that is not there.
    """
    if bool(args.runs) == bool(args.filters):
        raise InvalidInput("which runs? name them, or give --filter", hint="--filter status=failed")
    if args.filters:
        words = {**usual, **filter_words(args)}
        return [document for page in pages(settings, words, None) for document in page["runs"]]
    # A home answers at once; a server is asked about several at a time.
    with reading(settings) as reader, ThreadPoolExecutor(_at_once(args) if settings.url else 1) as pool:
        rows = {row.id: row for row in pool.map(reader.resolve, args.runs)}
        return [reader.document(row) for row in rows.values()]


def _at_once(args: Namespace) -> int:
    return args.concurrency or CONCURRENCY


async def each(
    runs: Sequence[str], act: Callable[[str], Awaitable[T]], concurrency: int | None
) -> list[T | Refused]:
    """Do something with each run, so many at a time; return what became of them, in order."""
    places = asyncio.Semaphore(concurrency or CONCURRENCY)

    async def one(run: str) -> T | Refused:
        async with places:
            try:
                return await act(run)
            except RunnotaryError as error:
                return Refused(run, error)

    return list(await asyncio.gather(*(one(run) for run in runs)))


def emit_each(args: Namespace, documents: Sequence[Json], text: Callable[[], None]) -> None:
    """Write the document of a run that was named alone as it is, those of others as a list."""
    alone = len(args.runs) == 1 and len(documents) == 1
    emit(args.format, documents[0] if alone else documents, text, each=documents)


def tell_refused(results: Sequence[Any]) -> int:
    """Say on stderr which runs were refused; return the gravest exit status. A single one is raised.

    Raises:
        RunnotaryError: the only run was refused.
    """
    refused = [one for one in results if isinstance(one, Refused)]
    if refused and len(results) == 1:
        raise refused[0].error
    for one in refused:
        print(f"error: {one.error.message}", file=sys.stderr)
    return max((one.error.exit_code for one in refused), default=0)
