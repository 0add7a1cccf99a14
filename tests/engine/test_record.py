"""Everything the seeds say a run records is on the run document and its tasks, from a real run."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runnotary import __version__
from runnotary.core.hashing import digest
from runnotary.engine.reader import Reader

Play = Callable[..., str]
Read = Callable[[], Reader]
MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
DESIGN_4 = {
    *("id", "namespace", "flow", "flow_id", "flow_title", "flow_description", "definition_hash"),
    *(
        "engine_version",
        "kind",
        "status",
        "reason",
        "trigger",
        "created_by",
        "owner",
        "label",
        "tags",
        "labels",
    ),
    *("monitors", "managers", "inputs", "items", "max_concurrency", "overrides", "parent", "root_run"),
    *("previous_run", "asset", "flow_kind", "input_versions", "extension", "progress", "metrics", "outputs"),
    *("artifacts", "error", "external", "created_at", "started_at", "ended_at", "cancel_requested_at", "log"),
}

FLOW: dict[str, Any] = {
    "flow": "recorded",
    "title": "A title",
    "inputs": {"data": {"type": "file"}, "top": {"type": "integer", "default": 10}},
    "steps": {
        "count": {
            "run": """
                wc -l < "$data" > out.txt
                echo lines=$(cat out.txt) >> "$RUNNOTARY_OUTPUT"
                echo seen; echo odd >&2
            """,
            "with": {"data": "${{ inputs.data }}", "top": "${{ inputs.top }}"},
            "env": {"MODE": "strict"},
            "files": ["out.txt"],
            "values": {"lines": "integer"},
        },
        "fails": {"run": "exit 7", "needs": ["count"]},
        "never": {"run": "true", "needs": ["fails"]},
    },
    "outputs": {"report": "${{ steps.count.files['out.txt'] }}", "lines": "${{ steps.count.values.lines }}"},
}


@pytest.fixture
def recorded(play: Play, reader: Read, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    (tmp_path / "data.csv").write_text("a\nb\nc\n")
    run = play(FLOW, given={"data": "data.csv"}, label="tuesday", tags=("x",))
    read = reader()
    row = read.resolve(run)
    return read.document(row), {task["step"]: task for task in read.tasks(row)}


def test_the_run_document_has_every_field_of_the_design(recorded: Any) -> None:
    document, _ = recorded
    assert set(document) >= DESIGN_4


def test_what_a_run_records(recorded: Any) -> None:
    """Seed validance-runs.md, "Every run is associated with"; seed nomad-pipeline, "Run Attributes"."""
    document, _ = recorded
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", document["id"])
    assert re.fullmatch("sha256:[0-9a-f]{64}", document["definition_hash"])
    assert document["engine_version"] == __version__
    assert document["created_by"].startswith("user:")
    assert document["trigger"] == {"kind": "manual", "id": None}
    for moment in ("created_at", "started_at", "ended_at"):
        assert MICROSECONDS.fullmatch(document[moment])
    assert document["created_at"] <= document["started_at"] <= document["ended_at"]
    data = {"$file": digest(b"a\nb\nc\n"), "name": "data.csv", "size": 6}
    assert document["inputs"] == {"data": data, "top": 10}
    assert (document["flow"], document["flow_title"], document["namespace"]) == (
        "recorded",
        "A title",
        "default",
    )
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", document["flow_id"])
    assert (document["status"], document["reason"]) == ("failed", "error")
    assert document["error"] == {"code": "exit_code", "message": "exit 7", "step": "fails", "attempt": 1}
    assert document["outputs"]["lines"] == 3
    assert document["artifacts"]["report"] == {
        "blob": digest(b"3\n"),
        "size": 2,
        "name": "out.txt",
        "tree": False,
    }
    assert (document["label"], document["tags"]) == ("tuesday", ["x"])
    assert document["items"]["failed"] == document["items"]["total"] == 1
    assert document["log"]["events"] > 0
    assert re.fullmatch("sha256:[0-9a-f]{64}", document["log"]["head"])


def test_what_every_task_records(recorded: Any) -> None:
    """Seed validance-runs.md, "For every task in the run"; without a container no image is invented."""
    _, tasks = recorded
    (attempt,) = tasks["count"]["attempts"]
    assert (attempt["image"], attempt["image_digest"]) == (None, None)
    assert attempt["runtime"]["kind"] == "process"
    assert re.fullmatch("sha256:[0-9a-f]{64}", attempt["runtime"]["hash"])
    assert attempt["command"][-1] == FLOW["steps"]["count"]["run"]
    assert "bash" in attempt["command"][0]
    assert attempt["inputs"]["data"]["$file"] == digest(b"a\nb\nc\n")
    assert attempt["with"] == {"top": 10}
    assert attempt["outputs"]["out.txt"]["blob"] == digest(b"3\n")
    assert attempt["variables"] == {"lines": 3}
    assert attempt["exit_code"] == 0
    assert attempt["stdout"]["digest"] == digest(b"seen\n")
    assert attempt["stderr"]["digest"] == digest(b"odd\n")
    assert MICROSECONDS.fullmatch(attempt["started_at"])
    assert attempt["started_at"] <= attempt["ended_at"]
    assert attempt["host"] == socket.gethostname()
    assert attempt["environment"]["values"] == {"MODE": "strict"}
    assert "PATH" in attempt["environment"]["names"]
    assert attempt["usage"]["max_rss_bytes"] > 0


def test_failed_and_skipped_tasks_say_why(recorded: Any) -> None:
    _, tasks = recorded
    assert (tasks["fails"]["status"], tasks["fails"]["attempts"][0]["exit_code"]) == ("failed", 7)
    assert (tasks["never"]["status"], tasks["never"]["reason"]) == ("skipped", "upstream_failed")
    assert tasks["never"]["error"]["step"] == "fails"
    assert tasks["never"]["attempts"] == []


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_the_record_says_how_durable_it_was_when_written(
    play: Play, reader: Read, settings: Any, durability: str
) -> None:
    msgspec.structs.force_setattr(settings, "durability", durability)
    run = play({"steps": {"only": {"run": "true"}}})
    read = reader()
    assert read.document(read.resolve(run))["durability"] == durability


def test_what_a_running_step_reports_is_recorded_while_it_runs(play: Play, reader: Read) -> None:
    says = """
        echo '{"progress": 40, "message": "parsing"}' >> "$RUNNOTARY_REPORT"
        sleep 1.3
        echo '{"metric": {"rows": 12}}' >> "$RUNNOTARY_REPORT"
    """
    run = play({"steps": {"slow": {"run": says}}})
    read = reader()
    row = read.resolve(run)
    (report, *_) = [entry["details"] for entry in read.audit(row) if entry["type"] == "task.reported"]
    assert (report["key"], report["progress"], report["message"]) == ("slow", 40, "parsing")
    assert read.document(row)["metrics"] == {"rows": 12}
