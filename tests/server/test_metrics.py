"""What a server tells Prometheus, and what it writes, while real runs and requests go through it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from runnotary.core import events as ev
from runnotary.core.chain import Recorded, ledger_stream, run_stream
from runnotary.core.ids import uuid7
from runnotary.core.states import State
from runnotary.server.metrics import Counted, Metrics
from tests.exports.collector import Collector, collecting
from tests.server.up import QUICK, Up, until, waits_for

Json = Any
Levels = dict[tuple[str, ...], float]
CALLER = f"00-{'a' * 32}-{'b' * 16}-01"
FAILS: Json = {"flow": "fails", "steps": {"a": {"run": "exit 3"}, "b": {"set": {"x": "1"}}}}
RUN = uuid7(1_700_000_000_000_000, bytes(8))
LATER = 1_700_000_002_000_000
STEP_LABELS = {"le", "status", "method", "route", "trigger", "executor", "verdict", "version"}


def read(text: str) -> Levels:
    """Every sample: (name, label values in the order of their names) and its value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(up: Up, **words: Any) -> Levels:
    reply = up.get("/metrics", api="", **words)
    assert reply.status == 200, reply
    return read(reply.body.decode())


# --- a server at work ------------------------------------------------------------------------------


def test_runs_attempts_commits_and_requests_are_counted(own: Callable[..., Up]) -> None:
    up = own()
    up.register(QUICK, FAILS)
    runs = [up.run("quick")["id"], up.run("quick")["id"], up.run("fails")["id"]]
    for run in runs:
        up.get(f"/runs/{run}")
    up.get("/runs/01AAAAAAAAAAAAAAAAAAAAAAAA")
    up.get("/nowhere/at/all")
    ended = ("runnotary_run_seconds_count", "failed")
    found = until(lambda: (now := scraped(up)) and now.get(ended) and now, "the end of the runs")

    assert found["runnotary_runs_created_total", "api"] == 3
    assert found["runnotary_run_seconds_count", "success"] == 2
    assert 0 < found["runnotary_run_seconds_sum", "success"] < 60
    assert found["runnotary_attempts_started_total", "process"] == 3
    assert found["runnotary_attempt_seconds_count", "failed"] == 1
    assert found["runnotary_tasks_ended_total", "success"] == 3  # two processes, and a step without an effect
    assert found["runnotary_tasks_ended_total", "failed"] == 1
    assert found["runnotary_task_wait_seconds_count",] == 3

    assert found["runnotary_commit_seconds_count",] >= 5
    assert found["runnotary_commit_events_sum",] >= 14
    assert found["runnotary_blob_bytes_total",] > 0
    assert found["runnotary_database_bytes",] > 4096
    assert found["runnotary_log_position",] >= 5

    assert found["runnotary_http_requests_total", "POST", "/api/v1/flows", "201"] == 2
    assert found["runnotary_http_requests_total", "POST", "/api/v1/flows/{flow}/runs", "200"] == 3
    assert found["runnotary_http_requests_total", "GET", "/api/v1/runs/{run}", "200"] == 3
    assert found["runnotary_http_requests_total", "GET", "/api/v1/runs/{run}", "404"] == 1
    assert found["runnotary_http_requests_total", "GET", "", "404"] == 1
    assert found["runnotary_http_request_seconds_count", "GET", "/api/v1/runs/{run}"] == 4
    assert found["process_resident_memory_bytes",] > 1 << 20


def test_levels_follow_what_goes_on(own: Callable[..., Up], tmp_path: Path) -> None:
    up, gate = own(slots=1), tmp_path / "gate"
    up.register(waits_for(gate))
    for _ in range(2):
        up.post("/flows/waits/runs")
    busy = until(lambda: (now := scraped(up))["runnotary_tasks_queued",] == 1 and now, "a queue")
    assert busy["runnotary_runs_open",] == 2
    assert (busy["runnotary_slots",], busy["runnotary_slots_used",]) == (1, 1)

    with (
        httpx2.Client(base_url=up.url, trust_env=False) as http,
        http.stream("GET", "/api/v1/events") as feed,
    ):
        assert feed.status_code == 200
        until(lambda: scraped(up)["runnotary_followers",] == 1, "a follower")
    gate.touch()
    until(lambda: scraped(up)["runnotary_runs_open",] == 0, "the end")
    rest = until(lambda: (now := scraped(up))["runnotary_followers",] == 0 and now, "a feed's end")
    assert (rest["runnotary_slots_used",], rest["runnotary_tasks_queued",]) == (0, 0)


