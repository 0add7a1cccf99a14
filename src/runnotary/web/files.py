"""`/runs/{id}/files/…`: a file as text, and what stands in a folder.

Rules of this file:

1. A path in a folder is looked up in its manifest, never on a disk; what no manifest names is not there.
2. What a step wrote is read to `TEXT_MAX` and shown as text; its bytes are the API's to give, as a download.
"""

from __future__ import annotations

from typing import Any, Final

from runnotary.core.hashing import is_digest
from runnotary.core.trees import Entry
from runnotary.engine.questions import Bytes
from runnotary.web import addresses, shown
from runnotary.web.answers import Answer
from runnotary.web.run_page import shown_files
from runnotary.web.visit import Visit

Json = Any
TEXT_MAX: Final = 256 * 1024
ENTRIES_SHOWN: Final = 1_000
UNREADABLE: Final = "\ufffd"


def file(visit: Visit) -> Answer:
    """Show a file of a run, a folder, or a file in one."""
    who, asked = visit.known(), visit.asked
    document = visit.operations.run(who, asked.params["run"])
    blob, path = asked.params["blob"], asked.params.get("path", "")
    found = visit.operations.file(who, document["id"], f"{blob}/{path}" if path else blob)
    if path and is_digest(blob):
        return _file(visit, document, found, path, folder=blob)
    name = _name(visit, document, found.digest, found.name)
    entries = visit.operations.folder(who, document["id"], found.digest)
    if entries is not None:
        return _folder(visit, document, found.digest, name, entries)
    return _file(visit, document, found, name)


def _name(visit: Visit, document: Json, digest: str, otherwise: str) -> str:
    """Return what a run calls a file or a folder."""
    files = visit.operations.files(visit.known(), document["id"])["files"]
    return next((one["path"] for one in shown_files(files) if one["blob"] == digest), otherwise)


def _folder(visit: Visit, document: Json, digest: str, name: str, entries: list[Entry]) -> Answer:
    listed = [
        {
            "path": one.path,
            "size": one.size,
            "blob": one.blob,
            "address": addresses.of_file(document["id"], digest, one.path),
        }
        for one in entries[:ENTRIES_SHOWN]
    ]
    return visit.page(
        "folder.html",
        run=document,
        flow_address=addresses.of_flow(document["flow"], document["namespace"]),
        name=name,
        digest=digest,
        count=len(entries),
        size=sum(one.size for one in entries),
        entries=listed,
        more=len(entries) - len(listed),
    )


def _file(visit: Visit, document: Json, found: Bytes, name: str, folder: str = "") -> Answer:
    """Show a file; `name` is its path if it stands in a folder."""
    run_id, size = document["id"], visit.operations.reader.blobs.size(found.digest)
    above = None
    address = addresses.of_bytes(run_id, found.digest)
    if folder:
        above = {
            "name": _name(visit, document, folder, "folder"),
            "address": addresses.of_file(run_id, folder),
        }
        address = addresses.of_bytes(run_id, folder, name)
    return visit.page(
        "file.html",
        run=document,
        flow_address=addresses.of_flow(document["flow"], document["namespace"]),
        folder=above,
        name=name,
        file_name=found.name,
        digest=found.digest,
        size=size,
        text=_text(_beginning(visit, found)),
        left_out=max(0, size - TEXT_MAX),
        address=address,
    )


def _beginning(visit: Visit, found: Bytes) -> bytes:
    if found.path is None:
        return visit.operations.reader.blobs.get(found.digest)[:TEXT_MAX]
    with found.path.open("rb") as content:
        return content.read(TEXT_MAX)


def _text(data: bytes) -> str | None:
    """Return bytes as text, its longest lines cut; None for what is no text."""
    text = data.decode("utf-8", "replace")
    if "\0" in text or text.count(UNREADABLE) > len(text) // 20 + 4:
        return None
    return "\n".join(shown.cut(line.rstrip("\r"), shown.LINE_WIDTH) for line in text.split("\n"))
