"""Write down the log of this release: `python -m tests.replay.record`.

The file of a release that is out is never written again: later releases must read it as it stands.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import msgspec

import runnotary
from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.hashing import digest
from runnotary.ports import Append
from runnotary.store.sqlite import database
from tests.store.history import ACTOR, BY, DOCUMENT, START, Tale, Ticks, open_store, small_home

D = digest(b"recorded")
FAILURE = ev.Failure("exit_code", "exit code 3", "clean", 2)
SAMPLES: list[ev.Event] = [
    ev.RunCreated(
        definition=D,
        engine="0.1.0",
        durability="normal",
        by=ev.By("user:a", "token"),
        namespace="lab",
        flow="f",
        flow_id="01HF000000000000000000TEST",
        title="Title",
        description="Words",
        inputs={"file": {"$file": D, "name": "in.csv", "size": 4}, "n": 1.5, "none": None},
        inputs_large=ev.Large(D, 20_000),
        items=2,
        kind="training",
        trigger=ev.Trigger("schedule", "nightly"),
        owner="group:g",
        label="é 😀",
        tags=("a", "b"),
        labels={"k": "v"},
        monitors=("user:m",),
        managers=("user:n",),
        links=(ev.Link("previous_run", "01HF000000000000000000TEST"),),
        parent="01HF000000000000000000TEST",
        parent_task="t",
        root="01HF000000000000000000TEST",
        max_concurrency=3,
        on_failure="stop",
        source={"path": "f.yaml"},
    ),
    ev.RunUpdated(BY, {"label": "old"}, {"label": "new"}),
    ev.RunHeld(BY, "audit"),
    ev.RunCancelRequested(BY, "enough", 500, True),
    ev.RunFinished(
        "failed",
        "error",
        FAILURE,
        {"x": 1},
        ev.Large(D, 1),
        {"a": ev.File(D, 3, "a")},
        {"m": 0.5},
        {"failed": 1},
    ),
    ev.RunAnnotated("export", {"format": "bundle"}),
    ev.TaskStarted(
        key="clean[3]",
        attempt=2,
        ready_at=START,
        executor="process",
        fingerprint=D,
        deadline=START + 1,
        variables={"v": [1, "two"]},
        variables_large=ev.Large(D, 1),
        environment={"A": "b"},
        staged={"in/x": {"$dir": D}},
        place="here",
    ),
    ev.TaskBound("clean", 1, {"job": "j-1"}),
    ev.TaskReported("clean", 1, 50, "half", {"loss": 0.25}),
    ev.TaskWaiting("ask", "approval", START + 5, {"id": "r", "who": ["role:x"]}),
    ev.TaskSignalled("ask", BY, {"decision": "approved"}, "rule-1"),
    ev.TaskStopping("clean", 1, "timeout", 250),
    ev.TaskEnded(
        key="clean",
        attempt=1,
        verdict="retry",
        reason="timeout",
        retry_at=START + 9,
        error=FAILURE,
        exit_code=3,
        signal=15,
        values={"rows": 336776},
        values_large=ev.Large(D, 1),
        files={"out": ev.File(D, 9, "out", tree=True)},
        stdout=ev.Log(D, 10, D, True),
        stderr=ev.Log(D, 0),
        started_at=START,
        exited_at=START + 2,
        cpu_ms=5,
        max_rss_bytes=1 << 33,
        host="host",
        pid=77,
        environment=D,
        runtime=D,
        containment="cgroup",
        metrics={"auc": 0.9},
        tries=[{"n": 1}],
    ),
    ev.TaskSettled(("a", "b[0]"), "skipped", "upstream_failed", {"v": 1}, ev.Large(D, 1), FAILURE, "clean"),
    ev.TaskExpanded("each", 2, [{"a": 1}, None], ev.Large(D, 1)),
    ev.DefinitionChanged("f", "id", D, BY, "lab", "1.0", "Title", "Words", {"path": "f.yaml"}),
    ev.StreamErased("run/00", BY, "asked", 4, "ff" * 32, (1, 3)),
    ev.EngineNoted("clock_step", {"by_us": -5}),
]


def shape(kind: type[ev.Event]) -> dict[str, Any]:
    fields = msgspec.structs.fields(kind)
    code, version = ev.CODES[kind]
    return {
        "code": code,
        "version": version,
        "required": [field.encode_name for field in fields if field.required],
        "optional": [field.encode_name for field in fields if not field.required],
    }


def told(home: Path) -> dict[str, Any]:
    """Fill a home and return its log."""
    small_home(home)

    async def more() -> None:
        store = open_store(home)
        failing = Tale(5, Ticks(START + 10**9))
        turns = [
            lambda: (failing.created(), failing.started("clean")),
            lambda: (
                failing.ended("clean", store, "failed"),
                ev.TaskSettled(("report",), "skipped", "upstream_failed", because="clean"),
                ev.RunFinished("failed", "error", FAILURE, counts={"failed": 1, "skipped": 1}),
            ),
        ]
        for turn in turns:
            await store.append([failing.turn(*turn())])
        await store.append([Append(chain.ledger_stream("samples"), 0, tuple(SAMPLES), START, ACTOR)])
        store.close()

    asyncio.run(more())
    connection = sqlite3.connect(database(home))
    streams: dict[str, list[list[str]]] = {}
    for stream, envelope, body in connection.execute(
        "SELECT stream, envelope, body FROM events ORDER BY stream, seq"
    ):
        streams.setdefault(stream.hex(), []).append([envelope.hex(), body.hex()])
    log = connection.execute("SELECT pos, stream, from_seq, seq, head FROM log ORDER BY pos").fetchall()
    rows = {}
    for table in ("runs", "tasks", "flows"):
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        rows[table] = [
            {
                name: value.hex() if isinstance(value, bytes) else value
                for name, value in zip(names, row, strict=True)
            }
            for row in cursor
        ]
    connection.close()
    return {
        "streams": streams,
        "log": [[pos, stream.hex(), from_seq, seq, head.hex()] for pos, stream, from_seq, seq, head in log],
        "rows": rows,
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        recorded = {
            "release": runnotary.__version__,
            "definition": DOCUMENT,
            "definition_hash": digest(json.dumps(DOCUMENT, sort_keys=True, separators=(",", ":")).encode()),
            "types": {ev.NAMES[kind]: shape(kind) for kind in ev.CODES},
            "samples": [[ev.NAMES[type(event)], msgspec.to_builtins(event)] for event in SAMPLES],
            **told(Path(folder) / "home"),
        }
    path = Path(__file__).with_name(f"{runnotary.__version__}.json")
    path.write_text(json.dumps(recorded, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
