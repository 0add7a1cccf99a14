"""Bundles of real runs, and what an attacker does with one: takes it apart, changes it, puts it together."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from runnotary.app.exporting import Exporting
from runnotary.app.home import Embedded
from runnotary.config import load
from runnotary.core.ids import from_text, is_id
from runnotary.exports import verifier
from runnotary.exports.bundle_keys import Key, event_hash, key_of, leaf_hash
from runnotary.exports.bundle_zip import Layout
from tests.database import ENVIRON

Json = Any
Members = dict[str, bytes]
T = TypeVar("T")


def in_home(home: Path, work: Callable[[Embedded], Awaitable[T]]) -> T:
    """Do something with a home that nobody else has."""

    async def done() -> T:
        opened = Embedded(load({"home": str(home)}, environ=ENVIRON))
        try:
            return await work(opened)
        finally:
            await opened.close()

    return asyncio.run(done())


def id_of(opened: Embedded, run: str) -> bytes:
    """Return the id of a run that a name means, also of one that was erased."""
    return from_text(run) if is_id(run) else opened.reader.resolve(run).id


def exported(home: Path, *runs: str) -> list[bytes]:
    """Return the bundles of runs, in one go."""

    async def work(opened: Embedded) -> list[bytes]:
        made = []
        for run in runs:
            exporting = Exporting(opened.store, opened.reader)
            export = await exporting.export(id_of(opened, run), "bundle")
            made.append(b"".join(export.pieces))
        return made

    return in_home(home, work)


def checked(data: bytes, key: Key | None = None, witnesses: tuple[Key, ...] = ()) -> verifier.Report:
    """Check a bundle in memory."""
    return verifier.verify(io.BytesIO(data), key, witnesses)


def refused(data: bytes, key: Key | None = None) -> str:
    """Check a bundle that must not hold; return why it does not."""
    report = checked(data, key)
    assert not report.ok
    assert str(report).endswith("verify: FAILED")
    return report.wrong


# --- taken apart and put together --------------------------------------------------------------------


def members_of(data: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(data)) as there:
        return {name: there.read(name) for name in there.namelist()}


def zipped(members: list[tuple[str, bytes]] | Members) -> bytes:
    """Put members together in the form that bundles have, in the order given, whatever they are."""
    layout, out = Layout(), []
    for name, data in members.items() if isinstance(members, dict) else members:
        out += [layout.add(name, zlib.crc32(data), len(data)), data]
    return b"".join([*out, layout.end()])


@dataclass
class Holder:
    """Somebody who holds a private key, the home's or another."""

    name: str
    private: Ed25519PrivateKey

    @classmethod
    def of(cls, home: Path) -> Holder:
        first, _, pem = (home / "log.key").read_text().partition("\n")
        private = load_pem_private_key(pem.encode(), None)
        assert isinstance(private, Ed25519PrivateKey)
        return cls(key_of(first.rpartition(" ")[2]).name, private)

    @classmethod
    def stranger(cls, name: str) -> Holder:
        return cls(name, Ed25519PrivateKey.generate())

    @property
    def key(self) -> Key:
        return Key(self.name, 1, self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def note(self, text: str) -> str:
        """Sign a text as a note."""
        signature = b64encode(self.key.id + self.private.sign(text.encode())).decode()
        return f"{text}\n— {self.name} {signature}\n"

    def resigned(self, members: Members) -> Members:
        """Make the manifest of these members anew, and put all in their places."""
        run = members["MANIFEST"].decode().splitlines()[1]
        rest = {name: data for name, data in members.items() if name != "MANIFEST"}
        lines = [f"sha256:{sha256(rest[name]).hexdigest()} {len(rest[name])} {name}" for name in sorted(rest)]
        text = "\n".join(["runnotary.bundle1", run, *lines, ""])
        whole = {"MANIFEST": self.note(text).encode(), **rest}
        return {name: whole[name] for name in sorted(whole)}

    def history(self, members: Members, change: Callable[[list[Json]], object]) -> bytes:
        """Make the events anew, and a log of one entry over them: what a key holder can always do."""
        run = bytes.fromhex(members["MANIFEST"].decode().splitlines()[1].removeprefix("run "))
        stream, prev, events = b"\1" + run, bytes(32), lines_of(members["events.jsonl"])
        change(events)
        for seq, one in enumerate(events, start=1):
            digest = sha256(bytes.fromhex(one["nonce"]) + one["body"].encode()).hexdigest()
            one |= {"seq": seq, "envelope": one["envelope"][:56] + digest}
            prev = event_hash(stream, seq, prev, bytes.fromhex(one["envelope"]))
        leaf = b64encode(leaf_hash(stream, len(events), prev)).decode()
        made = members | {
            "events.jsonl": lines(events),
            "log.jsonl": lines([{"pos": 1, "from_seq": 1, "seq": len(events), "head": prev.hex()}]),
            "proof.tlog-proof": b"c2sp.org/tlog-proof@v1\nindex 0\n\n"
            + self.note(f"{self.name}\n1\n{leaf}\n").encode(),
        }
        return self.bundle(made)

    def bundle(self, members: Members) -> bytes:
        """Put members together under a manifest that this key signs."""
        return zipped(self.resigned(members))


def lines_of(data: bytes) -> list[Json]:
    return [json.loads(line) for line in data.splitlines()]


def lines(documents: list[Json]) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in documents)
