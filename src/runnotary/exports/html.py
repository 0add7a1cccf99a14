"""`html`: a run as one page to read and to print. It needs nothing else, holds no script and asks nobody.

Rules of this file:

1. Autoescape is on, and `_printed` spells out every letter that a reader could not see.
2. The policy in the page's head allows one thing: the style sheet in it, by its hash.
3. Every part has a largest size; what is left out is counted on the page. A bundle has all.
4. The page says what it does not prove.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib import resources
from itertools import islice
from typing import Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from runnotary.core import chain, notes, words
from runnotary.core.chain import Recorded
from runnotary.core.events import CODES, NAMES, StreamErased
from runnotary.core.lineage_words import words as origins
from runnotary.core.telling import told
from runnotary.core.times import from_text, maybe
from runnotary.exports.identifiers import home_of
from runnotary.exports.material import Material

Json = Any
TASKS_MAX: Final = 1_000
EVENTS_MAX: Final = 5_000
TEXT_MAX: Final = 2_000
ROWS_MAX: Final = 1_000
TAIL_LINES: Final = 12
TAIL_BYTES: Final = 8_192
_NAMES: Final = {code: NAMES[kind] for kind, (code, _) in CODES.items()}


def make(material: Material) -> bytes:
    """Return the page.

    Raises:
        Damaged: a log that it shows the end of is not what its digest says.
    """
    template = _environment().get_template("run.html")
    lineage = origins(material.flow, material.run, material.tasks)
    return template.render(
        run=material.run,
        tasks=material.tasks[:TASKS_MAX],
        left_out=max(0, len(material.tasks) - TASKS_MAX),
        counts=_counts(material.tasks),
        code=sorted(material.flow.code.items())[:ROWS_MAX],
        unlisted=max(0, len(material.flow.code) - ROWS_MAX),
        lineage=lineage[:ROWS_MAX],
        untold=max(0, len(lineage) - ROWS_MAX),
        events=islice(_events(material), EVENTS_MAX),
        unseen=max(0, len(material.events) - EVENTS_MAX),
        checkpoint=_checkpoint(material),
        doubts=list(_doubts(material)),
        end_of=lambda log: _end_of(material, log),
        home=home_of(material),
        release=material.engine_version,
    ).encode()


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("runnotary.exports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = resources.files("runnotary.exports").joinpath("templates", "run.css").read_text()
    found.globals["style"] = Markup(style)
    found.globals["policy"] = b64encode(sha256(style.encode()).digest()).decode()
    found.filters |= {"moment": _moment, "took": _took, "size": _size, "value": _value, "listed": _listed}
    return found


# --- how things are written ------------------------------------------------------------------------


def _printed(value: object) -> object:
    """Spell out what would not show; lines stay lines. What the style sheet says is ours."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(words.visible(line.replace("\t", "    ")) for line in value.split("\n"))
    return value


def _moment(time: str | None) -> str:
    return f"{time[:10]} {time[11:26]} UTC" if time else "–"


def _took(told: Json) -> str:
    began, ended = told.get("started_at"), told.get("ended_at")
    return words.brief(from_text(ended) - from_text(began)) if began and ended else "–"


def _size(count: int) -> str:
    return words.plural(count, "byte")


def _value(given: Json) -> str:
    """Write a value that is no file."""
    text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]} … {len(text) - TEXT_MAX:,} more characters"


def _listed(values: dict[str, Json] | None) -> list[Json]:
    """Return named values as rows, one for each file: the file's name, size and digest, or the value."""
    rows = []
    for name, given in (values or {}).items():
        some = given if isinstance(given, list) and given else [given]
        if all(words.is_file(one) or _is_made(one) for one in some):
            rows += [
                {"name": name, "file": one["name"], "size": one["size"], "digest": _digest(one)}
                for one in some
            ]
        else:
            rows.append({"name": name, "value": _value(given)})
    if len(rows) > ROWS_MAX:
        left_out = {"name": "…", "value": f"{len(rows) - ROWS_MAX:,} more are left out of this page"}
        return [*rows[:ROWS_MAX], left_out]
    return rows


def _is_made(value: Json) -> bool:
    """Tell whether this is an output of an attempt."""
    return isinstance(value, dict) and value.keys() == {"blob", "size", "name", "tree"}


def _digest(file: Json) -> str:
    return words.blob_of(file) if words.is_file(file) else str(file["blob"])


