"""Checks a bundle: the record of one run as one file. Needs Python 3.11 and `cryptography`, nothing else.

    python verify.py BUNDLE [--key KEY] [--witness KEY] [--json]

The `verify.py` in a bundle is this file and the three that it imports, in one (`bundle_program.py`);
`runnotary verify BUNDLE` is the same code. What is checked, in this order:

    the file      is a zip of one form only: made again from its members it is the same, byte for byte
    MANIFEST      names every member with its digest, and the key signed it
    the chain     every event by its hash, up to the head that the log has for this run
    the log       that head is an entry of a Merkle tree, whose size and root the same key signed
    the rest      every blob that the events name is here; run.json and tasks.json say what the events say
    the key       is the one that whoever checks trusts, or that one vouches for it

Nothing is unpacked to the disk. The first thing wrong ends it: what comes after would say nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import struct
import sys
from base64 import b64decode
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

from runnotary.exports.bundle_keys import (
    Key,
    NoKey,
    Note,
    check_inclusion,
    event_hash,
    id_text,
    key_of,
    leaf_hash,
    note_of,
    time_text,
    unsealed,
)
from runnotary.exports.bundle_record import (
    AFTERWARDS,
    RUN_CREATED,
    RUN_FINISHED,
    STREAM_ERASED,
    TASK_STARTED,
    Event,
    closure,
    run_of,
    tasks_of,
    written,
)
from runnotary.exports.bundle_zip import (
    BLOB,
    EVENTS,
    KEY,
    KEYS,
    LOG,
    MANIFEST,
    NEEDED,
    PROOF,
    REPORT,
    RUN,
    TASKS,
    TOMBSTONES,
    Refused,
    Zip,
    blob_name,
    parsed,
    shown,
)

Json = Any
FORM: Final = "runnotary.bundle1"


@dataclass
class Report:
    """What was checked and counted, what nothing proves, and what is wrong."""

    run: str = ""
    checked: dict[str, Json] = field(default_factory=dict)
    not_proven: list[str] = field(default_factory=list)
    wrong: str = ""

    @property
    def ok(self) -> bool:
        return not self.wrong

    @property
    def parts(self) -> list[str]:
        """What was checked, in words."""
        known = self.checked
        words = ["definition"] if "definition" in known else []
        words += [f"code {counted(known['code'], 'file')}"] if known.get("code") else []
        words += [
            counted(known[one], one.removesuffix("s")) for one in ("events", "attempts") if one in known
        ]
        words += [f"{known['blobs']:,}/{counted(known['blobs'], 'blob')}"] if "blobs" in known else []
        words += [f"checkpoint {known['checkpoint']:,}, key {known['key']}"] if "checkpoint" in known else []
        return words + [f"witness {one}" for one in known.get("witnesses", ())]

    def __str__(self) -> str:
        lines = ["  ".join(f"✓ {part}" for part in self.parts)] if self.parts else []
        lines += [f"! {said}" for said in self.not_proven]
        lines += [f"✗ {self.wrong}"] if self.wrong else []
        return "\n".join([*lines, "verify: ok" if self.ok else "verify: FAILED"])


def verify(file: BinaryIO, key: Key | None = None, witnesses: Sequence[Key] = ()) -> Report:
    """Check a bundle; `key` is the one that whoever checks trusts, and `witnesses` are those they know.

    Raises:
        OSError: the file cannot be read, or not from any place; that says nothing about the bundle.
    """
    report = Report()
    try:
        _Check(Zip(file), report).all(key, witnesses)
    except Refused as wrong:
        report.wrong = str(wrong)
    except OSError:  # of a pipe, also a ValueError
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, struct.error) as wrong:
        report.wrong = f"a member has not the form that it should have: {shown(repr(wrong))}"
    except RecursionError:
        report.wrong = "a member is nested too deeply"
    return report


class _Check:
    """One check of one bundle."""

    def __init__(self, bundle: Zip, report: Report) -> None:
        self._zip: Final = bundle
        self._report: Final = report
        self._events: Final[list[Event]] = []
        self._missing: Final[set[int]] = set()
        self._rows: Final[list[tuple[int, int]]] = []
        """The log's rows of this run: position, and the event that each ends with."""

    def all(self, pinned: Key | None, witnesses: Sequence[Key]) -> None:
        key = key_of(self._zip.read(KEY).decode())
        run = self._manifest(key)
        self._report.run = id_text(run)
        stream = b"\1" + run
        head = self._chain(stream)
        note, size, root = self._checkpoint(key, leaf_hash(stream, len(self._events), head))
        self._report.checked |= {"checkpoint": size, "key": key.name}
        self._erased(size, root)
        self._blobs()
        said = run_of(run, self._events, f"sha256:{head.hex()}")
        for name, document in ((RUN, said), (TASKS, tasks_of(self._events))):
            if self._zip.member(name).digest != f"sha256:{sha256(written(document)).hexdigest()}":
                raise Refused(f"{name} does not say what the events say")
        self._trust(key, pinned)
        self._limits(pinned, note, witnesses)

    # --- the file ----------------------------------------------------------------------------------

    def _manifest(self, key: Key) -> bytes:
        """Check the manifest, and every member against it; return the id of the run."""
        note = note_of(self._zip.read(MANIFEST).decode(), MANIFEST)
        form, run, *lines = note.text.splitlines()
        if form != FORM:
            raise Refused(f"MANIFEST does not begin with {FORM}: another release wrote this bundle")
        if not note.by(key) or len(note.signatures) != 1:
            raise Refused(f"MANIFEST was not signed by the key in {KEY}, or was changed")
        listed: dict[str, list[str]] = {}
        for line in lines:
            digest, size, name = line.split(" ")
            if name in listed:
                raise Refused(f"MANIFEST names {shown(name)} twice")
            listed[name] = [digest, size]
        self._compare(listed)
        raw = bytes.fromhex(run.removeprefix("run "))
        if run != f"run {raw.hex()}" or len(raw) != 16:
            raise Refused(f"{MANIFEST} names no run")
        return raw

    def _compare(self, listed: dict[str, list[str]]) -> None:
        """Check that the members are those of the manifest, and no others."""
        for name in sorted((NEEDED | listed.keys()) - {MANIFEST}):
            member = self._zip.member(name)
            if listed.get(name) != [member.digest, str(member.size)]:
                raise Refused(f"{name} is not what MANIFEST says")
        for name, member in self._zip.members.items():
            if name not in listed and name != MANIFEST:
                raise Refused(f"{name} is there, and MANIFEST does not name it")
            if BLOB.fullmatch(name) and name != blob_name(member.digest):
                raise Refused(f"{name} holds other bytes than its name says")

    # --- the record --------------------------------------------------------------------------------

    def _chain(self, stream: bytes) -> bytes:
        """Check every event, and every row of the log; return the head of the stream."""
        rows = {row["seq"]: row for row in self._zip.lines(LOG)}
        prev, last_at, covered, last_pos = bytes(32), 0, 0, 0
        for seq, line in enumerate(self._zip.lines(EVENTS), start=1):
            envelope = bytes.fromhex(line["envelope"])
            event = self._event(seq, envelope, line)
            if line["seq"] != seq or event.at < last_at:
                raise Refused(f"event {seq} is missing, or does not stand in its place")
            prev, last_at = event_hash(stream, seq, prev, envelope), event.at
            self._events.append(event)
            row = rows.pop(seq, None)
            if row is not None:
                if (row["head"], row["from_seq"]) != (prev.hex(), covered + 1) or row["pos"] <= last_pos:
                    raise Refused(f"event {seq}: the log has another head here than the chain")
                covered, last_pos = seq, row["pos"]
                self._rows.append((last_pos, seq))
        if rows or not covered or covered != len(self._events):
            raise Refused(f"the log does not cover {len(self._events)} events, but {covered}")
        self._whole([event.code for event in self._events])
        return prev

    def _event(self, seq: int, envelope: bytes, line: Json) -> Event:
        at, code, digest = unsealed(envelope)
        if line["body"] is None:
            self._missing.add(seq)
            return Event(seq, at, code, {})
        data = line["body"].encode()
        if sha256(bytes.fromhex(line["nonce"]) + data).digest() != digest:
            raise Refused(f"event {seq} was changed: its body is not that of its envelope")
        body = parsed(data, f"event {seq}")
        return Event(seq, at, code, {**body})

    def _whole(self, codes: list[int]) -> None:
        """Check that these are the events of one run, from its beginning to its end."""
        ends = codes.count(RUN_FINISHED)
        if codes[0] != RUN_CREATED or ends != 1 or set(codes[codes.index(RUN_FINISHED) + 1 :]) - AFTERWARDS:
            raise Refused("the events are not those of one run from its beginning to its end")
        self._report.checked |= {"events": len(codes), "attempts": codes.count(TASK_STARTED)}

    def _checkpoint(self, key: Key, leaf: bytes) -> tuple[Note, int, bytes]:
        """Check that the run's head is in the log that was signed; return the note, size and root."""
        proof, _, text = self._zip.read(PROOF).decode().partition("\n\n")
        note = note_of(text, PROOF)
        form, index, *path = proof.split("\n")
        _, size_text, root_text = note.text.removesuffix("\n").split("\n")
        size, root = int(size_text), b64decode(root_text, validate=True)
        place = self._rows[-1][0] - 1
        if (form, index) != ("c2sp.org/tlog-proof@v1", f"index {place}"):
            raise Refused(f"{PROOF} is the proof of something else")
        if not note.by(key):
            raise Refused(f"the checkpoint was not signed by the key in {KEY}, or was changed")
        check_inclusion(leaf, place, size, [b64decode(one, validate=True) for one in path], root)
        return note, size, root

    def _erased(self, size: int, root: bytes) -> None:
        """Check that a tombstone in the same log explains every body that is not here."""
        missing = set(self._missing)
        stones = self._zip.lines(TOMBSTONES) if missing or TOMBSTONES in self._zip.members else ()
        for stone in stones:
            body = self._tombstone(stone, size, root)
            said = range(1, body["length"] + 1) if body.get("bodies") else body.get("seqs", ())
            gone = {seq for seq in missing if seq in said and self._position(seq) < stone["pos"]}
            missing -= gone
            by, why = body["by"]["principal"], body.get("reason") or "no reason given"
            what = f"what {counted(len(gone), 'event')} said: erased by {shown(by)}: {shown(why)}"
            self._report.not_proven.append(what)
        if missing:
            raise Refused(f"event {min(missing)}: its body is missing, and nothing says that it was erased")

    def _tombstone(self, stone: Json, size: int, root: bytes) -> Json:
        """Check a tombstone: part of a ledger that is in the log; return what it says."""
        ledger, prev, first = bytes.fromhex(stone["stream"]), bytes.fromhex(stone["prev"]), stone["from_seq"]
        envelopes = [bytes.fromhex(one) for one in stone["envelopes"]]
        for seq, envelope in enumerate(envelopes, start=first):
            prev = event_hash(ledger, seq, prev, envelope)
        leaf = leaf_hash(ledger, first + len(envelopes) - 1, prev)
        check_inclusion(leaf, stone["pos"] - 1, size, [bytes.fromhex(one) for one in stone["path"]], root)
        place = range(first, first + len(envelopes)).index(stone["seq"])
        _, code, digest = unsealed(envelopes[place])
        data = stone["body"].encode()
        whole = sha256(bytes.fromhex(stone["nonce"]) + data).digest() == digest
        body = parsed(data, "a tombstone")
        if not whole or (ledger[:1], code) != (b"\3", STREAM_ERASED):
            raise Refused("a tombstone is not what the log says")
        if body["stream"] != f"run/{self._report.run}":
            raise Refused("a tombstone is of another run")
        return body

    def _position(self, seq: int) -> int:
        return self._rows[bisect_left(self._rows, seq, key=lambda row: row[1])][0]

    def _blobs(self) -> None:
        """Check that the blobs that the events name are here, and no others."""
        digests = closure(self._events, lambda digest: self._zip.read(blob_name(digest)))
        names = {blob_name(digest) for digest in digests}
        there = {name for name in self._zip.members if BLOB.fullmatch(name)}
        for name in sorted(names - there):
            raise Refused(f"{shown(name)} is missing, and the events name it")
        for name in sorted(there - names):
            raise Refused(f"{name} is there, and nothing in the events names it")
        definition = self._events[0].body.get("definition")
        if definition:
            code = parsed(self._zip.read(blob_name(definition)), definition).get("code", {})
            self._report.checked |= {"definition": definition, "code": len(code)}
        self._report.checked["blobs"] = len(names)

    # --- whose word it is ----------------------------------------------------------------------------

    def _trust(self, key: Key, pinned: Key | None) -> None:
        """Check that the key that is trusted is the bundle's, or vouches for it over those between."""
        lines = list(self._zip.lines(KEYS))
        ring = [key_of(line["key"]) for line in lines]
        if not ring or ring[-1] != key:
            raise Refused(f"{KEYS} does not end with the key in {KEY}")
        here = len(ring) - 1
        while pinned is not None and ring[here].public != pinned.public:
            if not here or not ring[here - 1].endorses(ring[here], lines[here]["endorsed"]):
                raise Refused(f"the bundle was signed with {key.text}: the key given does not vouch for it")
            here -= 1
        gone = [one.text for one, line in zip(ring[here:], lines[here:], strict=True) if line["revoked"]]
        if pinned is not None and gone:
            raise Refused(f"{gone[0]} was revoked by its owner, and vouches for no key: {key.text} signed")

    def _limits(self, pinned: Key | None, note: Note, witnesses: Sequence[Key]) -> None:
        """Say what nothing here proves."""
        unproven = self._report.not_proven
        if pinned is None:
            unproven.append("key: from the bundle, unproven")
        seen = {one.name: at for one in witnesses if (at := note.witnessed(one))}
        if seen:
            times = [f"{name} {time_text(at * 1_000_000)}" for name, at in seen.items()]
            self._report.checked["witnesses"] = times
        else:
            unproven.append("witness none: the key holder could have rewritten everything")
        unproven.append("time: host clock only")
        if REPORT in self._zip.members:
            unproven.append(f"{REPORT}: signed, not compared with the events")


