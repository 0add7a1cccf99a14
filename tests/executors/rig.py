"""A home in a temporary folder with a keeper of its own, and attempts made of shell lines."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from runnotary.core.attempts import Attempt
from runnotary.core.errors import BlobNotFound, Damaged
from runnotary.core.events import File
from runnotary.core.ids import to_text
from runnotary.executors import attempt_record, containment
from runnotary.executors.process import ProcessExecutor, ProcessSettings
from runnotary.executors.secrets import Secrets
from tests.executors.contract import Driver

ENVIRON = {
    name: value
    for name, value in os.environ.items()
    if name in ("PATH", "HOME", "USER", "LANG", "XDG_RUNTIME_DIR")
}


class FolderBlobs:
    """The port `Blobs`, as little of it as will do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        (self.folder / digest).write_bytes(data)
        return digest

    def take_file(self, path: Path) -> tuple[str, int]:
        return self.put_file(path)

    def put_file(self, path: Path, *, known: str = "") -> tuple[str, int]:
        with path.open("rb") as file:
            digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        shutil.copyfile(path, self.folder / digest)
        return digest, path.stat().st_size

    def get(self, digest: str) -> bytes:
        try:
            data = (self.folder / digest).read_bytes()
        except FileNotFoundError:
            raise BlobNotFound(f"{digest} is not in this home") from None
        if digest != "sha256:" + hashlib.sha256(data).hexdigest():
            raise Damaged([f"blob {digest}: the bytes kept are not those of the digest"])
        return data

    def stage(self, digest: str, target: Path, *, executable: bool = False) -> None:
        data = self.get(digest)
        with target.open("xb") as file:
            file.write(data)
        target.chmod(0o555 if executable else 0o444)

    def has(self, digest: str) -> bool:
        return (self.folder / digest).exists()

    def size(self, digest: str) -> int:
        return (self.folder / digest).stat().st_size


class ProcessRig:
    """One home. `secrets` are what its engine's environment provides."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.blobs = FolderBlobs(folder / "blobs")
        self.environ = dict(ENVIRON)
        self.settings = ProcessSettings(keeper=("idle=0.2",), **settings)

    @classmethod
    def again(cls, folder: Path) -> Self:
        """The same home, for an engine in another process."""
        rig = cls.__new__(cls)
        rig.home, rig.outside = folder / "home", folder / "outside"
        rig.blobs = FolderBlobs(folder / "blobs")
        rig.environ = dict(os.environ)
        rig.settings = ProcessSettings(keeper=("idle=0.2",))
        return rig

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until the keeper has left, and remove what lies outside the home."""
        named = self.home / "keeper"
        if named.exists():
            socket = Path(named.read_text().strip())
            _until_free(socket.with_name(f"{socket.name}.lock"))
            shutil.rmtree(socket.parent, ignore_errors=True)

    # --- attempts ----------------------------------------------------------------------------------

    def shell(self, line: str, **fields: Any) -> Attempt:
        """An attempt that runs a line of bash."""
        return self.attempt_of(("bash", "-euo", "pipefail", "-c", line), **fields)

    def attempt_of(self, argv: tuple[str, ...], **fields: Any) -> Attempt:
        plain: dict[str, Any] = {
            "id": to_text(os.urandom(16)),  # not a counter: the mark must be unique on the machine
            "run": "0" + "R" * 25,
            "key": "step",
            "number": 1,
            "variables": {},
            "environment": {},
        }
        return Attempt(argv=argv, **(plain | fields))

    def attempt(self, kind: str) -> Attempt:
        if kind == "absent":
            return self.attempt_of(("no-such-command",))
        attempt = self.shell("true")
        lines = {
            "ok": "echo made > out.txt; echo n=7 >> $RUNNOTARY_OUTPUT; echo hello",
            "fails": "echo hello; exit 3",
            "sleeps": "sleep 1000",
        }
        line = f"echo x >> {self.outside}/{attempt.id}; {lines[kind]}"
        return self.shell(line, id=attempt.id, files=("out.txt",), values={"n": "integer"})

    def starts(self, attempt: Attempt) -> int:
        marks = self.outside / attempt.id
        return len(marks.read_text().splitlines()) if marks.exists() else 0

    def file(self, data: bytes, name: str) -> dict[str, Any]:
        """A content in the form in which it stands in variables."""
        return {"$file": self.blobs.put(data), "name": name, "size": len(data)}

    def code(self, data: bytes, name: str) -> File:
        return File(self.blobs.put(data), len(data), name)

    # --- engines -----------------------------------------------------------------------------------

    def executor(self, secrets: Callable[[str], str] | None = None) -> ProcessExecutor:
        provider = secrets or Secrets(self.environ)
        return ProcessExecutor(self.home, self.blobs, provider, environ=self.environ, settings=self.settings)

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Driver]:
        executor = self.executor()
        try:
            yield Driver(executor)
        finally:
            await executor.close()

    # --- looking -----------------------------------------------------------------------------------

    def folder(self, attempt: Attempt) -> Path:
        return self.home / "attempts" / attempt.id

    def record(self, attempt: Attempt) -> attempt_record.Record:
        return attempt_record.read(self.folder(attempt) / "record")

    def strays(self, attempt: Attempt) -> list[int]:
        """Every process that carries the mark of the attempt."""
        return [
            pid
            for pid, process in containment.table().items()
            if not process.dead and containment.mark_of(pid) == attempt.id
        ]


def _until_free(lock: Path) -> None:
    """Wait until no keeper holds the lock; not for ever, a test may have broken something."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and lock.exists():
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
            else:
                return
