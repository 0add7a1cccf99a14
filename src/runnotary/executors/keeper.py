"""The keeper: parent of every process attempt of one home, which outlives the engine.

A script (`python -I -S keeper.py ATTEMPTS_DIR SOCKET_PATH …`) that imports the standard library and its
siblings only. One thread, one selector. The protocol, the record and the rules of killing: docs/keeper.md.
"""

import ctypes
import errno
import fcntl
import os
import re
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import attempt_record, children, command, containment, json_lines
else:  # a script has no package, and executing the product's would cost more than the keeper itself
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import attempt_record
    import children
    import command
    import containment
    import json_lines

PROTOCOL = 1
ANOTHER_KEEPER = 75

_ATTEMPT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36
_TICK = 1.0  # how often to reap what live attempts have abandoned


class Refused(Exception):
    """A request that cannot be served; the code is part of the protocol."""

    def __init__(self, code: str, detail: str = "", **more: object) -> None:
        self.answer = {"ok": False, "error": code, "detail": detail, **more}


class Keeper:
    """The clients and what they may ask."""

    def __init__(self, folder: str, listener: socket.socket, options: dict[str, str]) -> None:
        seconds = {name: float(options.get(name, default)) for name, default in _SECONDS.items()}
        self._idle, self._repeat = seconds["idle"], seconds["repeat"]
        self._folder = folder
        self._listener = listener
        self._boot_id = containment.boot_id()
        itself = containment.look(os.getpid())
        self._start_ticks = itself.start_ticks if itself else 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._cgroup = _cgroup(options.get("cgroup"))
        self._children = children.Children(folder, self._selector, _now_us, seconds["drain"], self._cgroup)
        self._children.on_exited = self._exited
        self._clients: set[json_lines.Lines] = set()
        self._ended: dict[str, bool] = {}  # attempts not yet released → acknowledged
        self._leaving = False
        self._terminated = False
        self._repeat_at = self._reap_at = self._alone_since = time.monotonic()
        self._operations: dict[object, Callable[[json_lines.Lines, dict[str, Any]], dict[str, Any]]] = {
            "start": self._start,
            "ready": self._ready,
            "go": self._go,
            "stop": self._stop,
            "ack": self._ack,
            "release": self._release,
            "list": self._list,
            "ping": self._ping,
            "quit_when_idle": self._quit_when_idle,
        }

    # The loop

    def run(self) -> None:
        """Serves until there is nothing left to serve."""
        wake, waker = socket.socketpair()
        wake.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._terminate)
        self._selector.register(wake, selectors.EVENT_READ, lambda _: wake.recv(4096))
        while not self._may_leave():
            for key, events in self._selector.select(self._pause()):
                key.data(events)
            if self._terminated:
                self._stop_everything()
            self._children.advance()
            self._keep_house()

    def _pause(self) -> float | None:
        due = [self._children.next_due()]
        if self._clients and not all(self._ended.values()):
            due.append(self._repeat_at)
        if self._children.live:
            due.append(self._reap_at)
        elif not self._clients:
            due.append(self._alone_since + self._idle)
        first = min((time for time in due if time is not None), default=None)
        return None if first is None else max(0.0, first - time.monotonic())

    def _keep_house(self) -> None:
        now = time.monotonic()
        if now >= self._reap_at:
            self._reap_at = now + _TICK
            self._children.reap()
        if now >= self._repeat_at:
            self._repeat_at = now + self._repeat
            for client in list(self._clients):
                self._remind(client)

    def _may_leave(self) -> bool:
        now = time.monotonic()
        if self._children.live or self._clients:
            self._alone_since = now
        return not self._children.live and (self._leaving or now >= self._alone_since + self._idle)

    def _terminate(self, *_: object) -> None:
        self._terminated = True

    def _stop_everything(self) -> None:
        self._terminated, self._leaving = False, True
        log("SIGTERM: stopping every attempt")
        for attempt in list(self._children.live.values()):
            self._children.stop(attempt, attempt.grace)

    # Clients

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self._listener.accept()
        except OSError:
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] != os.getuid():
            log("closed a connection of another user")
            connection.close()
        else:
            self._clients.add(
                json_lines.Lines(connection, self._selector, self._serve, self._clients.discard)
            )

    def _serve(self, client: "json_lines.Lines", message: "dict[str, Any]") -> None:
        operation = message.get("op")
        try:
            if operation == "hello":
                answer = self._hello(client, message)
            elif not client.greeted:
                raise Refused("hello_first")
            elif not isinstance(operation, str) or operation not in self._operations:
                raise Refused("bad_request", "unknown op")
            else:
                answer = self._operations[operation](client, message)
        except Refused as refused:
            answer = refused.answer
        except command.BadCommand as bad:
            answer = {"ok": False, "error": bad.code, "detail": bad.detail}
        except Exception as error:  # noqa: BLE001 - one bad request must not orphan everybody's processes
            log(f"bug: {type(error).__name__} in {operation}")  # its text may hold a secret
            answer = {"ok": False, "error": "internal", "detail": type(error).__name__}
        if not message.get("quiet"):
            client.send({"id": message.get("id"), "ok": True, **answer})
        elif "ok" in answer:
            client.send({"id": message.get("id"), "quiet": True, **answer})
        if operation == "hello" and client.greeted:
            self._remind(client)

    def _remind(self, client: "json_lines.Lines") -> None:
        if client.greeted:
            for attempt in [attempt for attempt, acknowledged in self._ended.items() if not acknowledged]:
                client.send({"notice": "exited", "attempt": attempt})

    def _exited(self, attempt: str) -> None:
        self._ended[attempt] = False
        self._repeat_at = max(self._repeat_at, time.monotonic() + self._repeat)
        for client in list(self._clients):
            if client.greeted:
                client.send({"notice": "exited", "attempt": attempt})

    # Requests

    def _hello(self, client: "json_lines.Lines", message: "dict[str, Any]") -> "dict[str, Any]":
        versions = message.get("versions")
        if not isinstance(versions, list) or PROTOCOL not in versions:
            raise Refused("version", f"this keeper speaks {PROTOCOL}", versions=[PROTOCOL])
        client.env = command.environment_of(message)
        client.greeted = True
        return {
            "version": PROTOCOL,
            "pid": os.getpid(),
            "start_ticks": self._start_ticks,
            "boot_id": self._boot_id.hex(),
            "containment": "cgroup" if self._cgroup else "scan",
        }

    def _start(self, client: "json_lines.Lines", message: "dict[str, Any]") -> "dict[str, Any]":
        name, what = _command(client, message)
        return self._begin(name, what)

    def _ready(self, client: "json_lines.Lines", message: "dict[str, Any]") -> "dict[str, Any]":
        name, what = _command(client, message)
        if what.secrets:
            raise Refused("bad_request", "secrets do not lie ready")
        what.look_ahead()
        client.ready[name] = what
        return {}

    def _go(self, client: "json_lines.Lines", message: "dict[str, Any]") -> "dict[str, Any]":
        name = _attempt_id(message)
        if name not in client.ready:
            raise Refused("not_ready")
        return self._begin(name, client.ready.pop(name))

    def _begin(self, name: str, what: "command.Command") -> "dict[str, Any]":
        folder = f"{self._folder}/{name}"
        if name in self._children.live or name in self._ended:
            return self._claimed_before(name)  # though a step may have removed its own record
        try:
            if self._leaving and not os.path.lexists(f"{folder}/record"):
                raise Refused("quitting")
            record = attempt_record.Record(name, self._boot_id, self._children.pid, self._start_ticks)
            record.claimed_us = _now_us()
            fd = attempt_record.claim(folder, record)
        except FileExistsError:
            return self._claimed_before(name)
        except (FileNotFoundError, NotADirectoryError):
            raise Refused("no_folder") from None
        except OSError as error:
            raise _claim_failed(error) from None
        self._children.start(children.Attempt(folder, record, fd, what.grace), what)
        return {"started": True, "mine": True, **_summary(record)}

    def _claimed_before(self, name: str) -> "dict[str, Any]":
        if name in self._children.live:
            return {"started": False, "mine": True, **_summary(self._children.live[name].record)}
        before = {"started": False, "mine": name in self._ended}
        try:
            return {**before, **_summary(attempt_record.read(f"{self._folder}/{name}/record"))}
        except (attempt_record.Damaged, OSError):
            return {**before, "state": "claimed", "pid": 0, "start_ticks": 0}

    def _stop(self, _: "json_lines.Lines", message: "dict[str, Any]") -> "dict[str, Any]":
        name = _attempt_id(message)
        if attempt := self._children.live.get(name):
            self._children.stop(attempt, command.seconds(message, attempt.grace))
            return {"state": attempt_record.STATES[attempt.record.state]}
        if name not in self._ended:
            raise Refused("unknown_attempt")
        return {"state": "exited"}

    def _ack(self, _: "json_lines.Lines", message: "dict[str, Any]") -> "dict[str, Any]":
        name = _attempt_id(message)
        if name in self._ended:
            self._ended[name] = True
        return {}

    def _release(self, client: "json_lines.Lines", message: "dict[str, Any]") -> "dict[str, Any]":
        name = _attempt_id(message)
        client.ready.pop(name, None)
        if name in self._children.live:
            raise Refused("live")
        self._ended.pop(name, None)
        return {}

    def _list(self, *_: object) -> "dict[str, Any]":
        live = [
            {"attempt": name, "state": attempt_record.STATES[attempt.record.state], "acked": False}
            for name, attempt in self._children.live.items()
        ]
        return {
            "attempts": live + [{"attempt": n, "state": "exited", "acked": a} for n, a in self._ended.items()]
        }

    def _ping(self, *_: object) -> "dict[str, Any]":
        return {"live": len(self._children.live)}

    def _quit_when_idle(self, *_: object) -> "dict[str, Any]":
        self._leaving = True
        return {}


