"""The attempts whose parent this process is: spawned, stopped, watched until nothing is left, recorded.

Standard library only: the keeper, which is a script, imports it as its sibling. The rules: docs/keeper.md.
"""

import errno
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import attempt_record, command, containment
else:
    import attempt_record
    import containment

_PEEK = os.WEXITED | os.WNOHANG | os.WNOWAIT
_GLANCE = 0.005  # how soon to look again for processes that are being killed
_YOUTH = 0.005  # the age at which a process is worth being identified in its record
_PATIENCE = 0.05  # and for those that may still end by themselves
_RESET = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_MASKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "masker.py")


class Attempt:
    """An attempt that has not ended; its record is the part that others see."""

    def __init__(self, folder: str, record: "attempt_record.Record", record_fd: int, grace: float) -> None:
        self.id = record.attempt
        self.folder = folder
        self.record = record
        self.record_fd = record_fd
        self.grace = grace
        self.started = 0.0  # monotonic
        self.gone = False  # its process has ended, though others may be left
        self.reaped = False  # nothing is left but perhaps the masker
        self.due = 0.0  # when the clock has to look at it again, if it is among the busy
        self.kill_at: float | None = None  # the end of a stop's grace
        self.give_up: float | None = None  # when to stop waiting for leftovers that do not die
        self.survivors: set[tuple[int, int]] = set()
        self.masker = 0

    def save(self) -> None:
        """One write of the whole record: a reader sees the old one, the new one, or a wrong checksum."""
        os.pwrite(self.record_fd, attempt_record.pack(self.record), 0)


