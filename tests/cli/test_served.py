"""The same commands in a home and against a server: the same words, files and exit statuses.

Every scenario runs twice, and the transcripts are compared; what a server does otherwise is tested by itself.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.served import Served, transcript
from tests.cli.terminal import COMMAND, Desk

SALES = """
flow: sales
version: "1"
title: Sales
inputs: {orders: {type: file}, more: {type: directory}, top: {type: integer, default: 10}}
steps:
  clean:
    run: |
      echo cleaning; echo careful >&2
      mkdir -p tree/in; echo leaf > tree/in/leaf.txt
      cat "$orders" "$more"/a.txt > clean.csv; echo rows=2 >> "$RUNNOTARY_OUTPUT"
    with: {orders: "${{ inputs.orders }}", more: "${{ inputs.more }}"}
    files: [clean.csv]
    dirs: [tree]
    values: {rows: integer}
  each_part:
    for_each: "['a', 'b']"
    max_concurrency: 1
    run: echo "part $part"; cat "$csv" > part.csv; echo "$part" >> part.csv
    with: {part: "${{ each.value }}", csv: "${{ steps.clean.files['clean.csv'] }}"}
    files: [part.csv]
  report:
    run: echo done > report.txt
    with: {parts: "${{ steps.each_part.files['part.csv'] }}"}
    files: [report.txt]
outputs: {report: "${{ steps.report.files['report.txt'] }}", top: "${{ inputs.top }}"}
"""
FAILS = "flow: fails\nsteps: {bad: {run: 'echo no >&2; exit 3'}, never: {run: 'true', needs: [bad]}}\n"
QUICK = "flow: quick\nsteps: {a: {run: 'echo quick'}}\n"
WAITS = """
flow: waits
steps:
  one: {run: 'echo begun; touch $TOP/begun; while [ ! -e $TOP/go ]; do sleep 0.02; done; echo said'}
  two: {run: 'echo two', needs: [one]}
