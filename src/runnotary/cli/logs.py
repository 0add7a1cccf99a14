"""`run logs`, and the output of `exec`: what steps print, while they print it and for ever after.

The output of a running attempt lies in its folder; once it has ended it is a blob. Reading on from one to the
other loses nothing and repeats nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import IO, Any, Final

from runnotary.app.records import Reader, output_of, reading, shown_status
from runnotary.app.session import session
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.following import first_of
from runnotary.cli.output import Page, emit
from runnotary.cli.picture import Picture
from runnotary.cli.steps import chosen_tasks
from runnotary.cli.wording import entry_of
from runnotary.config import Settings
from runnotary.core.chain import Recorded
from runnotary.core.errors import InvalidInput, NotFound
from runnotary.core.states import OPEN

Json = Any
FOLLOW_SECONDS: Final = 0.1
POLL_SECONDS: Final = 0.5
"""Between two questions about the output of a running step, if a server has to be asked."""
STREAMS: Final = ("stdout", "stderr")
MARKS: Final = {"stdout": "|", "stderr": "!"}


class Stream:
    """One captured stream of one attempt, read on."""

    def __init__(self, settings: Settings, reader: Reader, task: Json, number: int, kind: str) -> None:
        self.task: Final[str] = task["key"]
        self.number: Final = number
        self.kind: Final = kind
        self._of: Final = (settings, reader, task, number, kind)
        self._reader: Final = reader
        self._offset = 0
        self._over = False

    def read_on(self, attempt: Json) -> bytes:
        """Return what is new since the last time."""
        if self._over:
            return b""
        if attempt["status"] != "running":
            self._over = True
            return self._rest(attempt.get(self.kind))
        data = output_of(*self._of, self._offset)
        self._offset += len(data)
        return data

    def _rest(self, log: Json) -> bytes:
        if not log or not log.get("blob") or self._offset >= log["size"]:
            return b""
        data = self._reader.blobs.get(log["blob"])
        if not log["truncated"]:
            return data[self._offset :]
        missing: int = log["size"] - self._offset
        # The second half of what is kept are the last bytes of the stream; the line between is short.
        return data[-missing:] if missing < len(data) // 2 - 200 else data


def logs(args: Namespace) -> int:
    """Print what steps printed, or the entries of the run's log."""
    settings = settings_of(args)
    if args.stdout and args.stderr:
        raise InvalidInput("--stdout and --stderr exclude each other; without them both are shown")
    with reading(settings) as reader:
        picture = Picture(reader, reader.document(reader.resolve(args.run))["id"])
        if args.entries:
            return _entries(args, picture)
        kinds = [kind for kind in STREAMS if not getattr(args, "stderr" if kind == "stdout" else "stdout")]
        picture.read_on()
        if args.format not in (None, "table"):
            return _as_data(args, settings, reader, picture, kinds)
        printer = _Printer(args, settings, reader, picture, kinds)
        printer.print_on(tail=args.tail)
        if args.follow and settings.url:
            asyncio.run(_follow_there(settings, picture, printer))
        elif args.follow:
            _follow_here(settings, picture, printer)
        picture.read_on()
        if args.follow:
            printer.print_on()
        printer.finish()
    return 0


def _follow_here(settings: Settings, picture: Picture, printer: _Printer) -> None:
    """Look at a home again and again: a look costs next to nothing, and no engine need be there to tell."""
    while _is_going_on(picture, settings):
        sys.stdout.flush()
        time.sleep(FOLLOW_SECONDS)
        picture.read_on()
        printer.print_on()


async def _follow_there(settings: Settings, picture: Picture, printer: _Printer) -> None:
    """Let a server tell what happens to the run, and ask only for the output of what runs."""
    moved = asyncio.Event()

    async def listen() -> None:
        async for _ in engine.changes(picture.run):
            moved.set()

    async with session(settings) as engine:
        listening = asyncio.create_task(listen())
        try:
            while not listening.done():
                await first_of({listening}, [moved.wait()], POLL_SECONDS)
                if moved.is_set():
                    moved.clear()
                    picture.read_on()
                printer.print_on()
                sys.stdout.flush()
            await listening
        finally:
            listening.cancel()


def _is_going_on(picture: Picture, settings: Settings) -> bool:
    status = shown_status(picture.document()["status"], settings)
    if status == "interrupted":
        print(
            f"no engine works on this run now; go on: runnotary run watch {words.short(picture.run)}",
            file=sys.stderr,
        )
    return status in OPEN