class Children:
    """Every attempt that has not ended, and whatever they leave behind: this process is a subreaper."""

    def __init__(
        self,
        folder: str,
        selector: selectors.BaseSelector,
        now_us: Callable[[], int],
        drain: float,
        cgroup: "containment.Cgroup | None",
    ) -> None:
        self.live: dict[str, Attempt] = {}
        self.on_exited: Callable[[str], None] = lambda _: None
        self.pid = os.getpid()
        self._folder = folder
        self._selector = selector
        self._now_us = now_us
        self._drain_time = drain
        self._cgroup = cgroup
        self._list = os.open(f"/proc/self/task/{self.pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        self._busy: dict[
            str, Attempt
        ] = {}  # those that a clock drives: young, stopping, leaving something, draining
        self._made: dict[int, str] = {}  # unreaped children that we spawned → attempt
        self._strays: dict[
            int, tuple[str | None, int]
        ] = {}  # those we inherited → attempt if known, start ticks

    # Starting

    def start(self, attempt: Attempt, what: "command.Command") -> None:
        """Spawns; what goes wrong is in the record afterwards."""
        self.live[attempt.id] = attempt
        attempt.started = time.monotonic()
        record = attempt.record
        record.started_us = self._now_us()
        record.containment = attempt_record.CGROUP if self._cgroup else attempt_record.SCAN
        opened: list[int] = []
        try:
            record.pid = self._spawn(attempt, what, opened)
        except OSError as error:
            record.spawn_errno = error.errno or errno.EIO
            record.exited_us = self._now_us()
        finally:
            os.chdir("/")
            for fd in opened:
                os.close(fd)
        if record.spawn_errno:
            attempt.gone = attempt.reaped = True
            self._drain(attempt)
        else:
            record.state, record.spawn_step = attempt_record.RUNNING, 0
            self._look_again(attempt, attempt.started + _YOUTH)

    def _spawn(self, attempt: Attempt, what: "command.Command", opened: list[int]) -> int:
        record = attempt.record
        record.spawn_step = attempt_record.LOG_FILES
        for name in ("stdout", "stderr"):
            opened.append(os.open(f"{attempt.folder}/{name}", _LOG_FLAGS, 0o600))
        if what.secrets:
            record.spawn_step = attempt_record.MASKER
            self._interpose(attempt, what.secrets, opened)
        record.spawn_step = attempt_record.WORKING_DIRECTORY
        os.chdir(os.path.join(os.fsencode(attempt.folder), what.cwd))
        record.spawn_step = attempt_record.EXEC
        if self._cgroup:
            self._cgroup.enter(attempt.id)
        try:
            pid = os.posix_spawn(
                what.executable(),
                what.argv,
                what.env,
                file_actions=[(os.POSIX_SPAWN_DUP2, opened[0], 1), (os.POSIX_SPAWN_DUP2, opened[1], 2)],
                setsid=True,
                setsigmask=(),
                setsigdef=_RESET,
            )
        finally:
            if self._cgroup:
                self._cgroup.leave()
        self._watch(pid, attempt, partial(self._exited, attempt))
        return pid

    def _interpose(self, attempt: Attempt, secrets: list[str], opened: list[int]) -> None:
        """Puts a masker before the log files; `opened` then holds the pipes to write into."""
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in opened]
        secret_file = os.memfd_create(
            "secrets", os.MFD_CLOEXEC
        )  # memory, not disk; unlike a pipe it never blocks
        inherited = [fd for (read, _), target in zip(pipes, opened, strict=True) for fd in (read, target)]
        opened[:] = [write for _, write in pipes]
        try:
            os.write(secret_file, json.dumps(secrets).encode())
            os.lseek(secret_file, 0, os.SEEK_SET)
            for fd in inherited:
                os.set_inheritable(fd, True)
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", _MASKER, *map(str, inherited)],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, secret_file, 0)],
                setsid=True,
            )
            self._watch(pid, attempt, partial(self._masker_exited, attempt))
            attempt.masker = pid
        finally:
            for fd in (*inherited, secret_file):
                os.close(fd)

    def _watch(self, pid: int, attempt: Attempt, ended: Callable[[], None]) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # out of descriptors: what nobody watches must not run
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

        def call(_: int) -> None:
            try:
                ended()
            finally:
                # Closing alone would not do it: a child being born holds a copy.
                self._selector.unregister(pidfd)
                os.close(pidfd)

        self._made[pid] = attempt.id
        self._selector.register(pidfd, selectors.EVENT_READ, call)

    # Stopping

    def stop(self, attempt: Attempt, grace: float) -> None:
        """SIGTERM to all of it now, SIGKILL after the grace; nothing if its process has ended by itself."""
        kill_at = time.monotonic() + grace
        self._identify(attempt)
        if attempt.kill_at is not None:
            attempt.kill_at = min(attempt.kill_at, kill_at)
            attempt.due = min(attempt.due, attempt.kill_at)
        elif not attempt.gone and not os.waitid(os.P_PID, attempt.record.pid, _PEEK):
            attempt.kill_at = kill_at
            attempt.record.stop_signal, attempt.record.stop_us = signal.SIGTERM, self._now_us()
            attempt.save()
            for process in self._members(attempt):
                if containment.send(process, signal.SIGTERM):
                    containment.send(process, signal.SIGCONT)
            self._look_again(attempt, kill_at)

    def next_due(self) -> float | None:
        """When, by the monotonic clock, `advance` has something to do."""
        return min((attempt.due for attempt in self._busy.values()), default=None)

    def advance(self) -> None:
        """Does what is due: graces that are over, leftovers that are dying, maskers that take too long …"""
        now = time.monotonic()
        for attempt in [attempt for attempt in self._busy.values() if attempt.due <= now]:
            if attempt.kill_at is None and not attempt.gone:
                self._identify(attempt)
                del self._busy[attempt.id]
            elif not attempt.gone:
                attempt.record.stop_signal = signal.SIGKILL
                attempt.save()
                self._kill(attempt)
                self._look_again(attempt, now + _PATIENCE)
            elif not attempt.reaped:
                self._settle(attempt)
            else:
                os.kill(attempt.masker, signal.SIGKILL)
                self._look_again(attempt, now + self._drain_time)

    def _look_again(self, attempt: Attempt, due: float) -> None:
        attempt.due = due
        self._busy[attempt.id] = attempt

    def _identify(self, attempt: Attempt) -> None:
        """Writes down which process it is, once; most processes have ended before anybody needs to know."""
        if not attempt.record.start_ticks and not attempt.gone:
            process = containment.look(attempt.record.pid)
            attempt.record.start_ticks = process.start_ticks if process else 0
            attempt.save()

    # Ending

    def _exited(self, attempt: Attempt) -> None:
        attempt.gone = True
        attempt.record.exited_us = self._now_us()
        attempt.record.elapsed_us = round((time.monotonic() - attempt.started) * 1e6)
        self._settle(attempt)

    def _settle(self, attempt: Attempt) -> None:
        """Its process is a zombie, which keeps its number from being reused: kill what it left, then reap."""
        left = self._strays_of(attempt)
        if left and self._still_waits_for(attempt):
            return
        record = attempt.record
        record.stuck, record.survivors = len(left), len(attempt.survivors)
        _, record.wait_status, usage = os.wait4(record.pid, 0)
        del self._made[record.pid]
        record.utime_us, record.stime_us = round(usage.ru_utime * 1e6), round(usage.ru_stime * 1e6)
        record.maxrss_kib = usage.ru_maxrss
        attempt.reaped = True
        self._drain(attempt)

    def _still_waits_for(self, attempt: Attempt) -> bool:
        """Kills its leftovers unless a stop's grace, which is everybody's, lets them live a little longer."""
        now = time.monotonic()
        if attempt.kill_at is not None and now < attempt.kill_at:
            self._look_again(attempt, min(attempt.kill_at, now + _PATIENCE))
            return True
        if attempt.give_up is None:
            attempt.give_up = now + self._drain_time
        if now < attempt.give_up:
            self._kill(attempt)
            self._look_again(attempt, now + _GLANCE)
            return True
        return False

    def _kill(self, attempt: Attempt) -> None:
        killed = containment.freeze_and_kill(lambda: self._members(attempt))
        attempt.survivors |= killed - {(attempt.record.pid, attempt.record.start_ticks)}
        if self._cgroup:
            self._cgroup.kill(attempt.id)

    def _drain(self, attempt: Attempt) -> None:
        if attempt.masker:
            self._look_again(attempt, time.monotonic() + self._drain_time)
        else:
            self._finish(attempt)

    def _masker_exited(self, attempt: Attempt) -> None:
        status = os.waitstatus_to_exitcode(os.waitpid(attempt.masker, 0)[1])
        attempt.record.log_errno = status if status >= 0 else attempt_record.MASKER_DIED
        del self._made[attempt.masker]
        attempt.masker = 0
        if attempt.reaped:
            self._finish(attempt)

    def _finish(self, attempt: Attempt) -> None:
        record = attempt.record
        record.state = attempt_record.EXITED
        for name in ("stdout", "stderr"):
            with suppress(OSError):  # never opened, or removed by the attempt
                setattr(record, f"{name}_size", os.stat(f"{attempt.folder}/{name}").st_size)
        attempt.save()
        os.close(attempt.record_fd)
        if self._cgroup:
            self._cgroup.remove(attempt.id)
        self._busy.pop(attempt.id, None)
        del self.live[attempt.id]
        self.on_exited(attempt.id)

    # Belonging

    def reap(self) -> None:
        """Reaps what was left to us and has ended since."""
        reaped = [0]
        while reaped:  # whoever ended may have left children of its own, listed behind those just read
            reaped = [pid for pid in self._children() if pid not in self._made and self._adopt(pid)]

    def _strays_of(self, attempt: Attempt) -> list[int]:
        """Our direct children that are left of an attempt whose process has ended; none if nothing is."""
        if len(self._children()) == len(self._made):
            return []
        self.reap()
        return [pid for pid in self._strays if self._is_left_of(attempt, pid)]

    def _members(self, attempt: Attempt) -> "list[containment.Process]":
        processes = containment.table()
        seeds = [attempt.record.pid]
        for process in processes.values():
            if process.parent == self.pid and process.pid not in self._made and not self._adopt(process.pid):
                seeds += [process.pid] if self._is_left_of(attempt, process.pid) else []
        found = containment.descend(processes, seeds)
        return [processes[pid] for pid in found if pid in processes and not processes[pid].dead]

    def _is_left_of(self, attempt: Attempt, pid: int) -> bool:
        owner, start_ticks = self._strays[pid]
        if owner is None:  # it belongs to nobody only if nobody is left who is as old
            return not any(
                other.record.start_ticks <= start_ticks
                for other in self.live.values()
                if other is not attempt and not other.gone
            )
        return owner == attempt.id or owner not in self.live

    def _adopt(self, pid: int) -> bool:
        """Reaps an inherited child (true), or finds out whose it is: once, for its number stays its own."""
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            ended = True
        process = None if ended else containment.look(pid)
        if process is None:
            self._strays.pop(pid, None)
            return True
        if pid not in self._strays:
            owner = self._made.get(process.session) or containment.mark_of(pid)
            self._strays[pid] = (
                owner or containment.attempt_of_directory(pid, self._folder),
                process.start_ticks,
            )
        return False

    def _children(self) -> list[int]:
        os.lseek(self._list, 0, os.SEEK_SET)
        data = b""
        while part := os.read(self._list, 1 << 16):
            data += part
        return [int(pid) for pid in data.split()]
