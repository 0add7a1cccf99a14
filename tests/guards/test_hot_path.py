"""What the hot path must not do: fork, poll or sleep. Read from the source, not measured."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "runnotary"
HOT = ("core", "engine", "store", "executors")

FORKS = {
    *("os.fork", "os.forkpty", "os.system", "os.popen", "pty.fork", "pty.spawn", "os.posix_spawnp"),
    *("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call"),
    *("subprocess.check_output", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"),
}
# Where a process may be made, and by what.
MAKERS = {
    ("executors/children.py", "os.posix_spawn"): "the keeper: attempts, and the process that masks secrets",
    ("executors/process/keeper_client.py", "os.posix_spawn"): "the keeper itself",
    ("executors/secrets.py", "subprocess.run"): "the command that knows secrets, in a thread, if one is set",
    ("store/outside.py", "subprocess.Popen"): "the witness, in a thread of its own, if one is set",
}
SLEEPS = {"time.sleep", "asyncio.sleep"}
# Where waiting by the clock is right, because nothing can be told to wake us.
SLEEPERS = {
    ("executors/process/keeper_client.py", "connect"): "a keeper just started has no socket yet",
    ("executors/process/executor.py", "_ask"): "a keeper that leaves makes room for the next",
    ("executors/process/recovery.py", "bury"): "processes of a dead keeper are nobody's children here",
    ("executors/process/recovery.py", "stop_orphan"): "as above",
    ("store/postgresql/connections.py", "again"): "a database that is away tells nobody when it is back",
    ("store/postgresql/hindrances.py", "pause"): "two servers locked each other out: one goes first",
}
TIMERS = {"call_later", "call_at"}
# Timers that ring again and again, each for something that cannot notify.
REPEATED = {
    ("executors/process/executor.py", "_run"): "reports and log sizes of running attempts, twice a second",
    ("executors/process/executor.py", "_tick"): "as above",
    ("executors/process/keeper_connection.py", "tell"): "what nobody waits for goes out together, once",
}
# Work of the engine for a thread: reading that grows with the record, or bytes that somebody brought.
THREADED = {
    ("engine/erasure.py", "erase"): "the whole log is read, while nobody else is at work",
    ("engine/operations.py", "put_blob"): "a file of any size is hashed",
    ("engine/retention.py", "_take"): "all events of a run are read",
    ("engine/retention.py", "_purge_many"): "as above, and of all runs that might name the same blobs",
    ("engine/retention.py", "_discard"): "what was committed meanwhile is read",
    ("engine/service.py", "_want_all"): "a folder may have any number of files",
}

Call = tuple[str, str, str]


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls_in(tree: ast.AST, function: str = "") -> Iterator[tuple[str, str]]:
    """Yield the function around each call, and what is called."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            yield function, dotted(node.func)
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from calls_in(node, inner)


def calls() -> Iterator[Call]:
    for room in HOT:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            for function, called in calls_in(ast.parse(path.read_text())):
                yield name_of(path), function, called


ALL = list(calls())


def test_the_search_finds_calls_where_they_are() -> None:
    tree = ast.parse("async def f():\n    while True:\n        await asyncio.sleep(1)\n")
    assert list(calls_in(tree)) == [("f", "asyncio.sleep")]
    assert len({place for place, _, _ in ALL}) > 30


def test_a_process_is_made_in_the_keeper_only() -> None:
    found = {(place, called) for place, _, called in ALL if called in FORKS or called == "os.posix_spawn"}
    assert found == set(MAKERS)


@pytest.mark.parametrize("room", ["core", "engine", "store"])
def test_nothing_sleeps_beside_the_executors(room: str) -> None:
    found = {(place, function) for place, function, called in ALL if called in SLEEPS}
    assert {one for one in found if one[0].startswith(f"{room}/")} <= {
        one for one in SLEEPERS if one[0].startswith("store/postgresql/")
    }


def test_sleeping_needs_a_reason() -> None:
    assert {(place, function) for place, function, called in ALL if called in SLEEPS} == set(SLEEPERS)


def test_a_timer_needs_a_reason() -> None:
    found = {(place, function) for place, function, called in ALL if called.rpartition(".")[2] in TIMERS}
    assert found == set(REPEATED)


def test_no_work_is_handed_to_a_thread_in_the_engine_or_the_core() -> None:
    to_threads = {"asyncio.to_thread", "threading.Thread", "ThreadPoolExecutor"}
    rooms = ("core/", "engine/")
    found = {(place, function) for place, function, called in ALL if called in to_threads}
    assert {one for one in found if one[0].startswith(rooms)} == set(THREADED)


def test_the_log_is_written_by_one_thread_that_waits_for_its_queue() -> None:
    """Another takes checkpoints out of the home, where a disk or a witness may be slow, one syncs a large
    file while it is hashed, and one hears what other servers committed to the same database.
    """
    threads = {place for place, _, called in ALL if called == "threading.Thread"}
    assert threads == {
        *("store/files.py", "store/outside.py", "store/postgresql/listener.py", "store/writer.py"),
    }
