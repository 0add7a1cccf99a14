"""`ro-crate`: a run as a Provenance Run Crate 0.5, one zip with its files, definition, code and logs.

The metadata is JSON-LD for RO-Crate 1.1, written from the record by `ro_crate_actions.py`; the profiles are
https://w3id.org/ro/wfrun/provenance/0.5 and those it stands on. One record gives one crate, byte for byte. A
run none of whose steps was carried out is a Workflow Run Crate: it has no provenance of steps.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from runnotary.core.words import visible
from runnotary.exports.identifiers import home_of, home_uri
from runnotary.exports.material import Material
from runnotary.exports.ro_crate_actions import WORKFLOW, Actions, moment
from runnotary.exports.ro_crate_files import Entity, Files, Member, reference, scalar

CONTEXT: Final = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
DESCRIPTOR: Final = "ro-crate-metadata.json"
CRATE: Final = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE: Final = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES: Final = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
PROVENANCE: Final = "https://w3id.org/ro/wfrun/provenance/0.5"
BIOSCHEMAS: Final = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
LANGUAGE: Final = "#runnotary-flow"
LICENCE: Final = "#licence"
FIXED_TIME: Final = (1980, 1, 1, 0, 0, 0)
MODE: Final = 0o644 << 16
FOLDER_MODE: Final = (0o755 << 16) | 0x10


def make(material: Material) -> Iterator[bytes]:
    """Return the zip in pieces; large files are never in memory as a whole.

    Raises:
        Damaged: the definition or the manifest of a folder is not what its digest says.
    """
    files = Files(material)
    _put_texts(material, files)
    actions = Actions(material, files)
    actions.tell()
    _put_definition(material, files, actions)
    root = _root(material, files, actions)
    metadata = {"@context": CONTEXT, "@graph": [_descriptor(), root, *files.entities.values()]}
    text = msgspec.json.format(msgspec.json.encode(_without_nothing(metadata)), indent=1)
    return _zipped([Member(DESCRIPTOR, data=text), *files.members.values()], files)


def _put_texts(material: Material, files: Files) -> None:
    readme = _readme(material).encode()
    files.text("README.md", readme, "README.md", "text/markdown", about=reference("./"))
    for name, value, what in (
        ("run.json", material.run, "The run as Runnotary tells it, with times in microseconds."),
        ("tasks.json", material.tasks, "Its tasks with every attempt and its evidence."),
    ):
        data = msgspec.json.format(msgspec.json.encode(value), indent=1)
        files.text(name, data, name, "application/json", description=what, about=reference("#run"))


def _put_definition(material: Material, files: Files, actions: Actions) -> None:
    run = material.run
    for path, file in sorted(material.flow.code.items()):
        files.blob("code/", path, file.blob, isPartOf=reference(WORKFLOW))
    workflow = files.blob("", WORKFLOW, run["definition_hash"])
    workflow |= {
        "@type": [
            "File",
            "SoftwareSourceCode",
            "ComputationalWorkflow",
            *(["HowTo"] if actions.steps else []),
        ],
        "name": run["flow_title"] or run["flow"] or "A flow without a name",
        "description": run["flow_description"] or f"The definition {run['definition_hash']}.",
        "encodingFormat": "application/json",
        "version": run["definition_hash"],
        "url": f"urn:runnotary:definition:{run['definition_hash']}",
        "conformsTo": reference(BIOSCHEMAS),
        "programmingLanguage": reference(LANGUAGE),
        "input": actions.parameters(WORKFLOW, "in"),
        "output": actions.parameters(WORKFLOW, "out"),
        "hasPart": scalar(reference(one) for one in actions.tools),
        "step": scalar(reference(one) for one in actions.steps),
        "license": reference(LICENCE),
        "creator": reference(actions.agent),
        "sdPublisher": reference(home_uri(material)),
    }
    files.add(
        {
            "@id": LANGUAGE,
            "@type": "ComputerLanguage",
            "name": "Runnotary flow",
            "description": "The canonical JSON of a flow of Runnotary.",
            "url": reference(actions.engine),
        }
    )


def _root(material: Material, files: Files, actions: Actions) -> Entity:
    run = material.run
    profiles = [at for at in PROFILES if actions.steps or at != PROVENANCE]
    for at in profiles:
        name, version = PROFILES[at]
        files.add({"@id": at, "@type": "CreativeWork", "name": name, "version": version})
    files.add(
        {
            "@id": LICENCE,
            "@type": "CreativeWork",
            "name": "No licence stated",
            "description": "The record of the run names no licence. Ask whoever owns the run.",
        }
    )
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": _title(material),
        "description": f"One run, what it took and made, and what happened in it: {run['status']}.",
        "identifier": run["id"],
        "datePublished": moment(run["ended_at"] or run["created_at"]),
        "license": reference(LICENCE),
        "author": reference(actions.agent),
        "publisher": reference(home_uri(material)),
        "conformsTo": scalar(reference(at) for at in profiles),
        "mainEntity": reference(WORKFLOW),
        "hasPart": scalar(reference(at) for at in files.parts),
        "mentions": scalar(reference(one) for one in actions.made),
    }


def _descriptor() -> Entity:
    return {
        "@id": DESCRIPTOR,
        "@type": "CreativeWork",
        "conformsTo": [reference(CRATE), reference(WORKFLOW_CRATE)],
        "about": reference("./"),
    }


def _title(material: Material) -> str:
    run = material.run
    return f"{run['flow'] or 'Unnamed flow'}, run {run['id']}"


def _without_nothing(value: Any) -> Any:
    """Leave out what has no value, and lists of one around it."""
    if isinstance(value, dict):
        return {
            name: _without_nothing(scalar(one) if name == "exampleOfWork" else one)
            for name, one in value.items()
            if one is not None
        }
    return [_without_nothing(one) for one in value] if isinstance(value, list) else value


def _readme(material: Material) -> str:
    run = material.run
    steps = "\n".join(
        f"| {_cell(task['key'])} | {task['status']} | {len(task['attempts'])} |" for task in material.tasks
    )
    return f"""# {_cell(_title(material))}

