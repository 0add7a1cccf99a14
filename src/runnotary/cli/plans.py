"""The steps of a flow before it runs, as a table and as JSON."""

from __future__ import annotations

import shlex
from typing import Any

from runnotary.app.planning import Planned
from runnotary.cli import words
from runnotary.cli.output import Page, Part
from runnotary.core.flow import Flow, Step

Json = Any
SHELLS = ("bash", "sh")


def plan_document(plan: Planned) -> Json:
    """Return what would run, as JSON."""
    source = plan.source
    return {
        "dry_run": True,
        "flow": source.words.flow or None,
        "definition_hash": source.definition,
        "inputs": plan.inputs,
        "steps": [step_document(step) for step in source.flow.steps.values()],
    }


def step_document(step: Step) -> Json:
    """Return what is known of a step before a run."""
    return {
        "step": step.name,
        "kind": step.action,
        "needs": list(step.needs),
        "after": sorted(set(step.before) - set(step.needs)),
        "if": step.condition.text if step.condition else None,
        "for_each": step.for_each.text if step.for_each else None,
        "command": list(step.argv),
        "asks": _asks(step),
        "finally": step.cleanup,
    }


def _asks(step: Step) -> Json:
    asked = step.approve
    if asked is None:
        return None
    return {"prompt": asked.prompt.text, "by": list(asked.by), "approvals": asked.approvals}


def write_plan(page: Page, plan: Planned) -> None:
    """Write what would run, in order."""
    flow = plan.source.words.flow or "unnamed flow"
    page.line((flow, words.BOLD), f"  {words.short_digest(plan.source.definition)}")
    if plan.inputs:
        page.line(("inputs  ", words.DIM), words.values(plan.inputs))
    write_steps(page, plan.source.flow)
    page.line(("dry run: nothing was started or stored", words.DIM))


def write_steps(page: Page, flow: Flow) -> None:
    """Write one row per step: what it waits for, when, and what it does."""
    rows: list[list[Part]] = []
    for step in flow.steps.values():
        rows.append([step.name, (waits_for(step), words.DIM), what(step)])
    page.table(rows)


def waits_for(step: Step) -> str:
    """Return `← a, b` for what must have succeeded, `finally` for what comes last."""
    if step.cleanup:
        return "finally" + (f" ← {', '.join(step.before)}" if step.before else "")
    order = sorted(set(step.before) - set(step.needs))
    parts = [f"← {', '.join(step.needs)}"] if step.needs else []
    return " ".join([*parts, *([f"after {', '.join(order)}"] if order else [])])


def what(step: Step, width: int = 60) -> str:
    """Return what a step does, in a few words."""
    parts = [f"if {step.condition.text}:" if step.condition else ""]
    parts.append(f"for each {step.for_each.text}:" if step.for_each else "")
    if step.action == "run":
        parts.append(command_line(step))
    elif step.action == "set":
        parts.append(f"set {', '.join(step.set)}")
    elif step.approve is not None:
        by = f" of {', '.join(step.approve.by)}" if step.approve.by else ""
        parts.append(f"ask{by}: {step.approve.prompt.text}")
    else:
        parts.append(f"wait {step.wait_ms.text if step.wait_ms else ''}")
    text = words.visible(" ".join(part for part in parts if part))
    return text if len(text) <= width else text[: width - 1] + "…"


def command_line(step: Step) -> str:
    """Return a script by its first line, or the exact arguments."""
    if len(step.argv) >= 3 and step.argv[0] in SHELLS and step.argv[-2] == "-c":
        lines = [line for line in step.argv[-1].strip().split("\n") if line.strip()]
        more = f" (+{words.plural(len(lines) - 1, 'line')})" if len(lines) > 1 else ""
        return (lines[0].strip() if lines else "") + more
    return shlex.join(step.argv)