def counted(count: int, noun: str) -> str:
    """Write a count of things."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def main(argv: Sequence[str]) -> int:
    """Check a bundle; 0 if it holds, 10 if not, 2 if it, or a key, cannot be read."""
    parser = argparse.ArgumentParser("verify.py", description="Check the record of one run.")
    parser.add_argument("bundle")
    parser.add_argument("--key", metavar="KEY", help="the public key that you trust, or a file with it")
    parser.add_argument("--witness", metavar="KEY", action="append", default=[], help="the key of a witness")
    parser.add_argument("--json", action="store_true", help="answer with a document")
    args = parser.parse_args(argv)
    try:
        key = None if args.key is None else key_of(_text(args.key))
        witnesses = [key_of(_text(one)) for one in args.witness]
        with Path(args.bundle).open("rb") as file:
            report = verify(file, key, witnesses)
    except (OSError, NoKey, UnicodeError) as wrong:
        sys.stderr.write(f"verify.py: {wrong}\n")
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no ✓
    document = {"ok": report.ok, **vars(report)}
    sys.stdout.write(f"{json.dumps(document) if args.json else report}\n")
    return 0 if report.ok else 10


def _text(key: str) -> str:
    return Path(key).read_text(encoding="utf-8") if os.path.exists(key) else key


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
