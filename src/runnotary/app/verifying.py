"""Verification of a home: with what the settings know of copies, keys and witnesses, as a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from runnotary.app import stores
from runnotary.config import Settings
from runnotary.core.chain import run_stream
from runnotary.core.errors import Damaged, InvalidInput, TaskNotFound
from runnotary.core.ids import task_id, to_text
from runnotary.core.notes import PublicKey
from runnotary.core.run import split_key
from runnotary.store.keys import public_key_of
from runnotary.store.report import Finding, Report
from runnotary.store.verify import verify, verify_record
from runnotary.store.verify_log import Trust

Json = Any


def checked(
    settings: Settings,
    *,
    run: bytes | None = None,
    task: str = "",
    flow: tuple[str, str] | None = None,
    deep: bool = False,
    record_only: bool = False,
    checkpoint: str | None = None,
) -> Json:
    """Check everything, one run, or the runs of one flow; return the report as a document.

    `task` is a task of the run, by id, key or step; `checkpoint` the text of one that somebody kept. With
    `record_only` everything is the record alone, and what follows from it is left aside.

    Raises:
        RunNotFound, TaskNotFound: there is none.
        InvalidInput: a key of the settings is none.
    """
    trust = trust_of(settings, checkpoint)
    try:
        if record_only:
            report = verify_record(stores.record_of(settings), trust=trust, copies=settings.copies)
        else:
            record = stores.record_of(settings)
            report = verify(record, run=run, flow=flow, deep=deep, trust=trust, copies=settings.copies)
    except Damaged as wrong:  # there is nothing to look at
        findings = tuple(Finding(wrong.code, str(settings.home), said) for said in wrong.findings)
        report = Report(checked={}, findings=findings, more=0, not_proven=())
    document = {"ok": report.ok, "deep": deep, **msgspec.to_builtins(report)}
    if task and run is not None and report.ok:
        document["task"] = _task(settings, run, task)
    return document


def _task(settings: Settings, run: bytes, name: str) -> Json:
    """Return the tasks that a name means, by their keys, with the events of the run that speak of them.

    Raises:
        TaskNotFound: none does.
    """
    events: dict[str, list[int]] = {}
    store = stores.opened_read_only(settings)
    try:
        for record in store.read(run_stream(run), after=1):  # the first has a key of another kind
            key = getattr(record.event, "key", "")
            for one in getattr(record.event, "keys", (key,)):
                if one and name in (one, split_key(one)[0], task_id(run, one)):
                    events.setdefault(one, []).append(record.seq)
    finally:
        store.close()
    if not events:
        raise TaskNotFound(f"run {to_text(run)} has no task {name[:80]}")
    return {"keys": list(events), "events": sorted(seq for found in events.values() for seq in found)}


def trust_of(settings: Settings, checkpoint: str | None = None) -> Trust:
    """Return what the settings know of keys: the one that has to vouch for the record, and witnesses.

    Raises:
        InvalidInput: one is no key.
    """
    known = _key(settings.key, "key") if settings.key else None
    witnesses = tuple(_key(text, "witness_keys") for text in settings.witness_keys.split())
    return Trust(known, witnesses, checkpoint)


def _key(said: str, setting: str) -> PublicKey:
    """Read a public key: a file that holds one, or the text of one."""
    path = Path(said).expanduser()
    try:
        text = path.read_text("utf-8") if path.is_file() else said
        return public_key_of(text, path.stem)
    except (InvalidInput, UnicodeDecodeError, OSError) as wrong:
        why = wrong.message if isinstance(wrong, InvalidInput) else str(wrong)
        raise InvalidInput(
            f"{setting} {said[:200]}: {why}", hint="it is a file, or a text: runnotary key show"
        ) from None
