"""The keeper: claims, records, notices, connections."""

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runnotary.executors import attempt_record, containment

from .keeper_harness import PATIENCE, Client, Keeper, alive, eventually

MakeKeeper = Callable[..., Keeper]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeKeeper]:
    made: list[Keeper] = []

    def start(*options: str) -> Keeper:
        made.append(Keeper(tmp_path, *options))
        return made[-1]

    yield start
    for keeper in made:
        keeper.tear_down()


@pytest.fixture
def keeper(make: MakeKeeper) -> Keeper:
    return make()


def test_a_step_runs_and_everything_about_it_is_recorded(keeper: Keeper) -> None:
    answer = keeper.start("a", "echo out; echo err >&2; pwd; exit 3")
    assert answer["started"] and answer["mine"] and answer["state"] == "running"
    record = keeper.ended("a")
    assert os.waitstatus_to_exitcode(record.wait_status) == 3
    assert record.pid == answer["pid"]
    assert record.boot_id.hex() == keeper.client.welcome["boot_id"]
    assert (record.keeper_pid, record.keeper_ticks) == (
        keeper.process.pid,
        keeper.client.welcome["start_ticks"],
    )
    assert record.claimed_us <= record.started_us <= record.exited_us and record.elapsed_us > 0
    assert record.spawn_errno == record.spawn_step == record.stop_signal == record.survivors == 0
    assert keeper.output("a") == f"out\n{keeper.attempts / 'a' / 'work'}\n".encode()
    assert record.stdout_size == len(keeper.output("a")) and record.stderr_size == len("err\n")
    for name in ("record", "stdout", "stderr"):
        assert stat.S_IMODE((keeper.attempts / "a" / name).stat().st_mode) == 0o600


def test_the_surroundings_of_a_step_are_exact(keeper: Keeper) -> None:
    script = (
        "import os, signal, sys; os.umask(0o22);"
        "print(sorted(os.environ.items()), os.getsid(0) == os.getpid(), os.readlink('/proc/self/fd/0'),"
        "[s for s in signal.valid_signals() if s not in (13, 25) and signal.getsignal(s) == signal.SIG_IGN],"
        "signal.pthread_sigmask(signal.SIG_BLOCK, ()), sorted(os.listdir('/proc/self/fd')))"
    )
    keeper.start(
        "a",
        "",
        argv=[sys.executable, "-I", "-S", "-X", "utf8", "-c", script],
        env={"LC_ALL": "C", "X": "ä\udcff"},
    )
    keeper.ended("a")
    printed = keeper.output("a")
    variables = "[('LC_ALL', 'C'), ('RUNNOTARY_ATTEMPT', 'a'), ('X', 'ä\\udcff')]"
    expected = f"{variables} True /dev/null [] set() ['0', '1', '2', '3']\n"
    assert printed.decode() == expected, (keeper.attempts / "a" / "stderr").read_text()


def test_ignored_signals_are_reset(keeper: Keeper) -> None:
    keeper.start("a", "grep SigIgn /proc/self/status")
    keeper.ended("a")
    glibc_reserves = 1 << 31 | 1 << 32  # 32 and 33, which posix_spawn itself sets to be ignored
    assert int(keeper.output("a").split()[1], 16) & ~glibc_reserves == 0


def test_a_second_start_spawns_nothing(keeper: Keeper) -> None:
    keeper.start("a", "echo once; read forever < fifo", argv=["sh", "-c", "echo once; mkfifo f; read x < f"])
    again = keeper.start("a", "echo twice")
    assert (again["started"], again["mine"], again["state"]) == (False, True, "running")
    eventually(lambda: keeper.output("a") == b"once\n")
    keeper.client.ask("stop", attempt="a", grace_ms=0)
    keeper.ended("a")
    assert keeper.start("a", "echo thrice")["state"] == "exited"
    assert keeper.client.ask("release", attempt="a")["ok"]
    answer = keeper.start("a", "echo again")
    assert (answer["started"], answer["mine"], answer["state"]) == (False, False, "exited")
    assert keeper.output("a") == b"once\n"


