"""Lines of a server: one for each thing, with its run in a field, and nothing that people put in."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from typing import Any

import pytest

from runnotary.app.reporting import Reporter, Writing, lines
from runnotary.core import events as ev
from runnotary.core.chain import Recorded, ledger_stream, run_stream
from runnotary.core.ids import to_text, uuid7

Json = Any
RUN = uuid7(1_700_000_000_000_000, bytes(8))
STREAM = run_stream(RUN)
ANA = ev.By("user:ana", "token")
HIDDEN = "hidden-hidden"
"""Stands wherever a person or a step may put text."""

CREATED = ev.RunCreated(
    definition="sha256:d",
    engine="1",
    durability="full",
    by=ANA,
    namespace="lab",
    flow="report",
    inputs={"password": HIDDEN},
    label=HIDDEN,
    tags=(HIDDEN,),
    source={"path": HIDDEN},
)
FAILURE = ev.Failure("exit_code", HIDDEN, step="clean", attempt=1)
EVENTS: list[tuple[ev.Event, str]] = [
    (CREATED, "info"),
    (ev.RunUpdated(ANA, {"label": HIDDEN}, {"label": HIDDEN}), "info"),
    (ev.RunHeld(ANA, HIDDEN), "info"),
    (
        ev.TaskStarted("clean", 1, 0, "process", "f", variables={"x": HIDDEN}, environment={"E": HIDDEN}),
        "debug",
    ),
    (ev.TaskReported("clean", 1, 40, HIDDEN, {"m": HIDDEN}), "debug"),
    (ev.TaskStopping("clean", 1, "timeout"), "debug"),
    (ev.TaskWaiting("ask", "approval", request={"prompt": HIDDEN}), "debug"),
    (ev.TaskSignalled("ask", ANA, HIDDEN), "info"),
    (ev.TaskExpanded("each", 1, [HIDDEN]), "debug"),
    (ev.TaskSettled(("a", "b"), "success", values={"x": HIDDEN}), "debug"),
    (
        ev.TaskEnded("clean", 1, "failed", "error", error=FAILURE, exit_code=3, values={"x": HIDDEN}),
        "warning",
    ),
    (ev.TaskEnded("clean", 2, "success", exit_code=0, values={"x": HIDDEN}), "debug"),
    (ev.RunCancelRequested(ANA, HIDDEN), "info"),
    (ev.RunAnnotated("archived", {"why": HIDDEN}), "info"),
    (ev.RunFinished("failed", "error", FAILURE, {"x": HIDDEN}), "warning"),
    (ev.RunFinished("success", outputs={"x": HIDDEN}), "info"),
]


def reported(form: str, level: str, *events: tuple[bytes, ev.Event]) -> list[str]:
    written = io.StringIO()
    with lines(form, level, written):
        report = Reporter(lambda run: "found")
        for number, (stream, event) in enumerate(events, 1):
            report(stream, Recorded(number, 1_700_000_001_500_000, bytes(16), event))
    return written.getvalue().splitlines()


@pytest.mark.parametrize(("event", "level"), EVENTS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("form", ["json", "text"])
def test_an_event_is_a_line_of_its_level_without_what_people_put_in(
    event: ev.Event, level: str, form: str
) -> None:
    (line,) = reported(form, "debug", (STREAM, event))
    assert level in line
    assert ev.NAMES[type(event)] in line
    assert to_text(RUN) in line
    assert HIDDEN not in line


def test_every_type_of_event_of_a_run_is_in_the_table_above() -> None:
    ledgers = {"definition.changed", "access.changed", "stream.erased", "engine.noted", "key.changed"}
    later = {"task.bound"}
    assert {ev.NAMES[type(event)] for event, _ in EVENTS} == set(ev.NAMES.values()) - ledgers - later


def test_json_has_run_task_namespace_and_level_as_fields() -> None:
    found = [
        json.loads(line) for line in reported("json", "debug", *[(STREAM, event) for event, _ in EVENTS])
    ]
    assert {line["run"] for line in found} == {to_text(RUN)}
    assert {line["namespace"] for line in found[:-1]} == {"lab"}
    assert [line["level"] for line in found] == [level for _, level in EVENTS]
    ended = next(line for line in found if line["event"] == "task.ended")
    assert (
        ended
        | {
            "task": "clean",
            "attempt": 1,
            "status": "failed",
            "reason": "error",
            "code": "exit_code",
            "exit_code": 3,
        }
        == ended
    )
    finished = next(line for line in found if line["event"] == "run.finished")
    assert finished | {"status": "failed", "seconds": 1.5} == finished
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"]) for line in found)


def test_the_namespace_of_a_run_that_began_before_is_looked_up() -> None:
    (line,) = reported("json", "debug", (STREAM, ev.TaskSettled(("a",), "success")))
    assert json.loads(line)["namespace"] == "found"


def test_a_ledger_is_told_by_its_namespace_and_without_what_changed() -> None:
    change = ev.AccessChanged(
        kind="token", namespace="lab", subject="t1", by=ANA, was={}, set={"hash": HIDDEN}
    )
    (line,) = reported("json", "info", (ledger_stream("lab"), change))
    assert HIDDEN not in line
    assert json.loads(line) | {"namespace": "lab", "kind": "token", "by": "user:ana"} == json.loads(line)


def test_what_is_below_the_level_is_not_written() -> None:
    everything = [(STREAM, event) for event, _ in EVENTS]
    levels = [json.loads(line)["level"] for line in reported("json", "warning", *everything)]
    assert set(levels) == {"warning"}
    assert reported("json", "error", *everything) == []


def test_a_defect_is_one_json_line_with_its_traceback_and_its_run() -> None:
    written = io.StringIO()
    with lines("json", "info", written):
        try:
            raise RuntimeError("two\nlines")
        except RuntimeError:
            about = {"run": "R1", "task": ""}
            logging.getLogger("runnotary.engine").exception(
                "run %s cannot go on", "R1", extra={"about": about}
            )
    (line,) = [json.loads(text) for text in written.getvalue().splitlines()]
    assert (line["level"], line["run"], line["event"]) == ("error", "R1", "run R1 cannot go on")
    assert "RuntimeError: two\nlines" in line["traceback"]
    assert "task" not in line


def test_text_cannot_be_broken_into_lines_or_escape_sequences() -> None:
    created = ev.RunCreated("sha256:d", "1", "full", ev.By("user:a b\n\x1b[2J"), flow='say "x"')
    (line,) = reported("text", "info", (STREAM, created))
    assert r'by="user:a b\n\u001b[2J"' in line
    assert r'flow="say \"x\""' in line


def test_a_line_that_cannot_be_formatted_says_so_and_the_others_are_written() -> None:
    written = io.StringIO()
    with lines("json", "info", written):
        logger = logging.getLogger("runnotary.engine")
        logger.info("%d runs", "no number")
        logger.info("fine")
    first, second = [json.loads(line) for line in written.getvalue().splitlines()]
    assert "could not be written" in first["event"]
    assert second["event"] == "fine"


class Stuck(io.StringIO):
    """Nobody reads the other end until `read` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.read = threading.Event()

    def write(self, text: str) -> int:
        assert self.read.wait(30)
        return super().write(text)


def test_who_does_not_read_holds_up_nobody_and_is_told_how_much_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runnotary.app.reporting.WAITING_MAX", 10)
    stuck = Stuck()
    writing = Writing(logging.Formatter("%(message)s"), stuck)
    for number in range(100):
        writing.emit(logging.makeLogRecord({"msg": f"line {number}"}))
    stuck.read.set()
    writing.close()
    found = stuck.getvalue().splitlines()
    left_out = [int(line.split()[0]) for line in found if "left out" in line]
    assert sum(left_out) > 0
    assert sum(left_out) + sum(line.startswith("line ") for line in found) == 100


def test_afterwards_logging_is_as_it_was() -> None:
    logger = logging.getLogger("runnotary")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with lines("json", "debug", io.StringIO()):
        assert logger.handlers != before[2]
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
