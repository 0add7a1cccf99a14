"""The actions of a crate: the run, its steps, every attempt, and what each took and made.

Rules of this file:

1. An attempt is a `CreateAction`; the attempts of a step hang from one `ControlAction`, those of `for_each`
   and of retries too. A task without an attempt is one if it ended by itself (`set`, `wait`).
2. What was skipped or never began is no action, and its step no entity: the definition has all steps.
3. A parameter is described only if a value of it is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from runnotary.core.flow import Step
from runnotary.core.times import from_text
from runnotary.core.times import to_text as time_text
from runnotary.core.words import brief, visible
from runnotary.exports.identifiers import engine_uri, home_of, home_uri, person_uri, uuid
from runnotary.exports.material import Material, began_by_itself
from runnotary.exports.ro_crate_files import Entity, Files, Json, kind_of, reference, scalar

COMPLETED: Final = "http://schema.org/CompletedActionStatus"
FAILED: Final = "http://schema.org/FailedActionStatus"
DONE: Final = {"success": COMPLETED, "skipped": COMPLETED, "failed": FAILED, "cancelled": FAILED}
WORKFLOW: Final = "definition.json"
RUN: Final = "#run"
Groups = list[list[Entity]]
USAGE: Final = {
    "cpu_s": "http://qudt.org/vocab/unit/SEC",
    "max_rss_bytes": "http://qudt.org/vocab/unit/BYTE",
}


class Actions:
    """Makes the entities of what was done. `files` takes those of what was taken and made."""

    def __init__(self, material: Material, files: Files) -> None:
        self._material: Final = material
        self._files: Final = files
        self._parameters: Final[dict[str, dict[str, None]]] = {}
        self.made: Final[list[Entity]] = []
        """Every `CreateAction`, that of the run first."""
        self.engine: Final = self._engine()
        self._home()
        self.agent: Final = self._person(material.run["created_by"])
        self.steps: Final[list[Entity]] = []
        self.tools: Final[list[Entity]] = []

    def tell(self) -> None:
        """Make the actions of the run and of everything in it."""
        run = self._material.run
        whole = self._files.add(
            {
                "@id": RUN,
                "@type": "CreateAction",
                "identifier": f"urn:uuid:{uuid(run['id'])}",
                "name": f"Run {run['id']} of {_flow_of(run)}",
                "description": _told_of_run(run),
                "instrument": reference(WORKFLOW),
                **self._times(run),
                **_outcome(run["status"], run["error"], run["reason"]),
            }
        )
        taken = [self._given(WORKFLOW, "in", name, one) for name, one in (run["inputs"] or {}).items()]
        made = [self._given(WORKFLOW, "out", name, one) for name, one in (run["outputs"] or {}).items()]
        whole["object"] = _unique(taken)
        whole["result"] = _unique(made) or self._nothing_but("run", run["status"])
        self.made.append(whole)
        controls = [one for one in map(self._step, self._by_step()) if one is not None]
        if controls:
            self._files.add(
                {
                    "@id": "#engine-run",
                    "@type": "OrganizeAction",
                    "name": f"The engine carried out run {run['id']}",
                    "instrument": reference(self.engine),
                    "object": scalar(reference(one) for one in controls),
                    "result": reference(RUN),
                    **self._times(run),
                    **_outcome(run["status"], run["error"], run["reason"]),
                }
            )

    def parameters(self, owner: str, direction: str) -> Json:
        """Return what points to the parameters of a tool or workflow that were seen here."""
        return scalar(reference(one) for one in self._parameters.get(f"{owner}/{direction}", ()))

    # --- steps and attempts ------------------------------------------------------------------------

    def _by_step(self) -> Iterator[tuple[Step, list[Json]]]:
        tasks: dict[str, list[Json]] = {}
        for task in self._material.tasks:
            if task["attempts"] or began_by_itself(task):
                tasks.setdefault(task["step"], []).append(task)
        for name, found in tasks.items():
            yield self._material.flow.steps[name], found

    def _step(self, given: tuple[Step, list[Json]]) -> Entity | None:
        step, tasks = given
        actions = [action for task in tasks for action in self._of_task(task, step)]
        if not actions:
            return None
        tool = self._files.add(self._tool(step))
        self.tools.append(tool)
        position = list(self._material.flow.steps).index(step.name) + 1
        node = self._files.add(
            {
                "@id": f"{WORKFLOW}#{step.name}",
                "@type": "HowToStep",
                "name": step.name,
                "position": str(position),
                "workExample": reference(tool),
            }
        )
        self.steps.append(node)
        worst = next((one for one in tasks if one["status"] in ("failed", "cancelled")), tasks[-1])
        return self._files.add(
            {
                "@id": f"#step/{step.name}",
                "@type": "ControlAction",
                "name": f"Step {step.name}",
                "instrument": reference(node),
                "object": scalar(reference(one) for one in actions),
                **_outcome(worst["status"], worst["error"], worst["reason"]),
            }
        )

    def _tool(self, step: Step) -> Entity:
        return {
            "@id": self._tool_of(step.name),
            "@type": "SoftwareApplication",
            "name": step.name,
            "description": _command(step),
            "softwareVersion": self._version_of(step.name),
            "url": f"{WORKFLOW}#{step.name}",
            "input": self.parameters(step.name, "in"),
            "output": self.parameters(step.name, "out"),
        }

    def _version_of(self, step: str) -> str:
        """Return the digest of what a step carries out."""
        return self._material.flow.digests.get(step) or self._material.flow.hash

    def _tool_of(self, step: str) -> str:
        """Return the id of what a step carries out: the same wherever the same is carried out."""
        return f"{self.engine['@id']}#{step}-{self._version_of(step)[7:]}"

    def _of_task(self, task: Json, step: Step) -> Iterator[Entity]:
        if not task["attempts"]:
            at = f"{step.name}/1"
            made = [self._value(step.name, "out", at, name, one) for name, one in task["variables"].items()]
            action = self._action(task, f"#attempt/{at}", task, [], made)
            self._add_answers(action, task["approval"])
            yield action
        for attempt in task["attempts"]:
            at = f"{task['key']}/{attempt['number']}"
            taken = [
                self._value(step.name, "in", at, name, one)
                for name, one in (attempt["inputs"] | attempt["with"]).items()
            ]
            made = [
                self._example(step.name, "out", name, [self._files.of(file)])
                for name, file in (attempt.get("outputs") or {}).items()
            ]
            values = attempt.get("variables") or {}
            made += [self._value(step.name, "out", at, name, one) for name, one in values.items()]
            action = self._action(task, f"#attempt/{quote(at)}", attempt, taken, made)
            self._add_logs(action, attempt, at)
            self._add_usage(action, attempt, at)
            yield action

    def _action(self, task: Json, at: str, told: Json, taken: Groups, made: Groups) -> Entity:
        number = told.get("number")
        action = self._files.add(
            {
                "@id": at,
                "@type": "CreateAction",
                "identifier": told["id"],
                "name": f"{task['key']}, attempt {number}" if number else task["key"],
                "description": _told_of_attempt(told),
                "instrument": reference(self._tool_of(task["step"])),
                **self._times(told),
                **_outcome(told["status"], told.get("error"), told.get("reason")),
                "object": _unique(taken),
                "result": _unique(made) or self._nothing_but(at.removeprefix("#attempt/"), told["status"]),
            }
        )
        self.made.append(action)
        return action

    def _add_logs(self, action: Entity, attempt: Json, at: str) -> None:
        """Put what an attempt printed beside it."""
        logs = []
        for stream in ("stdout", "stderr"):
            log = attempt.get(stream)
            if log and log["size"] and log["blob"]:
                cut = " Its middle was left out." if log["truncated"] else ""
                said = f"What {at} printed to {stream}, {log['size']:,} bytes.{cut}"
                about = reference(action)
                logs.append(
                    self._files.blob(
                        f"logs/{at}/", f"{stream}.txt", log["blob"], description=said, about=about
                    )
                )
        action["subjectOf"] = scalar(reference(one) for one in logs)

    def _add_answers(self, action: Entity, approval: Json) -> None:
        """Let those who answered a request be its agents."""
        answers = approval["decisions"] if approval else []
        if answers:
            agents = dict.fromkeys(self._person(one["by"])["@id"] for one in answers)
            action["agent"] = scalar(map(reference, agents))
            said = [
                f"{one['decision']} by {one['by']}: {visible(one['reason'] or 'no reason')}"
                for one in answers
            ]
            action["description"] = f"{visible(approval['prompt'])} {'; '.join(said)}."

    def _add_usage(self, action: Entity, attempt: Json, at: str) -> None:
        usage = attempt.get("usage") or {}
        action["resourceUsage"] = scalar(
            reference(
                self._files.property(
                    f"{at}/usage", name, usage[name], propertyID=f"urn:runnotary:usage:{name}", unitCode=unit
                )
            )
            for name, unit in USAGE.items()
            if usage.get(name) is not None
        )

    def _nothing_but(self, at: str, status: str) -> Entity:
        """Return what an action that made nothing brought: its outcome."""
        return reference(self._files.property(at, "status", status))

    # --- values and their parameters ---------------------------------------------------------------

    def _given(self, owner: str, direction: str, name: str, given: Json) -> list[Entity]:
        return self._value(owner, direction, "run", name, given)

    def _value(self, owner: str, direction: str, at: str, name: str, given: Json) -> list[Entity]:
        return self._example(
            owner, direction, name, list(self._files.values(f"{at}/{direction}", name, given))
        )

    def _example(self, owner: str, direction: str, name: str, found: list[Entity]) -> list[Entity]:
        """Tie values to the parameter that they are examples of; one of another kind is another one."""
        for entity in found:
            kind = kind_of(entity)
            if not kind:
                continue
            prefix = f"#parameter/{quote(owner)}/{direction}/{quote(name, safe='')}"
            mine = self._parameters.setdefault(f"{owner}/{direction}", {})
            at = next(
                (one for one in mine if one.startswith(prefix) and self._suits(one, prefix, kind)),
                f"{prefix}" if prefix not in mine else f"{prefix}/{kind}",
            )
            mine[at] = None
            self._files.add(
                {"@id": at, "@type": "FormalParameter", "name": name, "additionalType": kind}
                | {"conformsTo": reference("https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE")}
            )
            examples = entity.setdefault("exampleOfWork", [])
            if reference(at) not in examples:
                examples.append(reference(at))
        return found

    def _suits(self, at: str, prefix: str, kind: str) -> bool:
        return at in (prefix, f"{prefix}/{kind}") and self._files.entities[at]["additionalType"] == kind

    # --- who and when ------------------------------------------------------------------------------

    def _times(self, told: Json) -> Entity:
        return {
            "startTime": moment(told.get("started_at") or told.get("created_at") or told.get("intent_at")),
            "endTime": moment(told.get("ended_at")),
            "agent": reference(self.agent),
        }

    def _engine(self) -> Entity:
        version = self._material.run["engine_version"]
        return self._files.add(
            {
                "@id": engine_uri(version),
                "@type": "SoftwareApplication",
                "name": "Runnotary",
                "softwareVersion": version,
                "url": engine_uri(version),
            }
        )

    def _home(self) -> Entity:
        """Return who keeps the record: the home, by the name of its log."""
        return self._files.add(
            {
                "@id": home_uri(self._material),
                "@type": "Organization",
                "name": home_of(self._material),
                "description": "The home that keeps the record of the run, by the name of its log.",
                "url": home_uri(self._material),
            }
        )

    def _person(self, principal: str) -> Entity:
        """Return somebody as the home knows them."""
        kind, _, name = principal.partition(":")
        agent = {"@id": person_uri(principal), "name": name or principal, "identifier": principal}
        if kind != "user":  # an account of a program: nobody's name
            return self._files.add(agent | {"@type": "Organization", "url": person_uri(principal)})
        return self._files.add(agent | {"@type": "Person", "affiliation": reference(self._home())})


def moment(text: str | None) -> str | None:
    """Return a time as readers of crates take it, in whole seconds; `run.json` has the microseconds."""
    return None if text is None else f"{time_text(from_text(text))[:19]}+00:00"


def _unique(groups: Groups) -> Json:
    return scalar(reference(at) for at in dict.fromkeys(one["@id"] for group in groups for one in group))


def _outcome(status: str, error: Json, reason: str | None) -> Entity:
    """Return how an action ended; one that goes on has no status."""
    done = DONE.get(status)
    if done != FAILED:
        return {"actionStatus": done}
    return {"actionStatus": done, "error": visible(error["message"] if error else reason or status)}


def _flow_of(run: Json) -> str:
    return str(run["flow"] or run["definition_hash"][:15])


def _told_of_run(run: Json) -> str:
    label = f" “{visible(run['label'])}”" if run["label"] else ""
    return f"Run{label} asked for by {run['created_by']} ({run['trigger']['kind']}): {run['status']}."


def _told_of_attempt(told: Json) -> str:
    said = [told["status"]]
    if told.get("exit_code") is not None:
        said.append(f"exit {told['exit_code']}")
    if told.get("signal"):
        said.append(f"signal {told['signal']}")
    if told.get("started_at") and told.get("ended_at"):
        said.append(f"took {brief(from_text(told['ended_at']) - from_text(told['started_at']))}")
    if told.get("host"):
        said.append(f"on {visible(told['host'])}")
    return ", ".join(said) + "."


def _command(step: Step) -> str:
    if step.argv:
        return visible(step.argv[-1] if len(step.argv) < 4 else " ".join(step.argv))
    return f"A step of the kind {step.action}, carried out by the engine."