def test_a_damaged_record_is_a_claim(keeper: Keeper) -> None:
    (keeper.folder("a") / "record").write_bytes(b"")
    answer = keeper.start("a", "echo never")
    assert (answer["started"], answer["mine"], answer["state"]) == (False, False, "claimed")
    assert not (keeper.attempts / "a" / "stdout").exists()


@pytest.mark.parametrize(
    ("argv", "fields", "problem", "step"),
    [
        (["no-such-program"], {}, errno.ENOENT, attempt_record.EXEC),
        (["/no/such/program"], {}, errno.ENOENT, attempt_record.EXEC),
        (["/etc/passwd"], {}, errno.EACCES, attempt_record.EXEC),
        (["passwd"], {"env": {"PATH": "/nowhere:/etc"}}, errno.EACCES, attempt_record.EXEC),
        (["true"], {"cwd": "nowhere"}, errno.ENOENT, attempt_record.WORKING_DIRECTORY),
        (["no-such-program"], {"mask": ["secret-1"]}, errno.ENOENT, attempt_record.EXEC),
    ],
)
def test_what_cannot_be_spawned_is_recorded(
    keeper: Keeper, argv: list[str], fields: dict[str, object], problem: int, step: int
) -> None:
    keeper.start("a", "", argv=argv, **fields)
    record = keeper.ended("a")
    assert (record.spawn_errno, record.spawn_step, record.pid) == (problem, step, 0)
    keeper.start("b", "true")
    assert keeper.ended("b").spawn_errno == 0


def test_a_signal_is_recorded_raw(keeper: Keeper) -> None:
    keeper.start("a", "kill -SEGV $$")
    record = keeper.ended("a")
    assert os.WIFSIGNALED(record.wait_status) and os.WTERMSIG(record.wait_status) == signal.SIGSEGV
    assert record.stop_signal == 0


def test_the_client_may_die_and_another_takes_over(keeper: Keeper) -> None:
    keeper.start("a", "mkfifo f; read x < f; echo $x")
    keeper.client.socket.shutdown(socket.SHUT_RDWR)
    keeper.client = keeper.connect()
    listed = keeper.client.ask("list")["attempts"]
    assert listed == [{"attempt": "a", "state": "running", "acked": False}]
    fifo = keeper.attempts / "a" / "work" / "f"
    eventually(fifo.exists)
    fifo.write_text("still here\n")
    keeper.ended("a")
    assert keeper.output("a") == b"still here\n"


def test_notices_repeat_until_acknowledged(make: MakeKeeper) -> None:
    keeper = make("repeat=0.05", "idle=30")
    keeper.start("a", "true")
    assert [keeper.client.notice() for _ in range(3)] == ["a"] * 3
    late = keeper.connect()
    assert late.notice() == "a"
    assert late.ask("ack", attempt="a")["ok"]
    late.notices.clear()
    newest = keeper.connect()
    keeper.start("b", "true")
    assert newest.notice() == "b"
    assert newest.ask("list")["attempts"] == [
        {"attempt": "a", "state": "exited", "acked": True},
        {"attempt": "b", "state": "exited", "acked": False},
    ]
    assert newest.ask("release", attempt="a")["ok"]
    assert [entry["attempt"] for entry in newest.ask("list")["attempts"]] == ["b"]


