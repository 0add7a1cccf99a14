"""Requests about many runs at once, and how the answers to several of them become one.

A long batch goes in parts, so that no single request takes long. Every entry has its own idempotency key:
a part whose answer was lost is sent again, and each of its runs is still one run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from runnotary.client.request import Answer, Request, key_header, send
from runnotary.client.results import BatchError, BatchResponse, BatchResult, json_of, one_of
from runnotary.client.words import RunRequest, batch_body
from runnotary.core.errors import RunnotaryError

Json = Any
T = TypeVar("T")
PART: Final = 100
CONCURRENCY: Final = 10


def parts(entries: Sequence[T]) -> Iterator[Sequence[T]]:
    """Divide a batch into what goes in one request."""
    return (entries[at : at + PART] for at in range(0, len(entries), PART))


def start(
    requests: Sequence[RunRequest | Mapping[str, Json]], concurrency: int, key: str
) -> Request[BatchResponse]:
    """Start one run for each request."""
    bodies = [batch_body(request, f"{key}-{index}") for index, request in enumerate(requests)]
    return _batch("start", {"runs": bodies, **_at_once(concurrency)}, key)


def get(run_ids: Sequence[str]) -> Request[BatchResponse]:
    """Ask for runs; a server reads them all at once."""
    return _batch("get", {"ids": list(run_ids)})


def cancel(run_ids: Sequence[str], reason: str, concurrency: int) -> Request[BatchResponse]:
    """Ask for the end of runs."""
    return _batch("cancel", {"ids": list(run_ids), "reason": reason, **_at_once(concurrency)})


def update(updates: Sequence[Mapping[str, Json]], concurrency: int) -> Request[BatchResponse]:
    """Change runs: each entry has the `id` of a run, and what is to be said about it."""
    return _batch("update", {"updates": [dict(one) for one in updates], **_at_once(concurrency)})


def _at_once(concurrency: int) -> dict[str, int]:
    return {"concurrency": concurrency if concurrency > 0 else CONCURRENCY}


def _batch(verb: str, document: Mapping[str, Json], key: str = "") -> Request[BatchResponse]:
    return send("POST", f"/runs:batch-{verb}", _results, document, headers=key_header(key), repeatable=True)


def _results(answer: Answer) -> BatchResponse:
    return one_of(BatchResponse, json_of(answer.body))


class Gathered:
    """The answers to the parts of a batch, becoming one."""

    def __init__(self) -> None:
        self.results: list[BatchResult] = []

    def add(self, response: BatchResponse) -> None:
        """Take in the answer to the next part."""
        before = len(self.results)
        for result in response.results:
            result.index += before
        self.results += response.results

    def add_failure(self, names: Sequence[str | None], error: RunnotaryError) -> None:
        """Take in that the next part got no answer. `names` are its runs, as far as they have ids.

        Raises:
            RunnotaryError: the same, if nothing was done before it: then nothing is lost by raising.
        """
        if not self.results:
            raise error
        failed = BatchError(error.code, error.message)
        before = len(self.results)
        self.results += [
            BatchResult(index=before + at, run_id=name, error=failed) for at, name in enumerate(names)
        ]

    def response(self) -> BatchResponse:
        """Return the answer to the whole."""
        documents = [result.raw for result in self.results]
        return BatchResponse(results=self.results, raw={"results": documents})
