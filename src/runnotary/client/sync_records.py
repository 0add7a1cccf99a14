"""What runs left behind: tasks, files, lineage, audit, blobs.

Written by `tools/unasync.py` from `async_records.py`; do not edit.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Literal

from runnotary.client import input_files, records
from runnotary.client.results import RunFile, Task
from runnotary.client.saving import arriving
from runnotary.client.sync_connection import Connection

Json = Any


class Records:
    """The part of the client that reads records."""

    _connection: Connection

    def run_tasks(self, run_id: str) -> list[Task]:
        """Return the tasks of a run with all their attempts, in the order of the flow."""
        return self._connection.ask(records.tasks(run_id))

    def run_task(self, run_id: str, task: str, *, item: int | None = None) -> Task:
        """Return one task, by its id or the name of its step; `item` chooses among several, from 0."""
        return self._connection.ask(records.task(run_id, task, item))

    def read_stream(
        self, run_id: str, task: str, stream: str = "stdout", *, item: int | None = None
    ) -> bytes:
        """Return what a task wrote to `stdout` or `stderr`, of one that runs what it has written so far."""
        return self._connection.ask(records.stream(run_id, task, stream, item))

    def run_files(self, run_id: str) -> list[RunFile]:
        """Return every file of a run, each with its hash: inputs, code, outputs, captured streams."""
        return self._connection.ask(records.files(run_id))

    def read_file(self, run_id: str, name: str) -> bytes:
        """Return the content of a file that a run made or took."""
        return self._connection.ask(records.file(run_id, name))

    def run_lineage(self, run_id: str) -> dict[str, Json]:
        """Return what came from what in a run: `nodes` and `edges`."""
        return dict(self._connection.ask(records.lineage(run_id)))

    def lineage(
        self, blob: str, *, direction: Literal["up", "down", "both"] = "both", depth: int = 10
    ) -> dict[str, Json]:
        """Return which runs made a file (`up`) and which used it (`down`), by its hash, and on from there.

        `depth` is how many runs in a row are followed.
        """
        return dict(self._connection.ask(records.across(blob, direction, depth)))

    def export_run(
        self,
        run_id: str,
        output: str | PathLike[str],
        *,
        format: Literal["bundle", "ro-crate", "openlineage", "html"] = "bundle",
    ) -> Path:
        """Write a run to a file: a bundle that verifies anywhere, or a form of other people's.

        The file has its name when it is complete, and takes the place of one that is there.

        Raises:
            NotEnded: the run goes on, and a bundle is of one that is over.
        """
        with arriving(output) as file:
            self._connection.save(records.export(run_id, format), file)
        return Path(output)

    def run_audit(self, run_id: str) -> list[dict[str, Json]]:
        """Return the events of a run as the record holds them."""
        return self._connection.ask(records.audit(run_id))

    def get_blob(self, digest: str) -> bytes:
        """Return bytes by their hash."""
        return self._connection.ask(records.blob(digest))

    def put_blob(self, data: bytes | Path) -> dict[str, Json]:
        """Keep bytes, or the content of a file; returns `digest` and `size`."""
        if isinstance(data, Path):
            data = self._connection.beside(input_files.content, data)
        return self._connection.ask(records.keep(data))