def test_bad_requests_are_refused_and_claim_nothing(keeper: Keeper) -> None:
    folder = keeper.folder("a")
    good = {"argv": ["true"], "env": {}}
    for bad in (
        {"argv": []},
        {"argv": "true"},
        {"argv": ["tr\0ue"]},
        {"argv": [1]},
        {"env": None},
        {"env": {"A=B": "c"}},
        {"env": {"": "c"}},
        {"env": {"A": "\ud800"}},
        {"grace_ms": "soon"},
        {"mask": "secret-1"},
        {"attempt": "../a"},
        {"attempt": 7},
        {"attempt": "x" * 65},
    ):
        answer = keeper.client.ask("start", **{"attempt": "a", **good, **bad})
        assert (answer["ok"], answer["error"]) == (False, "bad_request"), bad
    assert keeper.client.ask("start", attempt="a", mask=["short"], **good)["error"] == "secret_too_short"
    assert keeper.client.ask("start", attempt="nowhere", **good)["error"] == "no_folder"
    assert keeper.client.ask("stop", attempt="nowhere")["error"] == "unknown_attempt"
    assert keeper.client.ask("dance")["error"] == "bad_request"
    assert keeper.client.ask("ping")["live"] == 0
    assert sorted(path.name for path in folder.iterdir()) == ["work"]


def test_release_of_a_live_attempt_is_refused(keeper: Keeper) -> None:
    keeper.start("a", "sleep 1000")
    assert keeper.client.ask("release", attempt="a")["error"] == "live"


def test_a_version_that_is_not_spoken_is_said_and_work_goes_on(keeper: Keeper) -> None:
    keeper.start("a", "mkfifo f; read x < f")
    stranger = keeper.connect(versions=[99])
    assert (stranger.welcome["error"], stranger.welcome["versions"]) == ("version", [1])
    assert stranger.ask("list")["error"] == "hello_first"
    assert keeper.client.ask("ping")["live"] == 1


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b"x" * ((16 << 20) + (1 << 19))])
def test_what_is_no_message_ends_the_connection_only(keeper: Keeper, line: bytes) -> None:
    noisy = keeper.connect()
    with suppress(BrokenPipeError, ConnectionResetError):
        noisy.socket.sendall(line)
    with suppress(ConnectionResetError):
        assert noisy.hear()["error"] == "bad_request"
        with pytest.raises(EOFError):
            noisy.hear()
    assert keeper.client.ask("ping")["ok"]


def test_only_one_keeper_per_socket(keeper: Keeper) -> None:
    assert keeper.launch().wait(PATIENCE) == 75
    assert keeper.client.ask("ping")["ok"]
    assert stat.S_IMODE(keeper.socket.stat().st_mode) == 0o600


def test_an_idle_keeper_leaves_and_a_busy_one_does_not(make: MakeKeeper) -> None:
    keeper = make("idle=0.05")
    keeper.start("a", "mkfifo f; read x < f")
    keeper.client.close()
    fifo = keeper.attempts / "a" / "work" / "f"
    eventually(fifo.exists)
    with pytest.raises(subprocess.TimeoutExpired):
        keeper.process.wait(0.3)
    fifo.write_text("\n")
    assert keeper.process.wait(PATIENCE) == 0
    assert keeper.record("a").state == attempt_record.EXITED
    assert not keeper.socket.exists()
    keeper.process = keeper.launch()
    keeper.client = keeper.connect()
    assert keeper.start("a", "echo never")["state"] == "exited"


def test_quit_when_idle_waits_for_the_last_attempt(keeper: Keeper) -> None:
    keeper.start("a", "mkfifo f; read x < f")
    assert keeper.client.ask("quit_when_idle")["ok"]
    assert keeper.start("b", "true")["error"] == "quitting"
    assert keeper.start("a", "true")["state"] == "running"
    fifo = keeper.attempts / "a" / "work" / "f"
    eventually(fifo.exists)
    fifo.write_text("\n")
    assert keeper.process.wait(PATIENCE) == 0