_SECONDS = {"idle": 1.0, "repeat": 5.0, "drain": 10.0}


def log(text: str) -> None:
    """One line on standard error; never the content of a message."""
    with suppress(OSError):  # a full disk must not stop the keeper
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} keeper {os.getpid()}: {text}\n".encode())


def _now_us() -> int:
    return time.time_ns() // 1000


def _attempt_id(message: "dict[str, Any]") -> str:
    name = message.get("attempt")
    if not isinstance(name, str) or not _ATTEMPT_ID.fullmatch(name):
        raise Refused("bad_request", "attempt: not an id")
    return name


def _command(client: "json_lines.Lines", message: "dict[str, Any]") -> "tuple[str, command.Command]":
    name = _attempt_id(message)
    return name, command.command_of(message, client.env, (containment.MARK, name))


def _summary(record: "attempt_record.Record") -> "dict[str, Any]":
    return {
        "state": attempt_record.STATES[record.state],
        "pid": record.pid,
        "start_ticks": record.start_ticks,
    }


def _claim_failed(error: OSError) -> Refused:
    return Refused("claim_failed", os.strerror(error.errno or errno.EIO), errno=error.errno or errno.EIO)


def _cgroup(folder: str | None) -> "containment.Cgroup | None":
    try:
        return containment.Cgroup(folder) if folder else None
    except OSError as error:
        log(f"no cgroups: {os.strerror(error.errno or errno.EIO)}")
        return None


def _isolate() -> None:
    """Alone in a session, subreaper, unreadable to others, without what the starter left open."""
    with suppress(PermissionError):  # already leads its process group
        os.setsid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.closerange(3, 1 << 30)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.chdir("/")
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _listen(path: str) -> socket.socket:
    """The listening socket; whoever holds the lock may remove one that a dead keeper left."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    umask = os.umask(0o177)
    listener.bind(path)
    os.umask(umask)
    listener.listen(64)
    return listener


def main(arguments: list[str]) -> int:
    """Runs the keeper of a home, unless there is one."""
    folder, path, *rest = arguments
    options = dict(option.split("=", 1) for option in rest)
    _isolate()
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ANOTHER_KEEPER
    listener = _listen(path)
    Keeper(os.path.realpath(folder), listener, options).run()
    os.unlink(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
