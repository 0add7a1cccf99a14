"""`flow validate|show|graph|list|history|push`: definitions, from files or by name."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from runnotary.app import listing
from runnotary.app.intake import StartRequest, is_file, nameless
from runnotary.app.records import reading
from runnotary.app.session import session
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.listing import when
from runnotary.cli.output import Page, Part, emit
from runnotary.cli.plans import step_document, waits_for, write_steps
from runnotary.config import Settings
from runnotary.core import definition
from runnotary.core.errors import InvalidInput, RunnotaryError
from runnotary.core.flow import Flow
from runnotary.core.hashing import is_digest
from runnotary.core.permissions import EVERYWHERE
from runnotary.formats import yaml_flow

Json = Any


class Found(NamedTuple):
    """A flow with its identity and its words."""

    hash: str
    document: Json
    flow: Flow
    name: str = ""
    version: str = ""
    title: str = ""
    description: str = ""


def found(args: Namespace) -> Found:
    """Return the flow that a file, a name or a hash stands for."""
    target = args.flow
    if is_file(target, Path.cwd()):
        loaded = yaml_flow.load(Path(target)).definition
        said = loaded.words
        flow = definition.compile(loaded.document)
        return Found(
            loaded.hash, loaded.document, flow, said.flow, said.version, said.title, said.description
        )
    with reading(settings_of(args)) as reader:
        if is_digest(target):
            return Found(target, reader.definition(target), reader.flow_of(target))
        row = reader.flow(target, args.namespace or "default")
        document = msgspec.json.decode(reader.blobs.get(row.definition))
        flow = reader.flow_of(row.definition)
        return Found(row.definition, document, flow, row.name, row.version, row.title, row.description)


def validate(args: Namespace) -> int:
    """Check flow files and tell every problem; nothing is stored."""
    worst = 0
    answers: list[Json] = []
    for name in args.files:
        try:
            loaded = yaml_flow.load(Path(name))
        except RunnotaryError as wrong:
            if len(args.files) == 1 and wrong.exit_code != InvalidInput.exit_code:
                raise
            worst = max(worst, wrong.exit_code)
            problems = getattr(wrong, "problems", ())
            listed = [msgspec.structs.asdict(problem) for problem in problems] or [{"message": wrong.message}]
            answers.append({"file": name, "ok": False, "problems": listed})
            print(words.visible_lines(wrong.message), file=sys.stderr)
            continue
        document = loaded.definition.document
        steps = len(document["steps"]) + len(document.get("finally", {}))
        answers.append(
            {
                "file": name,
                "ok": True,
                "flow": loaded.definition.words.flow or None,
                "definition_hash": loaded.definition.hash,
                "steps": steps,
                "problems": [],
            }
        )
    answer = answers[0] if len(answers) == 1 else answers
    emit(args.format, answer, lambda: _write_valid(answers), each=answers, key="file")
    return worst


def _write_valid(answers: list[Json]) -> None:
    page = Page()
    for answer in answers:
        if answer["ok"]:
            flow, digest = answer["flow"] or "unnamed flow", answer["definition_hash"]
            steps = words.plural(answer["steps"], "step")
            page.line(("✓ ", "green"), f"{words.visible(answer['file'])}: {flow}, {steps}, {digest}")


def show(args: Namespace) -> int:
    """Show what a flow takes, does and gives."""
    flow = found(args)
    document = {
        "flow": flow.name or None,
        "version": flow.version or None,
        "title": flow.title or None,
        "description": flow.description or None,
        "definition_hash": flow.hash,
        "steps": [step_document(step) for step in flow.flow.steps.values()],
        "definition": flow.document,
    }
    emit(args.format, document, lambda: _write(flow), key="definition_hash")
    return 0


def _write(found: Found) -> None:
    page = Page()
    version = f" {found.version}" if found.version else ""
    page.line((f"{words.visible(found.name) or 'unnamed flow'}{version}", words.BOLD))
    page.line((found.hash, words.DIM))
    for text in (found.title, found.description):
        if text:
            page.line((words.visible_lines(text.strip()), words.DIM), wrap=True)
    inputs: list[list[Part]] = [
        [
            ("input", words.DIM),
            one.name,
            one.type,
            "required" if one.required else f"default {words.value(one.default)}",
        ]
        for one in found.flow.inputs.values()
    ]
    page.table(inputs)
    write_steps(page, found.flow)
    if found.flow.outputs:
        page.line(("outputs ", words.DIM), ", ".join(found.flow.outputs))


def graph(args: Namespace) -> int:
    """Show the steps of a flow and what each waits for."""
    flow = found(args).flow
    if args.format == "mermaid":
        print("\n".join(_mermaid(flow)))
    elif args.format == "dot":
        print("\n".join(_dot(flow)))
    else:
        rows: list[list[Part]] = []
        for step in flow.steps.values():
            times = f"for each {step.for_each.text}" if step.for_each else ""
            rows.append([step.name, (waits_for(step), words.DIM), (times, words.DIM)])
        Page().table(rows)
    return 0


def _mermaid(flow: Flow) -> list[str]:
    lines = ["flowchart LR"]
    for step in flow.steps.values():
        shape = ("[[", "]]") if step.for_each else (("([", "])") if step.cleanup else ("[", "]"))
        lines.append(f"  {step.name}{shape[0]}{step.name}{shape[1]}")
    for step in flow.steps.values():
        arrows = [(name, "-->" if name in step.needs else "-.->") for name in step.before]
        lines += [f"  {name} {arrow} {step.name}" for name, arrow in arrows]
    return lines


def _dot(flow: Flow) -> list[str]:
    lines = ["digraph flow {", "  rankdir=LR; node [shape=box];"]
    for step in flow.steps.values():
        style = " [peripheries=2]" if step.for_each else (" [style=dashed]" if step.cleanup else "")
        lines.append(f'  "{step.name}"{style};')
    for step in flow.steps.values():
        for name in step.before:
            style = "" if name in step.needs else " [style=dotted]"
            lines.append(f'  "{name}" -> "{step.name}"{style};')
    return [*lines, "}"]


def flows(args: Namespace) -> int:
    """List the flows of a namespace by name, or those of all namespaces."""
    namespace = args.namespace or "default"
    listed = listing.flows(settings_of(args), namespace)
    shown = namespace == EVERYWHERE
    table: list[list[Part]] = [
        [
            *([flow["namespace"]] if shown else []),
            flow["flow"],
            words.visible(flow["version"] or ""),
            when(flow["changed_at"]),
            (words.short_digest(flow["definition_hash"]), words.DIM),
            words.visible(flow["title"] or ""),
        ]
        for flow in listed
    ]
    headers = (*(["NAMESPACE"] if shown else []), "FLOW", "VERSION", "CHANGED", "DEFINITION", "TITLE")
    emit(args.format, {"flows": listed}, lambda: Page().table(table, headers), each=listed, key="flow")
    return 0


def history(args: Namespace) -> int:
    """List every definition that a flow's name ever meant, newest first."""
    namespace = args.namespace or "default"
    with reading(settings_of(args)) as reader:
        reader.flow(args.flow, namespace)
        changes = reader.versions(args.flow, namespace)
    table: list[list[Part]] = [
        [
            when(change["time"]),
            words.visible(change.get("version") or ""),
            (words.short_digest(change["definition"]), words.DIM),
            str(change["runs"]),
            words.visible(change["by"]["principal"]),
            words.visible(change.get("title") or ""),
        ]
        for change in changes
    ]
    headers = ("CHANGED", "VERSION", "DEFINITION", "RUNS", "BY", "TITLE")
    answer = {"flow": args.flow, "versions": changes}
    emit(args.format, answer, lambda: Page().table(table, headers, right="3"), each=changes, key="definition")
    return 0


def push(args: Namespace) -> int:
    """Register a flow file under its name."""
    settings = settings_of(args)
    if not yaml_flow.load(Path(args.file)).definition.words.flow:  # what is refused makes no home
        raise nameless(args.file)
    request = StartRequest(
        cwd=str(Path.cwd()), target=str(Path(args.file).absolute()), namespace=args.namespace or "default"
    )
    answer = asyncio.run(_pushed(settings, request))
    emit(
        args.format,
        answer,
        lambda: Page().line(f"{answer['flow']} is {answer['definition_hash']}"),
        key="definition_hash",
    )
    return 0


async def _pushed(settings: Settings, request: StartRequest) -> Json:
    async with session(settings) as engine:
        return await engine.register(request)