def test_names_that_people_choose_make_no_new_series(own: Callable[..., Up]) -> None:
    up = own()

    def many(name: str) -> int:
        flow = {"flow": name, "steps": {f"step_{name}": {"set": {"x": "1"}}}}
        up.register(flow)
        for number in range(3):
            up.run(name, {"label": f"{name} {number}", "tags": [name]})
        up.get(f"/flows/{name}")
        text = up.get("/metrics", api="").body.decode()
        assert name not in text
        return len(read(text))

    many("alpha")
    up.get("/metrics", api="")
    assert len({many(name) for name in ("beta", "gamma", "delta")}) == 1


def test_where_callers_bring_tokens_metrics_ask_for_one_too(own: Callable[..., Up]) -> None:
    up = own()
    up.stop()
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "runnotary",
            "token",
            "create",
            "service:prometheus",
            "-o",
            "json",
            "--home",
            up.home,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    up.start()
    assert up.get("/metrics", api="").status == 401
    assert scraped(up, token=json.loads(made.stdout)["secret"])["runnotary_followers",] == 0


def test_a_scraper_that_knows_openmetrics_gets_it(own: Callable[..., Up]) -> None:
    up = own()
    reply = up.get("/metrics", api="", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.body.endswith(b"# EOF\n")


def test_every_line_of_a_server_is_json_and_names_its_run(own: Callable[..., Up]) -> None:
    up = own(log_format="json", log_level="debug")
    up.register(QUICK)
    run = up.run("quick")["id"]
    up.get("/nowhere")
    up.stop()
    found = [json.loads(line) for line in (up.folder / "stderr").read_text().splitlines()]
    assert all(line.keys() >= {"time", "level", "logger", "event"} for line in found)
    of_run = [line["event"] for line in found if line.get("run") == run]
    assert of_run == ["run.created", "task.started", "task.ended", "run.finished"]
    assert {line["namespace"] for line in found if line.get("run") == run} == {"default"}
    asked = [
        (line["method"], line.get("route"), line["status"])
        for line in found
        if line["event"] == "http.request"
    ]
    assert asked == [
        ("POST", "/api/v1/flows", 201),
        ("POST", "/api/v1/flows/{flow}/runs", 200),
        ("GET", None, 404),
    ]


# --- traces ----------------------------------------------------------------------------------------


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield found


def test_a_request_in_a_trace_is_linked_to_the_traces_of_its_runs(
    own: Callable[..., Up], collector: Collector
) -> None:
    up = own(traces="otlp")
    up.register(QUICK)
    told = {"traceparent": CALLER, "idempotency-key": "k", "prefer": "wait=60"}
    run = up.post("/flows/quick/runs", headers=told).json
    assert run["source"] == {"traceparent": CALLER}
    other = told | {"traceparent": CALLER.replace("b", "c")}
    assert up.post("/flows/quick/runs", headers=other).json["id"] == run["id"]
    batch = up.post("/runs:batch-start", {"runs": [{"flow": "quick"}]}, headers={"traceparent": CALLER}).json
    second = batch["results"][0]["run_id"]
    until(lambda: up.get(f"/runs/{second}").json["status"] == "success", "the second run")
    up.stop()
    roots = collector.named("quick")
    assert [[link.trace_id.hex() for link in span.links] for span in roots] == [["a" * 32]] * 2


def test_what_is_no_traceparent_is_as_if_it_were_not_sent(up: Up) -> None:
    reply = up.post("/flows/quick/runs", headers={"traceparent": f"00-{'0' * 32}-{'b' * 16}-01"})
    assert (reply.status, reply.json["source"]) == (201, None)


def test_without_the_extra_up_says_what_to_install(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from runnotary.cli.entry import run
sys.exit(run(sys.argv[1:]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "up", "--home", tmp_path / "home", "--port", "0"],
        env=os.environ | {"RUNNOTARY_TRACES": "otlp"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'runnotary[otel]'" in done.stderr


# --- the parts -------------------------------------------------------------------------------------


def samples(metrics: Metrics) -> Levels:
    return read(metrics.exposition()[0].decode())


def test_every_label_is_one_of_a_few_words() -> None:
    metrics = Metrics()
    metrics.request("GET", "/api/v1/runs", 200, 0.1)
    metrics.recorded(run_stream(RUN), Recorded(1, LATER, bytes(16), ev.RunFinished("success")))
    names = {
        name
        for family in text_string_to_metric_families(metrics.exposition()[0].decode())
        for sample in family.samples
        for name in sample.labels
    }
    assert names <= STEP_LABELS


def test_a_method_that_nobody_knows_is_other() -> None:
    metrics = Metrics()
    for number in range(20):
        metrics.request(f"METHOD{number}", "", 405, 0.001)
    assert samples(metrics)["runnotary_http_requests_total", "other", "", "405"] == 20


@pytest.mark.parametrize(
    "status", [state.value for state in State if state.value not in ("pending", "running", "waiting")]
)
def test_a_run_lasts_from_its_id_to_its_end(status: str) -> None:
    metrics = Metrics()
    metrics.recorded(run_stream(RUN), Recorded(3, LATER, bytes(16), ev.RunFinished(status)))
    assert samples(metrics)["runnotary_run_seconds_sum", status] == 2


def test_a_retry_is_an_attempt_and_no_end_of_a_task_and_a_lost_one_failed() -> None:
    metrics = Metrics()
    for verdict in ("retry", "lost"):
        ended = ev.TaskEnded("a", 1, verdict, started_at=LATER - 500_000, exited_at=LATER)  # type: ignore[arg-type]
        metrics.recorded(run_stream(RUN), Recorded(3, LATER, bytes(16), ended))
    found = samples(metrics)
    assert found["runnotary_attempt_seconds_sum", "retry"] == 0.5
    assert found["runnotary_tasks_ended_total", "failed"] == 1
    assert ("runnotary_tasks_ended_total", "retry") not in found


def test_a_ledger_counts_as_no_run() -> None:
    metrics = Metrics()
    before = samples(metrics)
    change = ev.DefinitionChanged("f", "id", "sha256:d", ev.By("user:ana"))
    metrics.recorded(ledger_stream("default"), Recorded(2, LATER, bytes(16), change))
    after = samples(metrics)
    assert {name: after[name] for name in before if not name[0].startswith("process_")} == {
        name: before[name] for name in before if not name[0].startswith("process_")
    }


@pytest.mark.parametrize("version", ["zz", "", "1.zz"])
def test_a_scraper_with_a_version_that_is_none_gets_the_plain_text(version: str) -> None:
    for words in (f"version={version}", f"version={version}; escaping=x"):
        _, content_type = Metrics().exposition(f"application/openmetrics-text; {words}")
        assert content_type.startswith(("text/plain", "application/openmetrics-text"))


def test_two_servers_in_one_process_do_not_add_up() -> None:
    one, other = Metrics(), Metrics()
    one.request("GET", "/x", 200, 0.1)
    assert ("runnotary_http_requests_total", "GET", "/x", "200") not in samples(other)


def test_a_defect_below_is_counted_as_500() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("no")

    metrics = Metrics()
    with pytest.raises(RuntimeError):
        asyncio.run(Counted(broken, metrics)({"type": "http", "method": "GET"}, None, None))  # type: ignore[arg-type]
    assert samples(metrics)["runnotary_http_requests_total", "GET", "", "500"] == 1