def test_a_start_in_two_parts_does_nothing_before_the_second(keeper: Keeper) -> None:
    folder = keeper.folder("a")
    fields = {"attempt": "a", "argv": ["sh", "-c", "echo $SAID"], "env": {"SAID": "gone"}}
    assert keeper.client.ask("ready", **fields)["ok"]
    assert not (folder / "record").exists() and not (folder / "stdout").exists()
    answer = keeper.client.ask("go", attempt="a")
    assert (answer["started"], answer["mine"]) == (True, True)
    keeper.ended("a")
    assert keeper.output("a") == b"gone\n"
    assert keeper.client.ask("go", attempt="a")["error"] == "not_ready"


def test_what_lies_ready_goes_with_its_connection_and_with_a_release(keeper: Keeper) -> None:
    folder = keeper.folder("a")
    fields = {"attempt": "a", "argv": ["true"], "env": {}}
    assert keeper.client.ask("ready", **fields)["ok"]
    assert keeper.connect().ask("go", attempt="a")["error"] == "not_ready"
    assert keeper.client.ask("release", attempt="a")["ok"]
    assert keeper.client.ask("go", attempt="a")["error"] == "not_ready"
    secret = {**fields, "mask": ["a secret"]}
    assert keeper.client.ask("ready", **secret)["error"] == "bad_request"
    assert not (folder / "record").exists()


def test_a_quiet_request_is_answered_only_if_it_is_refused(keeper: Keeper) -> None:
    keeper.folder("a")
    keeper.client.say("ready", attempt="a", argv=["cat"], env={})
    keeper.client.say("go", attempt="a")
    keeper.client.say("go", attempt="a", id="twice")
    refused = keeper.client.hear() if not keeper.client.notices else {}
    while "notice" in refused:
        keeper.client.notices.append(refused["attempt"])
        refused = keeper.client.hear()
    assert (refused["id"], refused["quiet"], refused["error"]) == ("twice", True, "not_ready")
    assert keeper.client.ask("ping")["ok"]
    keeper.ended("a")


def test_the_variables_of_hello_are_everybodys(keeper: Keeper) -> None:
    keeper.client.ask("hello", versions=[1], env={"SHARED": "for all", "OWN": "hidden"})
    keeper.start("a", "", argv=["sh", "-c", "echo $SHARED $OWN"], env={"OWN": "its own", "PATH": "/bin"})
    keeper.ended("a")
    assert keeper.output("a") == b"for all its own\n"


def test_a_process_is_identified_in_its_record_before_long(keeper: Keeper) -> None:
    answer = keeper.start("a", "mkfifo f; read x < f")
    eventually(lambda: keeper.record("a").start_ticks > 0)
    record = keeper.record("a")
    assert (record.state, record.pid) == (attempt_record.RUNNING, answer["pid"])
    assert containment.is_running(record.pid, record.start_ticks)
    keeper.client.ask("stop", attempt="a", grace_ms=0)
    keeper.ended("a")


def test_a_stale_socket_is_replaced(keeper: Keeper) -> None:
    keeper.process.kill()
    keeper.process.wait()
    assert keeper.socket.exists()
    keeper.process = keeper.launch()
    assert keeper.connect().ask("ping")["ok"]


def test_another_user_is_shown_the_door(keeper: Keeper) -> None:
    """Without root there is no other user to play, but then the mode of the socket is the same defence."""
    if os.getuid() != 0:
        assert stat.S_IMODE(keeper.socket.stat().st_mode) == 0o600
        return
    for folder in keeper.socket.parents:
        folder.chmod(folder.stat().st_mode | 0o011)
        if folder == Path(tempfile.gettempdir()):
            break
    keeper.socket.chmod(0o666)  # so that only the credentials are left to refuse
    assert _as_nobody(keeper.socket) == b""
    assert keeper.client.ask("ping")["ok"]


