"""What the client promises, against a real server and a home in this process, with and without asyncio."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from runnotary import (
    AlreadyEnded,
    Changed,
    Conflict,
    FlowNotFound,
    InvalidDefinition,
    InvalidInput,
    InvalidRunInput,
    KeyReused,
    NotFound,
    RunNotFound,
    RunRequest,
    WaitTimeout,
)
from tests.client import flows
from tests.client.conftest import Both

NOBODY = "01KA0000000000000000000000"


def finished(client: Both, **words: Any) -> Any:
    run = client.run_flow("double", {"n": 21}, wait=True, **words)
    assert run.status == "success"
    return run


# --- flows ---------------------------------------------------------------------------------------


def test_a_flow_is_registered_once(client: Both, word: str) -> None:
    document = flows.DOUBLE | {"flow": word[:100]}
    first = client.register_flow(document)
    assert client.register_flow(document).definition_hash == first.definition_hash
    assert len(client.flow_versions(word[:100])) == 1
    changed = client.register_flow(document | {"steps": {"other": {"set": {"twice": "1"}}}, "outputs": {}})
    assert changed.definition_hash != first.definition_hash
    assert client.get_flow(word[:100]).definition_hash == changed.definition_hash
    assert len(client.flow_versions(word[:100])) == 2
    assert word[:100] in [flow.flow for flow in client.list_flows()]


def test_a_flow_file_takes_its_code_along(client: Both, word: str, tmp_path: Path) -> None:
    (tmp_path / "hello.sh").write_text(f"echo {word}\n")
    file = tmp_path / "flow.yaml"
    file.write_text(f"flow: {word[:100]}\ncode: [hello.sh]\nsteps: {{only: {{run: bash hello.sh}}}}\n")
    run = client.run_flow(file, wait=True)
    assert (run.status, run.flow) == ("success", word[:100])
    assert client.read_stream(run.id, "only").decode().strip() == word


def test_a_flow_file_without_a_name_runs_and_registers_nothing(
    client: Both, word: str, tmp_path: Path
) -> None:
    (tmp_path / "hello.sh").write_text(f"echo {word}\n")
    file = tmp_path / "flow.yaml"
    file.write_text("code: [hello.sh]\nsteps: {only: {run: bash hello.sh}}\n")
    before = [flow.flow for flow in client.list_flows()]
    run = client.run_flow(file, wait=True)
    assert (run.status, run.flow) == ("success", None)
    assert client.read_stream(run.id, "only").decode().strip() == word
    assert client.run_flow(run.definition_hash, wait=True).status == "success"
    assert [flow.flow for flow in client.list_flows()] == before


def test_a_flow_with_problems_is_refused_with_all_of_them(client: Both) -> None:
    with pytest.raises(InvalidDefinition) as raised:
        client.register_flow({"flow": "bad", "steps": {"a": {"run": "true", "nedds": []}, "b": {}}})
    assert len(raised.value.problems) >= 2
    assert any("steps.a" in one.path for one in raised.value.problems)


def test_what_is_not_there(client: Both) -> None:
    for ask in (client.get_run, client.cancel_run, client.wait_for_run, client.run_tasks, client.follow_run):
        with pytest.raises(RunNotFound):
            ask(NOBODY)
    with pytest.raises(FlowNotFound):
        client.run_flow("nobody-registered-this")
    with pytest.raises(FlowNotFound):
        client.get_flow("nobody-registered-this")
    with pytest.raises(InvalidRunInput) as raised:
        client.run_flow("double", {"n": "many", "m": 1})
    assert len(raised.value.problems) == 2
    with pytest.raises(InvalidInput, match="lable"):
        client.run_flow("double", lable="x")


# --- runs ----------------------------------------------------------------------------------------


def test_a_run_from_start_to_end(client: Both, word: str) -> None:
    run = client.run_flow(
        "double",
        {"n": 21},
        label=word,
        tags=["one", "two"],
        labels={"team": "lab"},
        monitors=["user:mo"],
        managers=["group:staff"],
    )
    assert run.status in ("pending", "running", "success")
    done = client.wait_for_run(run.id, 1, timeout=60)
    assert (done.status, done.outputs, done.inputs) == ("success", {"twice": 42}, {"n": 21})
    assert (done.flow, done.flow_title, done.label) == ("double", "Twice as much", word)
    assert (done.tags, done.labels) == (["one", "two"], {"team": "lab"})
    assert (done.monitors, done.managers) == (["user:mo"], ["group:staff"])
    assert done.created_by == done.owner
    assert done.trigger.kind == "api"
    assert done.created_at <= done.started_at <= done.ended_at
    assert client.get_run(run.id[:20]).id == run.id
    again = client.get_run(run.id).raw
    again["log"]["sealed"] = done.raw["log"]["sealed"]  # a checkpoint comes a moment after the end
    assert again == done.raw


def test_a_definition_runs_by_its_hash(client: Both) -> None:
    flow = client.get_flow("double")
    assert client.get_definition(flow.definition_hash)
    assert client.run_flow(flow.definition_hash, {"n": 4}, wait=True).outputs == {"twice": 8}


def test_a_failure_says_why(client: Both) -> None:
    run = client.run_flow("fail", wait=True)
    assert (run.status, run.reason, run.error.step) == ("failed", "error", "broken")
    assert run.error.message
    assert client.read_stream(run.id, "broken", "stderr") == b"why\n"


def test_files_go_in_and_come_out(client: Both, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("one two three")
    counted = client.run_flow("count", {"text": text}, wait=True)
    assert counted.outputs == {"words": 3}
    greeted = client.run_flow("greet", {"name": "Ada"}, wait=True)
    assert client.read_file(greeted.id, "greeting.txt") == b"Hello, Ada!\n"
    file = next(one for one in client.run_files(greeted.id) if one.role == "output")
    assert (file.name, file.size) == ("greeting.txt", 12)
    assert client.get_blob(file.blob) == b"Hello, Ada!\n"


def test_the_record_of_a_run(client: Both) -> None:
    run = client.run_flow("greet", wait=True)
    (task,) = client.run_tasks(run.id)
    assert (task.step, task.status, task.attempts[0]["exit_code"]) == ("greet", "success", 0)
    assert client.run_task(run.id, "greet").id == task.id
    events = client.run_audit(run.id)
    assert [one["seq"] for one in events] == list(range(1, run.log.events + 1))
    assert client.run_lineage(run.id)["nodes"]


def test_the_same_key_is_the_same_run(client: Both, word: str) -> None:
    first = client.run_flow("double", {"n": 2}, idempotency_key=word)
    assert client.run_flow("double", {"n": 2}, idempotency_key=word).id == first.id
    with pytest.raises(KeyReused):
        client.run_flow("double", {"n": 3}, idempotency_key=word)
    again = client.batch_run_flows([{"flow": "double", "inputs": {"n": 2}, "idempotency_key": word}])
    assert again.results[0].run_id == first.id


# --- listings ------------------------------------------------------------------------------------


def test_listings_filter_and_page(client: Both, word: str) -> None:
    made = [finished(client, label=f"{word} {number}", tags=[word[:100]]).id for number in range(5)]
    newest = made[::-1]
    assert [run.id for run in client.list_all_runs(tag=word[:100])] == newest
    assert [run.id for run in client.iter_runs(limit=2, tag=word[:100])] == newest
    assert [run.id for run in client.list_runs(tag=word[:100], order="asc", limit=2)] == made[:2]
    page = client.list_runs(tag=word[:100], limit=2, total=True)
    assert ([run.id for run in page], page.has_next, page.total) == (newest[:2], True, 5)
    after = client.list_runs(tag=word[:100], limit=10, cursor=page.next_cursor)
    assert ([run.id for run in after], after.has_next) == (newest[2:], False)
    assert [run.id for run in client.list_runs(tag=word[:100], limit=2, offset=3)] == newest[3:]
    assert [run.id for run in client.list_runs(label=f"{word} 3")] == [made[3]]
    assert not client.list_runs(tag=word[:100], status=["failed", "cancelled"]).runs
    assert len(client.list_runs(tag=word[:100], status=["failed", "success"])) == 5
    assert not client.list_runs(tag=word[:100], started_to="2001-01-01").runs


# --- change and end ------------------------------------------------------------------------------


def test_updates_leave_the_rest_alone(client: Both, word: str) -> None:
    run = finished(client, label="before", tags=["kept"])
    changed = client.update_run(run.id, label=word)
    assert (changed.label, changed.tags) == (word, ["kept"])
    assert client.update_run(run.id, tags=[], label="").tags == []
    assert client.get_run(run.id).label is None


def test_an_update_on_condition(client: Both) -> None:
    run = finished(client)
    changed = client.update_run(run.id, label="first", if_match=run.etag)
    with pytest.raises(Changed):
        client.update_run(run.id, label="second", if_match=run.etag)
    assert client.update_run(run.id, label="third", if_match=changed.etag).label == "third"


def test_a_run_is_cancelled_once(client: Both, tmp_path: Path) -> None:
    run = client.run_flow("gated", {"gate": str(tmp_path / "gate")})
    asked = client.cancel_run(run.id, reason="enough", grace_ms=100)
    assert asked.cancel_requested_at or asked.status == "cancelled"
    assert client.wait_for_run(run.id, 1, timeout=60).status == "cancelled"
    assert client.cancel_run(run.id).status == "cancelled"
    with pytest.raises(AlreadyEnded):
        client.cancel_run(finished(client).id)


def test_a_wait_ends_in_time_and_the_run_goes_on(client: Both, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run = client.run_flow("gated", {"gate": str(gate)})
    with pytest.raises(WaitTimeout):
        client.wait_for_run(run.id, 0.1, timeout=0.3)
    gate.touch()
    assert client.wait_for_run(run.id, timeout=60).status == "success"


def test_archived_runs_leave_the_listings(client: Both, word: str) -> None:
    run = finished(client, label=word)
    assert client.archive_run(run.id, reason="old").archived_at
    assert not client.list_runs(label=word).runs
    assert len(client.list_runs(label=word, include_archived=True)) == 1
    assert not client.unarchive_run(run.id).archived_at
    assert len(client.list_runs(label=word)) == 1


def test_what_is_held_is_not_purged(client: Both) -> None:
    run = finished(client)
    assert client.hold_run(run.id, reason="audit").held
    with pytest.raises(Conflict):
        client.purge_run(run.id, reason="space")
    assert not client.release_hold(run.id).held
    client.purge_run(run.id, reason="space")
    with pytest.raises(RunNotFound):
        client.get_run(run.id)


def test_a_sweep_shows_first_what_it_would_take(client: Both, word: str) -> None:
    runs = {finished(client, label=word).id for _ in range(3)}
    shown = client.archive_runs(older_than="0s", label=word, dry_run=True)
    assert (set(shown.runs), shown.count, shown.dry_run) == (runs, 3, True)
    assert len(client.list_runs(label=word)) == 3
    words = {
        "q": word,
        "status": "success",
        "flow": ["double"],
        "started_from": datetime(2020, 1, 1, tzinfo=UTC),
    }
    assert client.archive_runs(older_than="0s", dry_run=True, **words).count == 3
    assert client.archive_runs(older_than="0s", label=word).count == 3
    assert not client.list_runs(label=word).runs
    assert client.purge_runs(older_than="0s", label=word, include_archived=True).count == 3
    assert not client.list_runs(label=word, include_archived=True).runs


# --- log and events ------------------------------------------------------------------------------


def test_a_log_in_pages_is_the_whole_log(client: Both) -> None:
    run = client.run_flow("greet", wait=True)
    whole = client.list_all_run_logs(run.id)
    assert len(whole) >= 3
    assert all(entry.time and entry.code and entry.description for entry in whole)
    assert client.iter_run_logs(run.id, 1) == whole
    page = client.get_run_logs(run.id, 2, 1)
    assert (page.entries, page.has_next) == (whole[1:3], len(whole) > 3)


def test_following_brings_every_event_once_and_ends_with_the_run(client: Both) -> None:
    run = client.run_flow("greet")
    events = client.follow_run(run.id)
    assert [one.seq for one in events] == list(range(1, len(events) + 1))
    assert (events[0].type, events[-1].type) == ("run.created", "run.finished")
    assert {one.run for one in events} == {run.id}
    assert client.get_run(run.id).log.events == len(events)
    later = client.follow_run(run.id, after=events[-3].seq)
    assert [one.seq for one in later] == [one.seq for one in events[-2:]]


def test_all_runs_can_be_followed(client: Both) -> None:
    run = finished(client)

    def there(found: list[Any]) -> bool:
        return found[-1].run == run.id and found[-1].type == "run.finished"

    found = client.result(client.client.follow_all(), there)
    ids = [int(one.id) for one in found]
    assert ids == sorted(set(ids))
    again = client.result(client.client.follow_all(after=ids[-3]), there)
    assert again == found[-2:]


# --- many at once --------------------------------------------------------------------------------


def test_a_batch_keeps_the_order_asked(client: Both, word: str) -> None:
    requests: list[Any] = [{"flow": "double", "inputs": {"n": n}, "label": word} for n in range(120)]
    requests[7] = RunRequest(flow="double", inputs={"n": 7}, label=word)
    requests[3] = {"flow": "nobody-registered-this", "label": word}
    started = client.batch_run_flows(requests, concurrency=3)
    assert [one.index for one in started] == list(range(120))
    assert started.results[3].error.code == "flow_not_found"
    ids = [one.run_id for one in started if one.run]
    assert len(set(ids)) == 119
    for run_id in ids:
        client.wait_for_run(run_id, 1, timeout=60)
    got = client.batch_get_runs([*ids, NOBODY])
    assert [one.run.outputs["twice"] for one in got if one.run] == [2 * n for n in range(120) if n != 3]
    assert (got.results[-1].run_id, got.results[-1].error.code) == (NOBODY, "run_not_found")
    updated = client.batch_update_runs([{"id": run_id, "tags": ["seen"]} for run_id in ids[:5]])
    assert [one.run.tags for one in updated] == [["seen"]] * 5


def test_a_batch_is_cancelled(client: Both, word: str, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    started = client.batch_run_flows([{"flow": "gated", "inputs": {"gate": gate}} for _ in range(4)])
    ids = [one.run_id for one in started]
    over = finished(client).id
    cancelled = client.batch_cancel_runs([*ids, over, NOBODY], 2, reason=word)
    assert [one.error.code if one.error else None for one in cancelled] == [
        *[None] * 4,
        "already_ended",
        "run_not_found",
    ]
    assert [one.run_id for one in cancelled] == [*ids, over, NOBODY]
    assert {client.wait_for_run(run_id, 1, timeout=60).status for run_id in ids} == {"cancelled"}


def test_who_we_are(client: Both) -> None:
    assert client.health()["status"] == "ok"
    assert client.whoami()["principal"].startswith("user:")


def test_a_run_again(client: Both) -> None:
    run = finished(client)
    again = client.rerun_run(run.id)
    assert (again.previous_run, again.inputs, again.definition_hash) == (
        run.id,
        run.inputs,
        run.definition_hash,
    )
    assert client.wait_for_run(again.id, timeout=60).outputs == run.outputs


def test_who_may_do_what(client: Both, word: str) -> None:
    name = "n-" + sha256(word.encode()).hexdigest()[:12]
    assert client.create_namespace(name, title="Of a test")
    assert name in [one["namespace"] for one in client.list_namespaces()]
    client.grant_role(name, "group:guests", "viewer", reason="they asked")
    assert {"principal": "group:guests", "roles": ["viewer"]} in client.get_namespace(name)["roles"]
    client.revoke_role(name, "group:guests", "viewer", reason="they left")
    assert not client.get_namespace(name)["roles"]
    reasons = [change["reason"] for change in client.namespace_audit(name)]
    assert {"they asked", "they left"} <= set(reasons)
    client.set_group(f"group:{name}", ["user:gus"])
    assert ["user:gus"] in [group["members"] for group in client.list_groups()]


def test_tokens_are_shown_once_and_can_be_revoked(client: Both) -> None:
    made = client.create_token("user:gus", name="for a test", scopes=["read"])
    assert made["secret"].startswith("rn_")
    (listed,) = [one for one in client.list_tokens() if one["id"] == made["id"]]
    assert "secret" not in listed
    client.revoke_token(made["id"], reason="over")
    with pytest.raises(NotFound):
        client.revoke_token("01KA0000000000000000000000")
