"""Who belongs to an attempt, and how all of it is killed.

Standard library only: the keeper, which is a script, and the engine share this file. A process is never
signalled by its number alone: its pidfd is opened first and its start time compared afterwards.
"""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .attempt_record import Record

MARK = "RUNNOTARY_ATTEMPT"

_DEAD = frozenset("ZXx")


class Process:
    """One line of the process table."""

    __slots__ = ("parent", "pid", "session", "start_ticks", "state", "terminal")

    def __init__(self, pid: int, stat: bytes) -> None:
        fields = stat[stat.rindex(b")") + 2 :].split(None, 20)  # the name before it may hold anything
        self.pid = pid
        self.state = fields[0].decode()
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.terminal = int(fields[4])
        self.start_ticks = int(fields[19])

    @property
    def dead(self) -> bool:
        """Whether it has ended, reaped or not."""
        return self.state in _DEAD


def boot_id() -> bytes:
    """What distinguishes this boot of the machine from every other: 16 bytes."""
    return bytes.fromhex(_read("/proc/sys/kernel/random/boot_id").decode().strip().replace("-", ""))


def look(pid: int) -> Process | None:
    """The process of this number, if there is one."""
    try:
        return Process(pid, _read(f"/proc/{pid}/stat"))
    except OSError:
        return None


def table() -> dict[int, Process]:
    """Every process there is; not a snapshot, so whoever needs certainty scans until nothing changes."""
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdecimal())
    return {process.pid: process for process in found if process}


def open_process(pid: int, start_ticks: int) -> int | None:
    """A pidfd of exactly this process, or None if it has ended: its number may be somebody else's by now."""
    try:
        pidfd = os.pidfd_open(pid)
    except (ProcessLookupError, ValueError, OverflowError):
        return None
    process = look(pid)
    if process and process.start_ticks == start_ticks and not process.dead:
        return pidfd
    os.close(pidfd)
    return None


def is_running(pid: int, start_ticks: int) -> bool:
    """Whether exactly this process lives (of this boot: compare the boot id first)."""
    pidfd = open_process(pid, start_ticks)
    if pidfd is None:
        return False
    os.close(pidfd)
    return True


def send(process: Process, number: int) -> bool:
    """Signals exactly this process; False if it has ended or is not ours to signal."""
    pidfd = open_process(process.pid, process.start_ticks)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(pidfd)
    return True


def descend(processes: dict[int, Process], seeds: Iterable[int]) -> set[int]:
    """The seeds and everything below them."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    pending = list(seeds)
    while pending:
        pid = pending.pop()
        if pid not in found:
            found.add(pid)
            pending += children.get(pid, ())
    return found


def mark_of(pid: int) -> str | None:
    """The attempt that a process carries in its environment."""
    try:
        environ = _read(f"/proc/{pid}/environ")
    except OSError:
        return None
    _, found, rest = (b"\0" + environ).partition(f"\0{MARK}=".encode())
    return os.fsdecode(rest.partition(b"\0")[0]) if found else None


def works_below(pid: int, folder: str) -> bool:
    """Whether the working directory of a process is this folder or below it."""
    return f"{_working_directory(pid)}/".startswith(f"{folder}/")


def attempt_of_directory(pid: int, attempts: str) -> str | None:
    """The attempt in whose folder a process works."""
    below = f"{_working_directory(pid)}/".removeprefix(f"{attempts}/")
    return None if below.startswith("/") else below.partition("/")[0] or None


def freeze_and_kill(find: Callable[[], Iterable[Process]]) -> set[tuple[int, int]]:
    """Stops what is found until nothing new is found, then kills all of it; (pid, start ticks) of each.

    Nothing that is stopped forks, and nothing is orphaned before everything is known, so a process cannot
    slip away between the scan and the kill.
    """
    frozen: dict[tuple[int, int], Process] = {}
    while fresh := {(p.pid, p.start_ticks): p for p in find() if (p.pid, p.start_ticks) not in frozen}:
        for process in fresh.values():
            send(process, signal.SIGSTOP)
        frozen |= fresh
    return {key for key, process in frozen.items() if send(process, signal.SIGKILL)}


class Cgroup:
    """A delegated cgroup v2 directory, in which every attempt is born in a cgroup of its own."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._home = f"{folder}/keeper"
        os.makedirs(self._home, exist_ok=True)
        self.leave()

    def enter(self, attempt: str) -> None:
        """What this process spawns from now on is born there."""
        os.makedirs(f"{self._folder}/{attempt}", exist_ok=True)
        _write(f"{self._folder}/{attempt}/cgroup.procs", b"0")

    def leave(self) -> None:
        """Back to where the keeper lives."""
        _write(f"{self._home}/cgroup.procs", b"0")

    def kill(self, attempt: str) -> None:
        """Kills whatever is in it, atomically."""
        with suppress(OSError):  # a kernel before 5.14 has no cgroup.kill
            _write(f"{self._folder}/{attempt}/cgroup.kill", b"1")

    def remove(self, attempt: str) -> None:
        """Removes it, if it is empty."""
        with suppress(OSError):
            os.rmdir(f"{self._folder}/{attempt}")


def kill_tree(attempt: str, folder: str | os.PathLike[str], record: "Record | None") -> int:
    """Kills what is left of an attempt whose keeper is dead; how many processes were found.

    Nothing waits for them to die: call again until it answers 0. Without a record (a damaged one) only marked
    processes are found. Whoever calls from inside the attempt, and the parents of the caller, are spared.
    """
    path = os.path.realpath(folder)

    def members() -> list[Process]:
        return _members_by_record(attempt, path, record)

    found = members()
    if found:
        freeze_and_kill(members)
    return len(found)


def _members_by_record(attempt: str, folder: str, record: "Record | None") -> list[Process]:
    processes = table()
    spared = _ancestry(processes, os.getpid())
    leader = processes.get(record.pid) if record else None
    session = 0
    if record and leader and leader.start_ticks == record.start_ticks:
        session = leader.pid  # else the number may have come to be another session's
    seeds = {
        pid
        for pid, process in processes.items()
        if pid not in spared
        and (
            (session and process.session == session)
            or mark_of(pid) == attempt
            or (record and _is_orphan_below(processes, process, folder, record))
        )
    }
    return [processes[pid] for pid in descend(processes, seeds) - spared if not processes[pid].dead]


def _is_orphan_below(processes: dict[int, Process], process: Process, folder: str, record: "Record") -> bool:
    """Known by its working directory only: not a person's shell, not older than the attempt, and adopted."""
    if process.terminal or process.start_ticks < (record.start_ticks or record.keeper_ticks):
        return False
    parent = processes.get(process.parent)
    adopted = process.parent == 1 or parent is None or parent.parent in (0, 1)
    return adopted and works_below(process.pid, folder)


def _ancestry(processes: dict[int, Process], pid: int) -> set[int]:
    line: set[int] = set()
    while pid in processes and pid not in line:
        line.add(pid)
        pid = processes[pid].parent
    return line


def _working_directory(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, 1 << 16)
        while len(data) >= 1 << 12 and (
            more := os.read(fd, 1 << 16)
        ):  # the kernel gives a page or more at a time
            data += more
        return data
    finally:
        os.close(fd)


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
