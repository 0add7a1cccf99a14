"""`run approve`, `run reject`, `approval list`, `approval show`: what people are asked, and answers."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from runnotary.app.approvals import asked, listed
from runnotary.app.records import INTERRUPTED, document_of, shown_status
from runnotary.app.session import session
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.following import unless_interrupted
from runnotary.cli.listing import when
from runnotary.cli.output import Page, Part, emit
from runnotary.cli.summary import value_row
from runnotary.config import Settings
from runnotary.core.errors import InvalidInput, NotWaiting

Json = Any
NAMED: Final = 10
VALUE_WIDTH: Final = 2_000
WAITING: Final = "waiting"
STYLES: Final = {
    WAITING: words.STYLES["waiting"],
    "approved": words.STYLES["success"],
    "rejected": words.STYLES["failed"],
    "timeout": words.STYLES["failed"],
    "cancelled": words.STYLES["cancelled"],
}


def approve(args: Namespace) -> int:
    """Approve what a run asks."""
    return _answered(args, approve=True)


def reject(args: Namespace) -> int:
    """Refuse what a run asks."""
    return _answered(args, approve=False)


def _answered(args: Namespace, *, approve: bool) -> int:
    settings = settings_of(args)
    run = document_of(settings, args.run)["id"]
    task = _chosen(settings, run, args.step, open_only=True)["task"]
    answer = unless_interrupted(
        _answer(settings, run, task, approve=approve, reason=args.reason or "", seen=args.shown or "")
    )
    emit(args.format, answer, lambda: _write_answer(settings, answer))
    return 0


async def _answer(settings: Settings, run: str, task: str, **said: Any) -> Json:
    async with session(settings) as engine:
        return await engine.answer(run, task, **said)


def _chosen(settings: Settings, run: str, step: str | None, *, open_only: bool) -> Json:
    """Return the request that is meant: the one that is named, or the only one.

    Raises:
        TaskNotFound, NotWaiting: nothing is asked. InvalidInput: several things are.
    """
    if step is not None:
        return asked(settings, run, step)
    found: list[Json] = []
    for status in ([WAITING], []):
        found = found or listed(settings, {"run": run, "status": status, "limit": NAMED})["approvals"]
    if not found or (open_only and len(found) > 1 and found[0]["status"] != WAITING):
        raise NotWaiting(f"run {run} asks for nothing now", hint="see: runnotary approval list")
    if len(found) > 1:
        raise InvalidInput(
            f"run {run} asks several things", hint=f"name one of {', '.join(one['task'] for one in found)}"
        )
    return found[0]


def _write_answer(settings: Settings, answer: Json) -> None:
    page, short = Page(), words.short(answer["run"])
    last = answer["decisions"][-1]
    said = f": {words.visible(last['reason'])}" if last["reason"] else ""
    page.line((answer["task"], words.BOLD), f" {last['decision']} by {words.visible(last['by'])}{said}")
    if answer["status"] == WAITING:
        missing = answer["approvals"] - len(answer["decisions"])
        page.line((f"{words.plural(missing, 'more approval')} needed, of somebody else", words.DIM))
    elif shown_status(document_of(settings, answer["run"])["status"], settings) == INTERRUPTED:
        page.line(("recorded; nothing works here now: ", words.DIM), f"runnotary run watch {short}")


# --- look ------------------------------------------------------------------------------------------


def listing(args: Namespace) -> int:
    """List what waits for people; of one run, what is decided too."""
    settings = settings_of(args)
    said = {
        "namespace": [args.namespace or "default"],
        "run": document_of(settings, args.run)["id"] if args.run else "",
        "flow": args.flow,
        "status": [status for text in args.status for status in text.split(",")],
        "mine": args.mine,
        "limit": args.limit or 50,
        "cursor": args.cursor or "",
    }
    answer = listed(settings, said)
    emit(args.format, answer, lambda: _write_list(answer), each=answer["approvals"])
    return 0


def _write_list(answer: Json) -> None:
    page = Page()
    if not answer["approvals"]:
        page.line(("nothing waits for anybody", words.DIM))
    table: list[list[Part]] = [
        [
            words.short(one["run"]),
            one["task"],
            (one["status"], STYLES[one["status"]]),
            when(one["asked_at"]),
            when(one["due_at"]),
            "yes" if one["may_answer"] else "",
            words.visible(one["prompt"]),
        ]
        for one in answer["approvals"]
    ]
    page.table(table, ("RUN", "STEP", "STATUS", "ASKED", "UNTIL", "MINE", "PROMPT"))
    if answer["has_next"]:
        page.line(("more: ", words.DIM), f"--cursor {answer['next_cursor']}")


def show(args: Namespace) -> int:
    """Show a request, what it shows, and who answered what."""
    settings = settings_of(args)
    run = document_of(settings, args.run)["id"]
    request = _chosen(settings, run, args.step, open_only=False)
    emit(args.format, request, lambda: _write(request))
    return 0


def _write(request: Json) -> None:
    page = Page()
    status, short = request["status"], words.short(request["run"])
    page.line(
        (request["task"], words.BOLD), "  ", (status, STYLES[status]), "  ", (f"run {short}", words.DIM)
    )
    page.line(words.visible(request["prompt"]))
    _write_shown(page, request["shown"])
    page.line(("shown ", words.DIM), request["shown_digest"])
    page.line(("asked ", words.DIM), when(request["asked_at"]), *_until(request))
    page.line(("by ", words.DIM), ", ".join(map(words.visible, request["by"])) or "whoever may approve")
    if request["approvals"] > 1:
        page.line(("needs ", words.DIM), f"{request['approvals']} different people")
    for one in request["decisions"]:
        reason = f": {words.visible(one['reason'])}" if one["reason"] else ""
        known = " ".join(part for part in (one["role"], f"({one['authenticated_by']})") if part)
        page.line(f"{one['decision']} by {words.visible(one['by'])} as {known}, {when(one['at'])}{reason}")
    if request["may_answer"]:
        page.line(("next: ", words.DIM), f"runnotary run approve {short} {request['task']}")
        page.line(("      ", words.DIM), f"runnotary run reject {short} {request['task']} --reason TEXT")
    elif status == WAITING:
        page.line((words.visible(request["why_not"]), words.DIM))


def _write_shown(page: Page, shown: dict[str, Json]) -> None:
    """Write what people decide about: every file, and values as far as they would be read."""
    for name, value in shown.items():
        if words.is_file(value) or words.are_files(value):
            page.table([value_row(name, file) for file in (value if isinstance(value, list) else [value])])
            continue
        text = words.value(value, VALUE_WIDTH)
        page.line((words.visible(name), words.DIM), f"  {text}")
        if len(text) == VALUE_WIDTH and text.endswith("…"):
            page.line(("that is not all of it: -o json", words.DIM))


def _until(request: Json) -> list[Part]:
    return [("  until ", words.DIM), when(request["due_at"])] if request["due_at"] else []