One run of a flow, as Runnotary {material.engine_version} recorded it: **{run["status"]}**.

- definition: `{run["definition_hash"]}` (`definition.json`)
- started by `{_cell(run["created_by"])}` at {run["created_at"]}, ended at {run["ended_at"] or "–"}
- home: `{home_of(material)}`

| task | status | attempts |
|---|---|---|
{steps}

`ro-crate-metadata.json` says what the files are and how they came about (a Provenance Run Crate 0.5, on
RO-Crate 1.1). `data/` holds what was taken and made, each file below the first letters of its SHA-256;
`logs/` what was printed; `code/` the code of the flow; `run.json` and `tasks.json` all details, with times in
microseconds.

A crate tells; it does not prove. What proves is a bundle of the same run: `runnotary run export {run["id"]}
--format bundle`.
"""


def _cell(text: str) -> str:
    """Return a text that Markdown takes as it is."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>()#+!|~" else letter for letter in visible(text))


# --- the archive -----------------------------------------------------------------------------------


class _Sink(io.RawIOBase):
    """Takes what `zipfile` writes, until it is asked for."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(self._pieces[-1])

    def taken(self) -> bytes:
        data, self._pieces = b"".join(self._pieces), []
        return data


def _zipped(members: list[Member], files: Files) -> Iterator[bytes]:
    """Yield a zip of these members, stored, with fixed times."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            info = zipfile.ZipInfo(member.path, FIXED_TIME)
            info.external_attr = FOLDER_MODE if member.path.endswith("/") else MODE
            info.create_system = 3
            with archive.open(info, "w", force_zip64=True) as target:
                for piece in files.pieces(member):
                    target.write(piece)
                    yield sink.taken()
    yield sink.taken()
