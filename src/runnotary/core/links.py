"""What the parts of a definition say about each other: references, needs, order, cycles.

Works on canonical steps and on the references that reading kept, so that a finding stands where the
author wrote it. Nothing here recurses over the graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from runnotary.core import grammar
from runnotary.core.findings import Path
from runnotary.core.reading import Reading, Use
from runnotary.core.references import Part

Json = Any
Steps = dict[str, dict[str, Json]]

CYCLES_MAX: Final = 10
BEFORE_EXPANSION: Final = frozenset({"if", "for_each"})
"""Keys that are evaluated once per step, before there is an `each`."""


class Links:
    """Checks one document whose parts have been read."""

    def __init__(self, reading: Reading, inputs: Iterable[str], steps: Steps, final: Steps) -> None:
        self.reading: Final = reading
        self.add: Final = reading.findings.add
        self.inputs: Final = frozenset(inputs)
        self.steps: Final = {**final, **steps}
        self.final: Final = frozenset(final.keys() - steps.keys())
        self.implied: Final[dict[str, set[str]]] = {name: set() for name in self.steps}

    def check(self, asking: Iterable[tuple[str, Path]]) -> None:
        """Check everything; `asking` are the steps whose `if` calls a status function."""
        for use in self.reading.uses:
            self._use(use)
        before = {name: self._before(name, step) for name, step in self.steps.items()}
        for name, path in asking:
            if not self.implied[name] and not self.steps[name].get("needs"):
                about = "run.status tells how the run went" if name in self.final else "add `needs`"
                self.add(
                    path, f"a status function asks how the needs of a step ended, and it has none; {about}"
                )
        self._cycles(before)

    # --- references ------------------------------------------------------------------------------

    def _use(self, use: Use) -> None:
        root, *rest = use.reference.parts
        if root == "inputs":
            self._input(use, rest)
        elif root == "steps":
            self._step(use, rest)
        elif root == "each":
            self._each(use, rest)
        elif root == "run":
            self._field(use, rest, grammar.RUN_FIELDS, "run")

    def _say(self, use: Use, message: str) -> None:
        self.add(use.path, message, use.reference.offset)

    def _input(self, use: Use, rest: list[Part]) -> None:
        if rest and rest[0] not in self.inputs:
            known = "" if self.inputs else "; the flow declares none"
            self._say(
                use, f'no input "{rest[0]}"{self.reading.findings.near(str(rest[0]), self.inputs)}{known}'
            )

    def _each(self, use: Use, rest: list[Part]) -> None:
        step = self.steps.get(use.step, {})
        if "for_each" not in step:
            self._say(use, "`each` is known in a `for_each` step only")
        elif use.key in BEFORE_EXPANSION:
            self._say(use, f"`{use.key}` is evaluated once for the step, before there is an `each`")
        else:
            self._field(use, rest, ("value", "index"), "each")

    def _field(self, use: Use, rest: list[Part], known: tuple[str, ...], root: str) -> None:
        if not rest:
            self._say(use, f"say what of it: {', '.join(f'{root}.{name}' for name in known)}")
        elif rest[0] not in known:
            near = self.reading.findings.near(str(rest[0]), known)
            self._say(use, f'{root} has no "{rest[0]}"{near or "; it has " + ", ".join(known)}')

    def _step(self, use: Use, rest: list[Part]) -> None:
        if use.key == "top":
            self._say(use, "no step has run when the `if` of the flow is asked")
            return
        name, fields = rest[0] if rest else None, rest[1:]
        if not isinstance(name, str):
            self._say(use, "name the step: steps.NAME")
            return
        step = self.steps.get(name)
        if step is None:
            self._say(use, f'no step "{name}"{self.reading.findings.near(name, self.steps)}')
        elif name == use.step:
            self._say(use, "a step cannot refer to itself")
        elif use.step and use.step not in self.final and name in self.final:
            self._say(use, f'"{name}" is a `finally` step: it has not run yet')
        else:
            if use.step:
                self.implied[use.step].add(name)
            self._step_field(use, name, step, fields)

    def _step_field(self, use: Use, name: str, step: dict[str, Json], fields: list[Part]) -> None:
        self._field(use, fields, grammar.STEP_FIELDS, f"steps.{name}")
        if len(fields) < 2 or fields[0] not in ("values", "files"):
            return
        if fields[0] == "files":
            known = {*step.get("files", ()), *step.get("dirs", ())}
            where, word = "`files` or `dirs`", "file"
        else:
            known = {*step.get("set", {}), *step.get("values", {})}
            known |= {"approved"} if "approve" in step else set()
            where, word = "`values`", "value"
            if not known and "run" in step:
                return
        if fields[1] not in known:
            near = self.reading.findings.near(str(fields[1]), known)
            declared = f"; it declares {', '.join(sorted(known))}" if known else f"; it declares no {where}"
            self._say(use, f'step {name} has no {word} "{fields[1]}"{near or declared}')

    # --- order -----------------------------------------------------------------------------------

    def _before(self, name: str, step: dict[str, Json]) -> set[str]:
        """Return what must end before a step, after checking what it says about that."""
        before: set[str] = set()
        for key in ("needs", "after"):
            for earlier in step.get(key, ()):
                path = self.reading.edges[name, key, earlier]
                if earlier not in self.steps:
                    self.add(path, f'no step "{earlier}"{self.reading.findings.near(earlier, self.steps)}')
                elif earlier == name:
                    self.add(path, "a step cannot wait for itself")
                elif (earlier in self.final) and name not in self.final:
                    self.add(path, f'"{earlier}" is a `finally` step: it runs after this one anyway')
                elif (earlier in self.final) is not (name in self.final):
                    self.add(path, f"`finally` steps run after all others; leave {earlier} out")
                else:
                    before.add(earlier)
        same_group = {other for other in self.implied[name] if (other in self.final) is (name in self.final)}
        return before | same_group

    def _cycles(self, before: dict[str, set[str]]) -> None:
        """Name each cycle once: what is left when everything that can end has ended."""
        left = _never_ready(before)
        for _ in range(CYCLES_MAX):
            if not left:
                return
            cycle = _cycle_in(left)
            path: Path = ("finally" if cycle[0] in self.final else "steps", cycle[0])
            self.add(path, f"steps wait for each other: {_shown(cycle)}")
            cut = {cycle[0]}
            left = _never_ready({name: left[name] - cut for name in left if name not in cut})


def _never_ready(before: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the steps that wait for each other, and what they wait for among themselves."""
    waits = {name: len(earlier) for name, earlier in before.items()}
    followers: dict[str, list[str]] = {}
    for name, earlier in before.items():
        for other in earlier:
            followers.setdefault(other, []).append(name)
    ready = [name for name, count in waits.items() if not count]
    while ready:
        name = ready.pop()
        del waits[name]
        for follower in followers.get(name, ()):
            waits[follower] -= 1
            if not waits[follower]:
                ready.append(follower)
    return {name: before[name] & waits.keys() for name in waits}


def _cycle_in(left: dict[str, set[str]]) -> list[str]:
    """Walk back from the first name until one comes again; every step here waits for another one."""
    seen: dict[str, int] = {}
    walk: list[str] = []
    name = min(left)
    while name not in seen:
        seen[name] = len(walk)
        walk.append(name)
        name = min(left[name])
    cycle = walk[seen[name] :]
    first = cycle.index(min(cycle))
    return [*cycle[first:], *cycle[:first]]


def _shown(cycle: list[str]) -> str:
    names = [*cycle, cycle[0]]
    shown = names if len(names) <= 12 else [*names[:6], f"… {len(names) - 11} more …", *names[-5:]]
    return " needs ".join(shown)
