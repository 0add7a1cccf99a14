"""A run is a trace, an attempt a span in it: as a collector gets them over HTTP, and as steps are told."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from runnotary import config
from runnotary.app import observing
from runnotary.app.home import Embedded
from runnotary.config import Settings
from runnotary.core import definition
from runnotary.core import events as ev
from runnotary.core.chain import run_stream
from runnotary.core.errors import InvalidInput
from runnotary.core.ids import attempt_id, from_text, to_text
from runnotary.core.trace import span_id, traceparent
from runnotary.engine.submission import Submission
from runnotary.exports.spans import Span, Spans
from tests.database import ENVIRON
from tests.exports.collector import Collector, collecting, plain

Json = Any
BY = ev.By("user:ana")
CALLER = f"00-{'a' * 32}-{'b' * 16}-01"
Scene = Callable[[Embedded], Awaitable[None]]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config.load({"home": str(tmp_path / "home"), "traces": "otlp"}, environ=ENVIRON, cwd=tmp_path)


def observed(settings: Settings, scene: Scene) -> None:
    """Play a scene in a home that is observed; when this returns, everything was sent."""

    async def whole() -> None:
        home = Embedded(settings)
        try:
            async with observing.observed(settings, home):
                await scene(home)
        finally:
            await home.close()

    asyncio.run(asyncio.wait_for(whole(), 60))


async def start(home: Embedded, document: Json, **words: Json) -> bytes:
    digest = home.blobs.put(definition.define(document).canonical)
    run, _ = await home.service.submit(Submission(definition=digest, **words), BY)
    return run


async def played(home: Embedded, document: Json, **words: Json) -> bytes:
    run = await start(home, document, **words)
    await home.engine.ended(run)
    return run


def test_a_run_arrives_as_a_trace_and_the_step_was_told_its_span(
    settings: Settings, collector: Collector
) -> None:
    found: dict[str, Any] = {}

    async def scene(home: Embedded) -> None:
        tell = {
            "run": 'echo "{\\"told\\": \\"$TRACEPARENT\\"}" > "$RUNNOTARY_OUTPUT"',
            "values": {"told": "string"},
        }
        steps = {"tell": tell, "fails": {"run": "exit 3", "needs": ["tell"]}, "computes": {"set": {"x": "1"}}}
        run = await played(home, {"flow": "report", "steps": steps}, source={"traceparent": CALLER})
        events = [entry.event for entry in home.store.read(run_stream(run))]
        ended = next(event for event in events if isinstance(event, ev.TaskEnded) and event.key == "tell")
        found.update(run=run, told=ended.values["told"], ended=ended, row=home.store.run(run))

    observed(settings, scene)
    run = found["run"]
    assert collector.paths == {"/v1/traces"}
    assert collector.resources[0]["service.name"] == "runnotary"
    assert {span.trace_id for span in collector.spans} == {run}
    assert sorted(span.name for span in collector.spans) == ["fails", "run", "tell"]

    (whole,), (tell,), (fails,) = (collector.named(name) for name in ("run", "tell", "fails"))
    assert (whole.span_id.hex(), whole.parent_span_id) == (span_id(run), b"")
    assert tell.parent_span_id == fails.parent_span_id == whole.span_id
    attempt = attempt_id(run, "tell", 1)
    assert found["told"] == traceparent(to_text(run), attempt)
    assert found["told"] == f"00-{tell.trace_id.hex()}-{tell.span_id.hex()}-01"

    row, ended = found["row"], found["ended"]
    assert whole.start_time_unix_nano == row.created_at * 1000
    assert whole.end_time_unix_nano == row.ended_at * 1000
    assert tell.start_time_unix_nano == ended.started_at * 1000
    assert tell.end_time_unix_nano == ended.exited_at * 1000

    assert plain(whole.attributes) | {
        "runnotary.run.id": to_text(run),
        "runnotary.namespace": "default",
        "runnotary.status": "failed",
    } == plain(whole.attributes)
    assert plain(fails.attributes)["process.exit.code"] == 3
    assert plain(tell.attributes)["process.exit.code"] == 0
    assert (whole.status.code, fails.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_ERROR)
    assert (tell.status.code, fails.status.message) == (Status.STATUS_CODE_UNSET, "exit_code")
    (link,) = whole.links
    assert (link.trace_id.hex(), link.span_id.hex()) == ("a" * 32, "b" * 16)


def test_every_attempt_is_a_span_and_nothing_that_people_put_in_is_sent(
    settings: Settings, collector: Collector
) -> None:
    hidden = "hidden-hidden"
    step = {
        "run": 'echo hidden-hidden; test "$RUNNOTARY_TRY" = 2',
        "with": {"x": "${{ inputs.x }}"},
        "retry": {"attempts": 2, "backoff": "1ms"},
    }

    async def scene(home: Embedded) -> None:
        document = {"inputs": {"x": {"type": "string"}}, "steps": {"twice": step}}
        await played(home, document, inputs={"x": hidden}, label=hidden, tags=(hidden,))

    observed(settings, scene)
    first, second = sorted(collector.named("twice"), key=lambda span: span.start_time_unix_nano)
    assert [plain(span.attributes)["runnotary.attempt"] for span in (first, second)] == [1, 2]
    assert (first.status.code, second.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET)
    assert all(hidden.encode() not in span.SerializeToString() for span in collector.spans)


def test_a_run_that_began_before_the_engine_did_is_a_whole_trace(
    settings: Settings, collector: Collector
) -> None:
    runs: list[bytes] = []
    gate = settings.home.parent / "gate"

    async def begin() -> None:
        home = Embedded(settings)
        runs.append(
            await start(home, {"steps": {"waits": {"run": f"until test -e {gate}; do sleep 0.05; done"}}})
        )
        await home.close()

    async def go_on(home: Embedded) -> None:
        await home.service.adopt(runs[0], BY)
        gate.touch()
        await home.engine.ended(runs[0])

    asyncio.run(asyncio.wait_for(begin(), 60))
    observed(settings, go_on)
    (whole,), (waits,) = collector.named("run"), collector.named("waits")
    assert waits.parent_span_id == whole.span_id
    assert whole.start_time_unix_nano <= waits.start_time_unix_nano < waits.end_time_unix_nano
    assert plain(waits.attributes)["runnotary.executor"] == "process"


def test_the_tasks_of_one_step_have_one_name_and_spans_of_their_own(
    settings: Settings, collector: Collector
) -> None:
    async def scene(home: Embedded) -> None:
        await played(home, {"steps": {"each": {"for_each": "[1, 2, 3]", "run": "true"}}})

    observed(settings, scene)
    found = collector.named("each")
    assert len({span.span_id for span in found}) == 3
    assert len({plain(span.attributes)["runnotary.task"] for span in found}) == 3


def test_nothing_is_remembered_of_a_run_that_is_over(settings: Settings) -> None:
    sent: list[Span] = []

    async def scene(home: Embedded) -> None:
        run = await played(home, {"steps": {"a": {"run": "true"}}})
        spans = Spans(home.store.read, sent.append)
        for entry in home.store.read(run_stream(run)):
            spans(run_stream(run), entry)
        assert not spans._open

    quiet = config.load({"home": str(settings.home)}, environ=ENVIRON, cwd=settings.home.parent)
    observed(quiet, scene)
    assert [span.name for span in sent] == ["a", "run"]


def test_a_collector_that_is_away_delays_no_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")

    async def scene(home: Embedded) -> None:
        run = await played(home, {"steps": {"a": {"run": "true"}}})
        row = home.store.run(run)
        assert row is not None
        assert row.status == "success"

    observed(settings, scene)


def test_without_the_extra_the_server_says_what_to_install(settings: Settings) -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from pathlib import Path
from runnotary.app.observing import _traces
from runnotary.config import load
print(_traces(load({"home": "h"}, cwd=Path("/"))))
try:
    _traces(load({"home": "h", "traces": "otlp"}, cwd=Path("/")))
except Exception as error:
    print(type(error).__name__, repr(str(error)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    off, missing = done.stdout.splitlines()
    assert off == "None"
    assert missing.startswith(InvalidInput.__name__)
    assert "pip install 'runnotary[otel]'" in missing.replace("\\", "")


def test_ids_need_no_record() -> None:
    """Whoever has the ids that documents show can name the span."""
    run, attempt = "01M7ZJ2ESDETDBFG4B12S1DTAZ", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    assert traceparent(run, attempt) == f"00-{from_text(run).hex()}-ffffffffffffffff-01"


def test_what_an_extra_or_a_server_brings_is_named_in_one_file() -> None:
    package = Path(observing.__file__).parents[1]
    naming = {
        name: {
            path.relative_to(package).as_posix()
            for path in package.rglob("*.py")
            if re.search(rf"^\s*(?:from|import) {name}\b", path.read_text(), re.MULTILINE)
        }
        for name in ("opentelemetry", "prometheus_client")
    }
    assert naming == {"opentelemetry": {"exports/otel.py"}, "prometheus_client": {"server/metrics.py"}}
