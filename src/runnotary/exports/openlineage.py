"""`openlineage`: a run and its attempts as run events of OpenLineage 2-0-2, one JSON object per line.

Rules of this file:

1. The run is a run of the job `FLOW`, an attempt one of the job `FLOW.STEP` with the run as its parent; a
   retry is a run of its own. Skipped steps have no events; a run that is skipped has nothing to do: COMPLETE.
2. A dataset is a file by its place in the flow (`FLOW/inputs/NAME`, `FLOW/TASK/FILE`), so that runs of one
   flow are versions of it; its version is the digest, which is the same wherever the bytes are.
3. Events are in the order of their times. What is still going on has a RUNNING event at the newest fact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Final
from urllib.parse import quote

import msgspec

from runnotary.core.lineage import blob_of, files_in
from runnotary.core.times import to_text as time_text
from runnotary.core.words import is_file, visible
from runnotary.exports.identifiers import engine_uri, home_of, uuid
from runnotary.exports.material import Material, began_by_itself

Json = Any
SPEC: Final = "https://openlineage.io/spec"
EVENT: Final = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
ENDS: Final = {"success": "COMPLETE", "skipped": "COMPLETE", "failed": "FAIL", "cancelled": "ABORT"}
SCHEMAS: Final = {
    "parent": "1-2-0/ParentRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
    "executionParameters": "1-0-0/ExecutionParametersRunFacet",
    "run_tags": "1-0-0/TagsRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "sourceCode": "1-0-1/SourceCodeJobFacet",
    "sourceCodeLocation": "1-1-0/SourceCodeLocationJobFacet",
    "documentation": "1-1-0/DocumentationJobFacet",
    "ownership": "1-0-1/OwnershipJobFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "datasetType": "1-0-1/DatasetTypeDatasetFacet",
    "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
}
"""Versions of the facets, by their names in an event; `run_tags` is `tags` of a run."""

REVISION: Final = re.compile("[0-9a-f]{40}")
LANGUAGES: Final = {"sh": "shell", "dash": "shell", "bash": "bash", "zsh": "zsh"}


def make(material: Material) -> bytes:
    """Return the events of a run and of everything in it, a line each."""
    lines = [(event["eventTime"], msgspec.json.encode(event)) for event in _Events(material).all()]
    lines.sort(key=itemgetter(0))
    return b"".join(line + b"\n" for _, line in lines)


class _Events:
    """Makes the events of one run."""

    def __init__(self, material: Material) -> None:
        self._material: Final = material
        self._run: Final = material.run
        self._producer: Final = engine_uri(material.engine_version)
        home = home_of(material).rpartition("/")[2]
        self._namespace: Final = f"runnotary://{home}/{quote(self._run['namespace'])}"
        self._flow: Final = self._run["flow"] or self._run["definition_hash"]
        self._names: Final = self._named()
        self._newest: Final = max((entry.at for entry in material.history), default=0)

    def all(self) -> Iterator[Json]:
        """Yield the events; among those of one time, the run begins first and ends last."""
        run = self._run
        whole = {
            "run": {"runId": uuid(run["id"]), "facets": self._run_facets()},
            "job": {"namespace": self._namespace, "name": self._flow, "facets": self._job_facets()},
        }
        taken = [self._dataset(file) for file in _files(run["inputs"] or {})]
        made = [self._dataset(file, made=True) for file in _files(run["outputs"] or {})]
        began, *rest = self._course(whole, run["created_at"], run, taken, made)
        yield began
        for task in self._material.tasks:
            if began_by_itself(task):
                yield from self._of_attempt(task, task)
            for attempt in task["attempts"]:
                yield from self._of_attempt(task, attempt)
        yield from rest

    def _of_attempt(self, task: Json, attempt: Json) -> Iterator[Json]:
        """Yield the events of an attempt, or of a task that the engine itself carried out."""
        told = {
            "run": {"runId": uuid(attempt["id"]), "facets": {"parent": self._parent(), **self._engine()}},
            "job": {
                "namespace": self._namespace,
                "name": f"{self._flow}.{task['step']}",
                "facets": self._step_facets(task["step"]),
            },
        }
        values = attempt.get("with")
        if values:
            told["run"]["facets"] |= self._parameters(values)
        taken = [self._dataset(file) for file in _files(attempt.get("inputs") or {})]
        made = [self._dataset(file, made=True) for file in (attempt.get("outputs") or {}).values()]
        began = attempt.get("started_at") or attempt.get("intent_at") or attempt["ended_at"]
        yield from self._course(told, began, attempt, taken, made)

    def _course(self, told: Json, began: str, state: Json, taken: Json, made: Json) -> Iterator[Json]:
        """Yield how something began and how it ended, or that it goes on."""
        yield self._event("START", began, told, taken, [])
        end = ENDS.get(state["status"])
        if end is None:
            yield self._event("RUNNING", time_text(self._newest), told, taken, [])
            return
        if end in ("FAIL", "ABORT"):
            facets = told["run"]["facets"] | self._error(state, told["job"]["facets"])
            told = told | {"run": told["run"] | {"facets": facets}}
        yield self._event(end, state["ended_at"], told, taken, made)

    def _event(self, kind: str, at: str, told: Json, taken: Json, made: Json) -> Json:
        return {
            "eventType": kind,
            "eventTime": at,
            **told,
            "inputs": taken,
            "outputs": made,
            "producer": self._producer,
            "schemaURL": EVENT,
        }

    # --- facets ------------------------------------------------------------------------------------

    def _facet(self, name: str, key: str = "", /, **said: Json) -> Json:
        path = SCHEMAS[key or name]
        schema = f"{SPEC}/facets/{path}.json#/$defs/{path.partition('/')[2]}"
        return {name: {"_producer": self._producer, "_schemaURL": schema} | said}

    def _engine(self) -> Json:
        return self._facet(
            "processing_engine",
            version=self._run["engine_version"],
            name="Runnotary",
            openlineageAdapterVersion=self._material.engine_version,
        )

    def _parent(self) -> Json:
        """Return which run an attempt belongs to; the run at the root is named if it is the same."""
        whole = {
            "run": {"runId": uuid(self._run["id"])},
            "job": {"namespace": self._namespace, "name": self._flow},
        }
        root = {"root": whole} if self._run["root_run"] == self._run["id"] else {}
        return self._facet("parent", **whole, **root)["parent"]

    def _run_facets(self) -> Json:
        run = self._run
        values = {name: value for name, value in (run["inputs"] or {}).items() if not _only_files(value)}
        tags = [{"key": tag, "value": "true", "source": "USER"} for tag in run["tags"]]
        tags += [{"key": key, "value": str(value), "source": "USER"} for key, value in run["labels"].items()]
        if run["label"]:
            tags.append({"key": "label", "value": run["label"], "source": "USER"})
        return {
            **self._engine(),
            **(self._parameters(values) if values else {}),
            **(self._facet("tags", "run_tags", tags=tags) if tags else {}),
        }

    def _parameters(self, values: dict[str, Json]) -> Json:
        return self._facet(
            "executionParameters",
            parameters=[{"key": name, "name": name, "value": _text(value)} for name, value in values.items()],
        )

    def _error(self, state: Json, job: Json) -> Json:
        error = state.get("error")
        message = error["message"] if error else state["reason"] or state["status"]
        code = job.get("sourceCode")
        language = code["language"] if code else "Runnotary flow"
        return self._facet("errorMessage", message=visible(message), programmingLanguage=language)

    def _type(self, kind: str) -> Json:
        pattern = {"eventTrigger": "EVENT_BASED", "eventContentMode": "ACCUMULATIVE"}
        return self._facet(
            "jobType",
            processingType="BATCH",
            integration="RUNNOTARY",
            jobType=kind,
            emissionPattern=pattern,
        )

    def _job_facets(self) -> Json:
        run = self._run
        said = "\n\n".join(text for text in (run["flow_title"], run["flow_description"]) if text)
        owner = [{"name": run["owner"] or run["created_by"], "type": "OWNER"}]
        return {
            **self._type("FLOW"),
            **(self._facet("documentation", description=said, contentType="text/plain") if said else {}),
            **self._facet("ownership", owners=owner),
            **self._facet(
                "sourceCode",
                language="Runnotary flow",
                sourceCode=msgspec.json.encode(self._material.definition).decode(),
            ),
            **self._location(),
        }

    def _location(self) -> Json:
        """Return where the flow file stands under version control, if whoever started the run said so."""
        source = self._run["source"] or {}
        revision = str(source.get("git") or "")
        if not REVISION.fullmatch(revision):
            return {}
        at = f"swh:1:rev:{revision}"  # the revision by its own hash (ISO/IEC 18670): no server is known
        path = {"path": str(source["file"])} if source.get("file") else {}
        return self._facet("sourceCodeLocation", type="git", url=at, version=revision, **path)

    def _step_facets(self, name: str) -> Json:
        step = self._material.flow.steps[name]
        facets: Json = self._type(step.action.upper())
        if step.argv:
            language = LANGUAGES.get(step.argv[0].rpartition("/")[2], step.argv[0])
            return facets | self._facet("sourceCode", language=language, sourceCode=step.argv[-1])
        return facets

    # --- datasets ----------------------------------------------------------------------------------

    def _named(self) -> dict[str, str]:
        """Return the names of all files by digest: the first place in which one is seen."""
        names: dict[str, str] = {}
        taken: set[str] = set()
        for name, value in (self._run["inputs"] or {}).items():
            base = f"{self._flow}/inputs/{name}"
            for at, file in enumerate(_files({name: value})):
                place = base if is_file(value) else f"{base}/{file['name']}"
                if place in taken:  # two files of a list may have one name
                    place = f"{base}/{at}/{file['name']}"
                taken.add(place)
                names.setdefault(blob_of(file), place)
        for task in self._material.tasks:
            for attempt in task["attempts"]:
                for name, file in (attempt.get("outputs") or {}).items():
                    names.setdefault(file["blob"], f"{self._flow}/{task['key']}/{name}")
        return names

    def _dataset(self, file: Json, *, made: bool = False) -> Json:
        digest = blob_of(file)
        folder = "$dir" in file or bool(file.get("tree"))
        kind = self._facet("datasetType", datasetType="FILE", subType="DIRECTORY" if folder else "REGULAR")
        facets = self._facet("version", datasetVersion=digest) | kind
        statistics = {"size": file["size"]} | ({} if folder else {"fileCount": 1})
        name = "outputStatistics" if made else "inputStatistics"
        return {
            "namespace": self._namespace,
            "name": self._names.get(digest, digest),
            "facets": facets,
            "outputFacets" if made else "inputFacets": self._facet(name, **statistics),
        }


def _files(values: dict[str, Json]) -> Iterator[Json]:
    """Yield the files in values, each once."""
    seen = set()
    for one in files_in(values):
        if blob_of(one) not in seen:
            seen.add(blob_of(one))
            yield one


def _only_files(value: Json) -> bool:
    return is_file(value) or (isinstance(value, list) and bool(value) and all(map(is_file, value)))


def _text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