def _as_nobody(path: Path) -> bytes:
    """What another user hears from the keeper."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(str(path))
                os.write(write, stranger.recv(100))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    heard = os.read(read, 100)
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
    return heard


def test_a_full_disk_or_bad_folder_is_a_refusal_not_a_claim(keeper: Keeper) -> None:
    (keeper.attempts / "a").write_text("a file, not a folder")
    assert keeper.client.ask("start", attempt="a", argv=["true"], env={})["error"] == "no_folder"


def test_a_large_log_does_not_pass_through_the_keeper(keeper: Keeper) -> None:
    def peak() -> int:
        status = Path(f"/proc/{keeper.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    before = peak()
    keeper.start("a", "head -c 300000000 /dev/zero")
    record = keeper.ended("a")
    assert record.stdout_size == 300_000_000
    assert peak() - before < 1024


def test_the_masker_stands_before_the_files_and_secrets_leave_no_trace(keeper: Keeper) -> None:
    secret = "Secr3t/of the+house"
    env = {"TOKEN": secret, "PATH": os.environ["PATH"]}
    script = 'echo "<$TOKEN>"; printf %s "$TOKEN" | base64 >&2; mkfifo f; read x < f; printf "Secr3t"'
    keeper.start("a", script, env=env, mask=[secret])
    fifo = keeper.attempts / "a" / "work" / "f"
    eventually(lambda: keeper.output("a") == b"<***>\n", "a prompt flush")
    masker = [p for p in _children(keeper.process.pid) if b"masker" in _command_line(p)]
    assert masker and secret.encode() not in b"".join(_command_line(p) for p in masker)
    eventually(fifo.exists)
    fifo.write_text("\n")
    record = keeper.ended("a")
    assert (record.log_errno, record.wait_status) == (0, 0)
    assert keeper.output("a") == b"<***>\nSecr3t"
    assert (keeper.attempts / "a" / "stderr").read_bytes() == b"***\n"
    for path in [keeper.log, *(keeper.attempts / "a").iterdir()]:
        assert path.is_dir() or secret.encode() not in path.read_bytes()


def test_a_masker_that_dies_is_in_the_record(keeper: Keeper) -> None:
    keeper.start("a", "mkfifo f; read x < f", mask=["secret-1"])
    (masker,) = [p for p in _children(keeper.process.pid) if b"masker" in _command_line(p)]
    os.kill(masker, signal.SIGKILL)
    eventually(lambda: not alive(masker))
    fifo = keeper.attempts / "a" / "work" / "f"
    eventually(fifo.exists)
    fifo.write_text("\n")
    assert keeper.ended("a").log_errno == attempt_record.MASKER_DIED


def test_a_masked_attempt_survives_the_keeper(keeper: Keeper) -> None:
    """Nobody records the end, but the output is still masked."""
    keeper.start("a", "mkfifo f; read x < f; echo secret-1", mask=["secret-1"])
    keeper.process.kill()
    keeper.process.wait()
    fifo = keeper.attempts / "a" / "work" / "f"
    eventually(fifo.exists)
    fifo.write_text("\n")
    eventually(lambda: keeper.output("a") == b"***\n")


def test_many_at_once(keeper: Keeper) -> None:
    names = [f"n{number}" for number in range(60)]
    for name in names:
        keeper.folder(name)
    requests = [
        json.dumps({"op": "start", "attempt": name, "argv": ["sh", "-c", f"exit {n}"], "env": {}})
        for n, name in enumerate(names)
    ]
    keeper.client.socket.sendall("".join(f"{request}\n" for request in requests).encode())
    seen = set()
    while len(seen) < len(names):
        message = keeper.client.hear()
        if "notice" in message:
            seen.add(message["attempt"])
    for number, name in enumerate(names):
        assert os.waitstatus_to_exitcode(keeper.record(name).wait_status) == number


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_client_that_never_reads_is_dropped_and_nobody_waits_for_it(keeper: Keeper) -> None:
    deaf = Client(keeper.socket)
    deaf.socket.settimeout(PATIENCE)
    request = json.dumps({"op": "ping", "id": "x" * 100_000}).encode() + b"\n"
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(400):
            deaf.socket.sendall(request)
    deaf.close()
    assert keeper.client.ask("ping")["ok"]