# --- what the page tells ---------------------------------------------------------------------------


def _counts(tasks: list[Json]) -> str:
    counts: dict[str, int] = {}
    for task in tasks:
        counts[task["status"]] = counts.get(task["status"], 0) + 1
    return ", ".join(f"{count:,} {status}" for status, count in counts.items())


def _events(material: Material) -> Iterator[Json]:
    """Yield every event: when, what, by whom, in words. Of one that was erased, when, and by whom."""
    known = {entry.seq: entry for entry in material.history}
    erased = _erased(material)
    for stored in material.events:
        entry = known.get(stored.seq)
        if entry is not None:
            yield _event(material, entry)
            continue
        envelope = chain.unpack(stored.envelope)
        said = erased.get(stored.seq, "what it said was erased")
        name = _NAMES.get(envelope.code, "event")
        yield {"seq": stored.seq, "at": maybe(envelope.at), "name": name, "by": "", "said": said}


def _erased(material: Material) -> dict[int, str]:
    """Return of each erased event by whom and why, as far as the tombstones say so."""
    said: dict[int, str] = {}
    for one in material.tombstones:
        event = chain.opened(one.seq, one.envelopes[one.seq - one.row.from_seq], one.body).event
        if isinstance(event, StreamErased):
            why = f": {event.reason}" if event.reason else ""
            words_of_it = f"what it said was erased by {event.by.principal}{why}"
            said |= dict.fromkeys(event.seqs or range(1, event.length + 1), words_of_it)
    return said


def _event(material: Material, entry: Recorded) -> Json:
    by = getattr(entry.event, "by", None)
    said = [str(one) for one in told(entry, material.flow)]
    reason = getattr(entry.event, "reason", "")
    if by is not None and reason and not any(reason in one for one in said):
        said.append(f"reason: {reason}")
    return {
        "seq": entry.seq,
        "at": maybe(entry.at),
        "name": NAMES[type(entry.event)],
        "by": f"{by.principal} ({by.auth})" if by and by.auth else by.principal if by else "",
        "said": "; ".join(said),
    }


def _checkpoint(material: Material) -> Json:
    note = notes.read_note(material.checkpoint)
    return {
        "text": material.checkpoint,
        "size": notes.read_checkpoint(note.text).size,
        "witnesses": [one.name for one in note.signatures[1:]],
        "key": material.public_key,
        "row": material.rows[-1].pos if material.rows else 0,
    }


def _end_of(material: Material, log: Json) -> str:
    """Return the last lines of what an attempt printed."""
    if not log or not log["blob"]:
        return ""
    if not material.has_blob(log["blob"]):
        return "(the home keeps this output no more)"
    text = material.blob(log["blob"])[-TAIL_BYTES:].decode("utf-8", "replace")
    return "\n".join(text.rstrip("\n").split("\n")[-TAIL_LINES:])


def _doubts(material: Material) -> Iterator[str]:
    """Yield what nobody can conclude from this page."""
    run = material.run
    yield (
        "This page proves nothing by itself: it is text, and anybody can change it. A bundle of the same run "
        f"can be checked with the public key alone: runnotary run export {run['id']} --format bundle."
    )
    if len(notes.read_note(material.checkpoint).signatures) < 2:
        yield (
            "No witness signed the checkpoint: whoever holds the key of the home could have written all of "
            "this anew before anybody outside kept a checkpoint."
        )
    yield "Times are those of the host's clock. No time stamping service confirmed them."
    yield (
        "The record says what was executed and which bytes went in and came out. Whether they are right, "
        "it cannot say; nor what a step did outside of its files, values and output."
    )
    if run["ended_at"] is None:
        yield "The run was not over when this page was made."
    if material.tombstones:
        yield "Parts of the record were erased on purpose; the log says which, and that it was done."
    if any(log and log["truncated"] for log in _logs(material.tasks)):
        yield "Of some output only the beginning and the end were kept; its digest is of all of it."
    if any(log and log["blob"] and not material.has_blob(log["blob"]) for log in _logs(material.tasks)):
        yield "Some output is no more in the home; its digest is."


def _logs(tasks: list[Json]) -> Iterator[Json]:
    for task in tasks:
        for attempt in task["attempts"]:
            yield from (attempt.get("stdout"), attempt.get("stderr"))