"""
STARTED = (
    "start sales.yaml -i orders=orders.csv -i more=more --label first --tag q2 --wait",
    "start fails.yaml --wait --tag q2",
    "start quick.yaml --watch --label second",
)

SCENARIOS: dict[str, tuple[str, ...]] = {
    "starting": (
        *STARTED,
        "start quick.yaml --wait -q --out nowhere/x",
        "start quick --wait -o json",
        "start quick.yaml -i bad=1 --wait",
        "start quick --dry-run",
        "start sales.yaml --dry-run -i orders=orders.csv -i more=more",
        "start sales.yaml -i orders=missing.csv --wait",
        "start sales --wait -i orders=orders.csv -i more=more -i top=3 --out out",
        "start sales --wait -i orders=orders.csv -i more=more -i top=3 --out out",
        "start no-such-flow",
        "start missing.yaml",
        "run lst",
    ),
    "looking": (
        *STARTED,
        "run show @latest:sales",
        "run show @latest:sales -o json",
        "run show @latest:fails",
        "run show @latest:fails @latest:sales -o name",
        "run show nothing",
        "run tasks @latest:sales",
        "run tasks @latest:sales clean -o json",
        "run tasks @latest:sales claen",
        "run logs @latest:sales clean",
        "run logs @latest:sales",
        "run logs @latest:sales clean --stderr --tail 1",
        "run logs @latest:sales --entries",
        "run logs @latest:fails -o json",
        "run logs @latest:sales -f",
        "run audit @latest:sales",
        "run audit @latest:quick -o json",
        "run metrics @latest:sales",
        "run metrics @latest:sales -o json",
        "run lineage @latest:sales",
        "run lineage @latest:sales -o json",
        "run lineage @latest:sales --format text",
        "run lineage @latest:sales --format mermaid",
        "run lineage @latest:sales --format dot",
        "run lineage --blob orders.csv",
        "run lineage --blob orders.csv --direction down --depth 1 -o json",
        "run lineage --blob sales.yaml --format dot",
        "run lineage --blob more",
        "run lineage --blob missing",
        "run lineage --blob orders.csv --depth 0",
        "run lineage @latest --depth 1",
        "run lineage @latest --blob orders.csv",
        "run lineage",
        "run files @latest:sales",
        "run files @latest:sales report",
        "run files @latest:sales part.csv",
        "run files @latest:sales --to copied --all",
        "run files @latest:sales --to copied --all",
        "run watch @latest:fails",
        "run watch @latest:quick -o name",
    ),
    "listing": (
        *STARTED,
        "run list",
        "run list --limit 1 -o json",
        "run list --status failed --total",
        "run list --status interrupted",
        "run list --status sleeping",
        "run list --tag q2 --order-by flow --order asc",
        "run list --label FIRST",
        "run list --flow sales,fails --status success,failed -o name",
        "run list --q quick --kind run",
        "run list --created-by nobody",
        "run list --asset x",
        "run list --started-from 2020-01-01 --ended-to 2020-01-02",
        "run list --started-from yesterday",
        "run list --order-by label --total --all -o json",
        "run list --offset 1 --limit 1",
        "run list --cursor forged",
        "run list -n elsewhere",
        "run list -n *",
    ),
    "flows": (
        "flow push sales.yaml",
        "flow push sales.yaml -o json",
        "flow list",
        "flow list -o json",
        "flow show sales",
        "flow show sales -o json",
        "flow graph sales -o mermaid",
        "flow history sales",
        "flow history sales -o name",
        "flow history nothing",
        "flow diff sales",
        "flow diff sales.yaml",
        "flow diff sales sales.yaml -o json",
        "flow push later.yaml",
        "flow diff sales",
        "flow diff sales -o json",
        "flow diff sales@1 sales@2 -o name",
        "flow diff sales@3",
        "flow diff nothing",
        "flow diff unnamed.yaml",
        "flow diff sales.yaml later.yaml --code",
        "flow history sales",
        "flow show nothing",
        "flow push unnamed.yaml",
        "namespace create lab -o name",
        "flow push quick.yaml -n lab",
        "flow list",
        "flow list -n *",
        "flow list -n * -o json",
        "flow validate sales.yaml broken.yaml",
    ),
    "changing": (
        *STARTED,
        "run update @latest:sales --label changed --tag a --tag b --monitor user:eve",
        "run update @latest:sales --untag a --unmonitor user:eve --manage group:ops",
        "run update @latest:sales",
        "run update --filter tag=q2 --tag seen --concurrency 2 -o name",
        "run update @latest:sales --label= -o json",
        "run show @latest:sales",
        "run list --tag seen",
        "run update nothing --label x",
        "run update --label x",
        "run update --filter colour=red --label x",
        "run update --filter tag= --label x",
        "run update --filter label=a --filter label=b --label x",
        "run update --filter label=second --tag alone -o json",
        "run show --filter label=second -o json",
        "run audit @latest:sales",
    ),
    "retention": (
        *STARTED,
        "run archive @latest:sales --reason old",
        "run list",
        "run list --archived",
        "run list --include-archived -o name",
        "run unarchive --filter include_archived=true",
        "run hold @latest:fails --reason court",
        "run purge @latest:fails",
        "run purge --filter tag=q2 --dry-run",
        "run purge --filter tag= --reason gone",
        "run purge --filter label=, --reason gone",
        "run purge --filter tag=q2 --reason gone",
        "run list",
        "run release @latest:fails",
        "run purge @latest:fails --dry-run -o json",
        "run purge @latest:fails",
        "run show @latest:fails",
        "run erase @latest --reason asked",
        "run show @latest:sales",
        "run archive --older-than 30d",
        "run archive --older-than 0s --filter flow=quick",
        "run archive --older-than soon",
        "run archive @latest --older-than 1d",
        "run archive",
    ),
    "ending": (
        *STARTED,
        "run cancel @latest:quick",
        "run cancel --filter flow=quick",
        "run cancel",
        "run resume @latest:fails",
        "run wait @latest:quick",
        "run wait @latest:quick @latest:fails",
        "run wait @latest:quick -q",
        "run wait nothing",
        "run rerun @latest:fails --wait",
        "run rerun @latest:quick --watch",
        "run rerun @latest:sales --wait -o json",
        "run rerun nothing",
        "run list",
    ),
    "keys": (
        "start quick.yaml --wait --idempotency-key one -o name",
        "start quick.yaml --wait --idempotency-key one",
        "start quick.yaml --wait --idempotency-key one --label other",
        "run rerun @latest --wait --idempotency-key two",
        "run rerun @latest:quick --wait --idempotency-key three",
        "run list",
    ),
    "commands": (
        "exec -i orders.csv -o copy.csv -- cp orders.csv copy.csv",
        "exec -- sh -c exit\t4",
        "exec -i missing.csv -- true",
        "run list -o name",
    ),
}


def furnished(desk: Desk) -> Desk:
    for name, text in (("sales", SALES), ("fails", FAILS), ("quick", QUICK)):
        desk.write(f"{name}.yaml", text)
    desk.write("waits.yaml", WAITS.replace("$TOP", str(desk.path)))
    desk.write(
        "later.yaml", SALES.replace('version: "1"', 'version: "2"').replace("default: 10", "default: 5")
    )
    desk.write("unnamed.yaml", "steps: {a: {run: 'true'}}\n")
    desk.write("broken.yaml", "flow: broken\nsteps: {a: {run: 1}}\n")
    desk.write("orders.csv", "a,b\n1,2\n")
    desk.write("more/a.txt", "more\n")
    return desk


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    place = tmp_path / "served"
    place.mkdir()
    desk = Served(place)
    furnished(desk)
    yield desk
    desk.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_server_and_a_home_answer_alike(name: str, desk: Desk, served: Served) -> None:
    here = transcript(furnished(desk), *SCENARIOS[name])
    there = transcript(served, *SCENARIOS[name])
    assert there == here
    made = [
        {path.relative_to(one.path): path.read_bytes() for path in one.path.rglob("*.csv")}
        for one in (desk, served)
    ]
    assert made[0] == made[1]
    assert not (served.path / ".runnotary").exists()


# --- what only a server does ---------------------------------------------------------------------


def test_a_start_returns_when_the_run_is_accepted(served: Served) -> None:
    accepted = served.ok("start", "waits.yaml")
    assert accepted.out.startswith("accepted   run ")
    run = served.ok("start", "quick.yaml", "-q").out.strip()
    assert served.ok("run", "wait", run).out == f"success   run {run}\n"
    assert served.json("start", "quick.yaml")["flow"] == "quick"
    assert served.ok("run", "list", "--status", "running", "-o", "name").out.strip() in accepted.out
    late = served.run("run", "wait", "@latest:waits", "--timeout", "300ms", "--interval", "100ms")
    assert (late.code, late.out) == (7, "")
    assert late.err.endswith(" is running after 0.3 s\n")
    served.write("go", "")
    assert served.ok("run", "watch", "@latest:waits").out.startswith("success")


def test_runs_end_together(served: Served) -> None:
    runs = [served.ok("start", "waits.yaml", "-q").out.strip() for _ in range(3)]
    done = served.ok("run", "cancel", "--filter", "flow=waits", "--reason", "enough", "--concurrency", "2")
    assert sorted(done.out.split()) == sorted([*["cancelled", "run"] * 3, *runs])
    assert served.run("run", "wait", *runs).code == 8
    events = served.json("run", "audit", runs[0])["events"]
    asked = next(event for event in events if event["type"] == "run.cancel_requested")
    assert asked["details"]["reason"] == "enough"


def test_watch_and_logs_survive_a_server_that_is_killed(served: Served) -> None:
    run = served.ok("start", "waits.yaml", "-q").out.strip()
    served.wait_for("begun")
    watching = served.begin("run", "watch", run)
    reading = served.begin("run", "logs", run, "-f")
    waiting = served.begin("run", "wait", run)
    assert reading.stdout is not None
    assert reading.stdout.readline() == "one | begun\n"
    assert watching.stderr is not None
    assert "run accepted" in watching.stderr.readline()
    assert "0 of 2 steps over; running: one" in watching.stderr.readline()
    served.restart()
    served.write("go", "")
    seen, read, waited = served.end(watching), served.end(reading), served.end(waiting)
    assert (seen.code, read.code, waited.code) == (0, 0, 0), (seen, read, waited)
    assert seen.out.startswith("success")
    assert "two success" in seen.err
    assert read.out == "one | said\ntwo | two\n"
    assert waited.out == f"success   run {run}\n"


def test_an_answer_that_a_killed_server_swallowed_starts_nothing_twice(served: Served) -> None:
    starting = [served.begin("start", "quick.yaml", "--wait", "--label", str(number)) for number in range(4)]
    served.restart()
    ended = [served.end(process) for process in starting]
    labels = [run["label"] for run in served.json("run", "list", "--all")["runs"]]
    assert sorted(labels) == sorted(str(number) for number, one in enumerate(ended) if one.code == 0)
    assert {one.code for one in ended} <= {0, 6}


def test_ctrl_c_leaves_the_run_on_the_server(served: Served) -> None:
    run = served.ok("start", "waits.yaml", "-q").out.strip()
    served.wait_for("begun")
    watching = served.begin("run", "watch", run)
    assert watching.stderr is not None
    assert "run accepted" in watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    left = served.end(watching)
    assert left.code == 130
    assert "run goes on on the server; continue: runnotary run watch " in left.err
    assert served.json("run", "show", run)["status"] == "running"
    served.write("go", "")
    served.ok("run", "wait", run)


def test_large_files_go_there_and_come_back(served: Served) -> None:
    data = bytes(range(256)) * 80_000
    (served.path / "large.bin").write_bytes(data)
    served.ok("exec", "-i", "large.bin", "-o", "copy.bin", "--", "cp", "large.bin", "copy.bin")
    assert (served.path / "copy.bin").read_bytes() == data
    read = subprocess.run(
        [*COMMAND, "run", "files", "@latest", "copy.bin"],
        cwd=served.path,
        env=served.environ,
        capture_output=True,
        check=True,
    )
    assert read.stdout == data


def test_what_does_not_work_here_is_not_proposed(served: Served) -> None:
    failed = served.run("start", "fails.yaml", "--wait")
    assert failed.code == 1
    assert "next: runnotary run logs" in failed.out
    assert "run shell" not in failed.out + served.ok("run", "show", "@latest").out


@pytest.mark.parametrize(
    "command",
    ["verify --key x", "admin backup --output x", "admin restore x", "run shell @latest a -- true"],
)
def test_what_needs_the_files_of_a_home_says_so(desk: Desk, command: str) -> None:
    refused = desk.run(*command.split(), env={"RUNNOTARY_URL": "http://127.0.0.1:1"})
    assert (refused.code, refused.out) == (2, "")
    assert "reads the files of a home" in refused.err
    assert "--home DIR" in refused.err


def test_nobody_there_is_exit_6(desk: Desk) -> None:
    desk.write("quick.yaml", QUICK)
    commands = (("run", "list"), ("start", "quick.yaml"), ("run", "watch", "@latest"))
    begun = [desk.begin(*words, "--url", "http://127.0.0.1:1") for words in commands]
    for refused in map(desk.end, begun):
        assert (refused.code, refused.out) == (6, "")
        assert "http://127.0.0.1:1" in refused.err
    assert not desk.home.exists()


def test_a_home_that_is_named_counts_more_than_a_server_in_the_environment(desk: Desk) -> None:
    desk.write("quick.yaml", QUICK)
    env = {"RUNNOTARY_URL": "http://127.0.0.1:1"}
    desk.ok("start", "quick.yaml", "--home", "mine", env=env)
    desk.ok("verify", "--home", "mine", env=env)
    both = desk.run("run", "list", "--home", "mine", "--url", "http://127.0.0.1:1")
    assert both.code == 2
    assert desk.run("run", "list", "--url", "127.0.0.1:1").code == 2


def test_a_token_opens_the_door_and_is_never_shown(served: Served) -> None:
    served.ok("namespace", "grant", "*", "user:eve", "admin")
    secret = served.json("token", "create", "user:eve", "--name", "tests")["secret"]
    served.restart()
    refused = served.run("run", "list")
    assert refused.code == 4
    env = {"RUNNOTARY_TOKEN": secret, "RUNNOTARY_DEBUG": "1"}
    served.ok("start", "quick.yaml", "--wait", env=env)
    for words in (
        ("run", "show", "@latest", "-o", "json"),
        ("run", "audit", "@latest"),
        ("run", "show", "nothing"),
    ):
        done = served.run(*words, env=env)
        assert secret not in done.out + done.err
    assert served.run("run", "list", env={"RUNNOTARY_TOKEN": "rn_wrong"}).code == 4