class _Printer:
    """Prints streams to stdout: one task alone as it is, several with the task before each line."""

    def __init__(
        self, args: Namespace, settings: Settings, reader: Reader, picture: Picture, kinds: list[str]
    ) -> None:
        self._args, self._settings, self._reader, self._picture = args, settings, reader, picture
        self._kinds = kinds
        self._streams: dict[tuple[str, int, str], Stream] = {}
        self._partial: dict[tuple[str, int, str], bytes] = {}
        chosen = chosen_tasks(picture.tasks(), args.step)
        self._width = max((len(task["key"]) for task in chosen), default=0)
        self._alone = args.step is not None and len(chosen) == 1
        if args.attempt and not any(len(task["attempts"]) >= args.attempt for task in chosen):
            raise NotFound(f"there is no attempt {args.attempt}")

    def print_on(self, tail: int | None = None) -> None:
        out = sys.stdout.buffer
        for stream, attempt in self._now():
            data = stream.read_on(attempt)
            if tail:
                data = b"".join(data.splitlines(keepends=True)[-tail:])
            if self._alone:
                out.write(data)
            else:
                self._with_prefix(stream, data)

    def finish(self) -> None:
        """End the lines that have no end."""
        for (task, _, kind), line in self._partial.items():
            if line:
                self._write_line(task, kind, line + b"\n")
        sys.stdout.flush()

    def _now(self) -> Iterator[tuple[Stream, Json]]:
        for task in chosen_tasks(self._picture.tasks(), self._args.step):
            last = len(task["attempts"])
            for number in [self._args.attempt] if self._args.attempt else [last]:
                if not 0 < number <= last:
                    continue
                for kind in self._kinds:
                    key = (task["key"], number, kind)
                    if key not in self._streams:
                        self._streams[key] = Stream(self._settings, self._reader, task, number, kind)
                    yield self._streams[key], task["attempts"][number - 1]

    def _with_prefix(self, stream: Stream, data: bytes) -> None:
        key = (stream.task, stream.number, stream.kind)
        lines = (self._partial.pop(key, b"") + data).splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            self._partial[key] = lines.pop()
        for line in lines:
            self._write_line(stream.task, stream.kind, line)

    def _write_line(self, task: str, kind: str, line: bytes) -> None:
        sys.stdout.buffer.write(f"{task:{self._width}} {MARKS[kind]} ".encode() + line)


def _as_data(args: Namespace, settings: Settings, reader: Reader, picture: Picture, kinds: list[str]) -> int:
    found: list[Json] = []
    for task in chosen_tasks(picture.tasks(), args.step):
        for attempt in task["attempts"]:
            if args.attempt not in (None, attempt["number"]):
                continue
            texts = {
                kind: Stream(settings, reader, task, attempt["number"], kind).read_on(attempt)
                for kind in kinds
            }
            shown = {kind: data.decode(errors="backslashreplace") for kind, data in texts.items()}
            found.append({"task": task["key"], "attempt": attempt["number"], **shown})
    emit(args.format, found, lambda: None, each=found, key="task")
    return 0


def _entries(args: Namespace, picture: Picture) -> int:
    entries = [entry_of(entry, picture.flow) for entry in picture.read_on()]
    if args.tail:
        entries = entries[-args.tail :]
    rows = [[(entry["time"][11:-1], words.DIM), entry["code"], entry["description"]] for entry in entries]
    emit(args.format, entries, lambda: Page().table(rows), each=entries, key="code")
    return 0


class PassedThrough:
    """The view of `exec`: the command's output is this process's output."""

    def __init__(self, settings: Settings) -> None:
        self.tick = POLL_SECONDS if settings.url else FOLLOW_SECONDS
        self._settings = settings
        self._streams: list[tuple[Stream, IO[bytes]]] = []

    def begin(self, picture: Picture) -> None:
        pass

    def changed(self, picture: Picture, fresh: list[Recorded]) -> None:
        task = picture.tasks()[0]
        if not task["attempts"]:
            return
        if not self._streams:
            for kind, target in (("stdout", sys.stdout.buffer), ("stderr", sys.stderr.buffer)):
                self._streams.append((Stream(self._settings, picture.reader, task, 1, kind), target))
        for stream, target in self._streams:
            target.write(stream.read_on(task["attempts"][0]))
            target.flush()

    def notice(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def end(self, picture: Picture) -> None:
        pass
