"""Writes the pages under docs/reference that follow from the code, and the modules in ARCHITECTURE.md.

.venv/bin/python tools/reference.py            writes them
.venv/bin/python tools/reference.py --check    exits 1 and names each page that is not current

The page of flow keys has a tool of its own, `tools/flow_reference.py`.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from runnotary.api.route import Route
from runnotary.api.routes import ROUTES
from runnotary.cli.table import COMMANDS, GLOBAL, Command, Option
from runnotary.config import FILE, SETTINGS
from runnotary.core import errors, events
from runnotary.core.states import MOVES, OPEN, TERMINAL, Reason, State
from runnotary.server import application
from runnotary.web import guard

ROOT = Path(__file__).parents[1]
WITH_ERRORS = (application, guard)  # imported for the errors that they define
PACKAGE = ROOT / "src" / "runnotary"
REFERENCE = ROOT / "docs" / "reference"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
MODULES_BEGIN = "<!-- modules: written by tools/reference.py -->\n"
MODULES_END = "<!-- end of modules -->"

REASONS = {
    Reason.ERROR: "It exited with another code than 0, was killed by a signal, or could not be started.",
    Reason.TIMEOUT: "It did not end within its `timeout`.",
    Reason.CANCELLED: "A person asked for the end of the run.",
    Reason.DENIED: "A person said no. Nothing asks in this release.",
    Reason.LOST: "How it ended cannot be known: its keeper died, or the machine was restarted.",
    Reason.INVALID_OUTPUT: "A declared output is missing, or a value is not of its type.",
    Reason.INPUT_MODIFIED: "A staged input was changed while the step ran. Not found in this release.",
    Reason.SECRET_IN_OUTPUT: "An output holds a secret; nothing of the outputs is kept.",
    Reason.UPSTREAM_FAILED: "A step that it needs failed or was cancelled.",
    Reason.UPSTREAM_SKIPPED: "A step that it needs was skipped.",
    Reason.CONDITION: "Its `if` was false.",
    Reason.STOPPED: "Another step failed under `on_failure: stop` before this one began.",
    Reason.CAUGHT: "It failed, and its `catch` made a success of it.",
}
STATES = {
    State.PENDING: "Accepted; nothing has started.",
    State.RUNNING: "Something runs or can run.",
    State.WAITING: "A person or an outside signal has to act before anything can go on.",
    State.SUCCESS: "Ended as it should.",
    State.FAILED: "Ended otherwise; `reason` and `error` say why.",
    State.CANCELLED: "Ended because someone asked for it.",
    State.SKIPPED: "Never started: a condition was false, or something it needs did not succeed.",
}


def head(title: str, source: str) -> str:
    return f"# {title}\n\nWritten by `tools/reference.py` from `{source}`; do not edit.\n"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(heads)
    lines = [names, ["---"] * len(names), *([cell(text) for text in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or "–"


def words(text: str | None) -> str:
    """The first paragraph of a docstring as one line."""
    return " ".join((text or "").split("\n\n")[0].split())


# --- states --------------------------------------------------------------------------------------


def states() -> str:
    arrows = [f"    {state} --> {to}" for state in State for to in State if to in MOVES[state]]
    ends = [f"    {state} --> [*]" for state in State if state in TERMINAL]
    diagram = "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> pending", *arrows, *ends, "```", ""])
    moves = (
        (f"**{state}**", STATES[state], ", ".join(to for to in State if to in MOVES[state]))
        for state in State
    )
    reasons = ((f"`{reason}`", REASONS[reason]) for reason in Reason)
    opened = ", ".join(state for state in State if state in OPEN)
    return "\n".join(
        [
            head("States and reasons", "src/runnotary/core/states.py"),
            "Runs, items and tasks share seven words and one table of moves.",
            f"Open are {opened}; the others are final: nothing moves out of them.\n",
            table(("state", "meaning", "may become"), moves),
            diagram,
            "A run is `running` or `waiting` as its tasks are. One that was asked to cancel and has not",
            "ended is `running` with `cancel_requested_at`. Nothing waits for a person in this release.\n",
            "## Reasons\n",
            "Whatever ends other than by success says why, in one word; so does a caught failure.\n",
            table(("reason", "meaning"), reasons),
        ]
    )


# --- events --------------------------------------------------------------------------------------


def writers(kind: type[events.Event]) -> str:
    """Return the files of the product that make events of this type."""
    made = re.compile(rf"(?<!case )(?<!ev\.)\b(?:ev\.)?{kind.__name__}\(")
    found = [
        f"`{short(path)}`"
        for path in modules()
        if path.name != "events.py"
        and any(made.search(line.lstrip()) for line in path.read_text().splitlines())
    ]
    return ", ".join(found) or "nothing in this release"


def event_pages() -> Iterator[str]:
    written = annotations()
    for kind, (code, version) in sorted(events.CODES.items(), key=lambda entry: entry[1]):
        yield f"## `{events.NAMES[kind]}`\n"
        yield f"Type {code}, version {version}. Written by {writers(kind)}.\n"
        said = kind.__dict__.get("__doc__")
        if said:
            yield f"{words(said)}\n"
        fields = msgspec.structs.fields(kind)
        yield table(
            ("field", "type", "default"), (field_row(one, written[kind.__name__][one.name]) for one in fields)
        )


def annotations() -> dict[str, dict[str, str]]:
    """Return the types of all fields as the source writes them, which no Python release changes."""
    parsed = ast.parse((PACKAGE / "core" / "events.py").read_text())
    return {
        node.name: {
            field.target.id: ast.unparse(field.annotation)
            for field in node.body
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        }
        for node in parsed.body
        if isinstance(node, ast.ClassDef)
    }


def field_row(field: Any, written: str) -> tuple[str, str, str]:
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    if default is msgspec.NODEFAULT:
        shown = "always there"
    elif isinstance(default, msgspec.Struct):
        shown = "`" + msgspec.json.encode(msgspec.structs.asdict(default)).decode() + "`"
    else:
        shown = "`" + msgspec.json.encode(default).decode() + "`"
    return f"`{field.name}`", f"`{written}`", shown


def event_page() -> str:
    return "\n".join(
        [
            head("Events", "src/runnotary/core/events.py"),
            "Every fact that may stand in a stream. A type and version never change their meaning once",
            "released. How they lie on the disk: [format.md](../format.md). Times are µs since 1970 UTC.\n",
            *event_pages(),
        ]
    )


# --- errors --------------------------------------------------------------------------------------


def tree(
    kind: type[errors.RunnotaryError], depth: int = 0
) -> Iterator[tuple[int, type[errors.RunnotaryError]]]:
    yield depth, kind
    for below in kind.__subclasses__():
        yield from tree(below, depth + 1)


ERRORS = {
    "error": "The root of the tree; never raised itself.",
    "invalid_input": "What was given cannot be used; nothing was recorded.",
    "invalid_definition": "A flow file or document, with every problem it has.",
    "invalid_run_input": "Inputs that do not fit the flow's declaration, every one of them named.",
    "reason_required": "The profile of the home asks for a reason, and none was given.",
    "idempotency_key_reused": "The key of this request stands for another one; take a new key.",
    "not_found": "What was named does not exist.",
    "run_not_found": "No run has this id, or none that the caller may see, or nothing was recorded.",
    "run_erased": "What the run was is erased; the message says by whom, when and why.",
    "flow_not_found": "No flow has this name.",
    "task_not_found": "The run has no such step or task.",
    "blob_not_found": "The bytes of a digest are not in this home.",
    "file_missing": "There is no such file, or no record where one was expected.",
    "namespace_not_found": "No namespace has this name, or none that the caller may know of.",
    "token_not_found": "No token has this id, or none that the caller may know of.",
    "permission_denied": "The caller is known, sees what they ask about, and may not do this with it.",
    "own_request": "Who started or owns the run, or registered its flow, may not answer its request.",
    "unauthenticated": "Credentials are missing, or do not count; `WWW-Authenticate` says why.",
    "conflict": "The present state does not allow it.",
    "already_ended": "The run is over.",
    "not_ended": "The run goes on, and this is for runs that are over.",
    "version_taken": "The label already means another definition of the flow; the profile allows one.",
    "held": "The run is protected from being purged.",
    "changed": "It is not any more as the caller saw it; look again.",
    "already_decided": "The request was answered already; the message says by whom.",
    "not_waiting": "The step asks for nothing now: not yet, or not any more.",
    "shown_otherwise": "The answer is about something else than what the request shows.",
    "home_locked": "Another engine works in this home.",
    "home_version": "Another release, or another program, wrote what is there.",
    "unreachable": "An engine or keeper that should answer does not.",
    "wait_timeout": "It is not over in time; it goes on.",
    "not_recorded": "An event could not be written, so what it says did not happen.",
    "damaged": "The record does not verify, or cannot be read.",
    "rollback": "The record is older than the checkpoint beside it, or not the one that it was made of.",
}
DOORS = {
    "invalid_json": "The body is no JSON at all.",
    "unknown_parameter": "The query has a word that the route does not know.",
    "invalid_parameter": "A value in the query is not of its type.",
    "invalid_cursor": "The cursor was not given out for this listing.",
    "body_too_large": "More bytes than this server takes.",
    "head_too_large": "Path, query and headers are longer than this server takes.",
    "unsupported_media_type": "The body says that it is no JSON.",
    "wrong_origin": "The request is for another server, or from a page of another site.",
    "foreign_request": "The form that was sent does not come from a page of this server.",
    "client_gone": "The connection broke off before the body was over; nobody reads this.",
    "no_such_route": "There is nothing at this path.",
    "method_not_allowed": "The path takes other verbs.",
    "bad_request": "The request is no good HTTP.",
    "defect": "The server failed; its log says how.",
}
DOOR_ERRORS = {"no_such_route": 404, "method_not_allowed": 405, "bad_request": 400, "defect": 500}


def error_page() -> str:
    rows = (
        (
            f"{'· ' * depth}`{kind.code}`",
            f"`{kind.__name__}`",
            str(kind.exit_code),
            str(kind.http_status),
            ERRORS[kind.code],
        )
        for depth, kind in tree(errors.RunnotaryError)
        if kind.__module__ == errors.__name__
    )
    of_doors = {
        kind.code: kind.http_status
        for _, kind in tree(errors.RunnotaryError)
        if kind.__module__ != errors.__name__ and kind.code not in ERRORS
    }
    door_rows = ((f"`{code}`", str((DOOR_ERRORS | of_doors)[code]), said) for code, said in DOORS.items())
    return "\n".join(
        [
            head("Errors", "src/runnotary/core/errors.py"),
            "What the product raises on purpose. The code is stable; the message says what is wrong, where,",
            "and what to do next. Over HTTP it is a problem document ([api.md](../api.md)).\n",
            table(("code", "class", "exit", "HTTP", "meaning"), rows),
            "Other exit statuses: 0 success (of a run: also skipped), 1 the run failed, 8 it was cancelled,",
            "130 it was left running (Ctrl-C).\n",
            "## Of the server only\n",
            table(("code", "HTTP", "meaning"), door_rows),
            "## What went wrong in a task\n",
            "`error.code` of a task or run. Where the message depends on the case, … stands for it.\n",
            table(("code", "message", "from"), failures()),
            "## What `verify` finds\n",
            "The code of each finding.\n",
            table(("code", "message", "from"), findings()),
        ]
    )


def failures() -> list[tuple[str, str, str]]:
    """Every call that makes a failure, read from the source: code, message, file."""
    places = {"Failure": 0, "Refused": 0, "_failure": 1, "_fail": 3}
    return collected(places, (PACKAGE / "core", PACKAGE / "engine", PACKAGE / "executors" / "process"))


def findings() -> list[tuple[str, str, str]]:
    return collected({"found": 0, "_unsound": 0}, (PACKAGE / "store",), message_at=2)


def collected(
    places: dict[str, int], folders: Iterable[Path], message_at: int = 1
) -> list[tuple[str, str, str]]:
    found: dict[str, tuple[list[str], list[str]]] = {}
    for path in (path for path in modules() if any(folder in path.parents for folder in folders)):
        parsed = ast.parse(path.read_text())
        calls = [node for node in ast.walk(parsed) if isinstance(node, ast.Call)]
        for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            at = places.get(name)
            if at is None or len(call.args) <= at:
                continue
            after = at + message_at
            text = literal(assigned(parsed, call, call.args[after])) if len(call.args) > after else ""
            given = assigned(parsed, call, call.args[at])
            either = [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]
            for code in filter(re.compile(r"[a-z][a-z_]+").fullmatch, map(literal, either)):
                messages, files = found.setdefault(code, ([], []))
                if text.strip("… :"):
                    messages.append(text)
                files.append(f"`{short(path)}`")
    return [
        (f"`{code}`", " · ".join(dict.fromkeys(messages)), ", ".join(dict.fromkeys(files)))
        for code, (messages, files) in sorted(found.items())
    ]


def assigned(parsed: ast.Module, call: ast.Call, node: ast.expr) -> ast.expr:
    """Return what a local name was last given before a call; anything else as it is."""
    if not isinstance(node, ast.Name):
        return node
    before = [
        given
        for given in ast.walk(parsed)
        if isinstance(given, ast.Assign)
        and given.lineno <= call.lineno
        and any(isinstance(target, ast.Name) and target.id == node.id for target in given.targets)
    ]
    return max(before, key=lambda given: given.lineno).value if before else node


def literal(node: ast.expr) -> str:
    """Return a text in the source, with … where something is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason":
        return Reason[node.attr].value
    return ""


# --- settings and commands -----------------------------------------------------------------------


def settings_page() -> str:
    flags = {option.names[0].lstrip("-").replace("-", "_"): option.names[0] for option in GLOBAL}
    rows = (
        (
            f"`{setting.name}`",
            f"`{flags[setting.name]}`" if setting.name in flags else "",
            f"`{setting.variable}`",
            f"`{setting.default}`" if setting.default not in ("", 0) else "",
            setting.meaning + (f" (one of {', '.join(setting.choices)})" if setting.choices else ""),
        )
        for setting in SETTINGS
    )
    return "\n".join(
        [
            head("Settings", "src/runnotary/config.py"),
            f"A flag counts before the environment, that before `{FILE}` in the working directory, that",
            "before the default.\n",
            table(("setting", "flag", "variable", "default", "meaning"), rows),
            "A secret is no setting: `RUNNOTARY_SECRET_<NAME>` in the environment of the engine, or what",
            "`secret_command` prints. `RUNNOTARY_DEBUG=1` shows where an unexpected error came from.\n",
            "What a step finds in its own environment is in [steps.md](../steps.md).\n",
        ]
    )


def cli_page() -> str:
    parts = [
        head("Commands", "src/runnotary/cli/table.py"),
        "A command appears here when it works. stdout is data, stderr is progress. Exit statuses are in",
        "[errors.md](errors.md). Every command also takes:\n",
        table(("option", "meaning"), map(option_row, GLOBAL)),
    ]
    for command in COMMANDS.values():
        parts += [
            f"## `runnotary {command.name}`\n",
            f"{command.summary[:1].upper()}{command.summary[1:]}.\n",
        ]
        parts += [f"    runnotary {usage(command)}\n"]
        if command.details:
            parts += [f"{command.details}\n"]
        if command.options:
            parts += [table(("argument", "meaning"), map(option_row, command.options))]
    return "\n".join(parts)


def usage(command: Command) -> str:
    optional = ["[options]"] if any(option.names[0].startswith("-") for option in command.options) else []
    rest = ["--", command.rest] if command.rest else []
    return " ".join([command.name, *command.arguments, *optional, *rest])


def option_row(option: Option) -> tuple[str, str]:
    if not option.names[0].startswith("-"):
        return f"`{option.metavar}`", option.help
    takes = "" if option.kind == "flag" else " " + ("|".join(option.choices) or option.metavar)
    return f"`{', '.join(option.names)}{takes}`", option.help


# --- routes --------------------------------------------------------------------------------------


def routes_page() -> str:
    parts = [
        head("Routes", "src/runnotary/api/routes.py"),
        "What the server answers; how to speak to it stands in [api.md](../api.md), and every shape in",
        "`/api/v1/openapi.json`. *Needs* is what the caller must be granted ([access.md](../access.md)).\n",
        table(("route", "what", "needs", "body", "answers"), map(route_row, ROUTES)),
    ]
    asked = {route.query for route in ROUTES if msgspec.structs.fields(route.query)}
    bodies = {route.body for route in ROUTES if route.body not in (None, bytes)}
    for title, kinds in (("Queries", asked), ("Bodies", bodies)):
        parts += [f"## {title}\n"]
        for kind in sorted(kinds, key=lambda kind: kind.__name__):
            of = [
                f"`{route.verb} {plain(route.path)}`" for route in ROUTES if kind in (route.query, route.body)
            ]
            parts += [f"### {kind.__name__}\n", f"Of {', '.join(of)}.\n"]
            parts += [table(("name", "default"), (word_row(one) for one in msgspec.structs.fields(kind)))]
    return "\n".join(parts)


def route_row(route: Route) -> tuple[str, ...]:
    body = "bytes" if route.body is bytes else f"`{route.body.__name__}`" if route.body else ""
    answers = ", ".join(
        f"{status} `{kind.__name__}`" if getattr(kind, "__struct_fields__", None) else str(status)
        for status, kind in route.answers.items()
    )
    return f"`{route.verb} {plain(route.path)}`", route.summary, route.needs, body, answers


def plain(path: str) -> str:
    return re.sub(r":[a-z]+}", "}", path)


def word_row(field: Any) -> tuple[str, str]:
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    if default is msgspec.NODEFAULT:
        return f"`{field.name}`", "must be there"
    if default is msgspec.UNSET:
        return f"`{field.name}`", "as it is"
    return f"`{field.name}`", f"`{msgspec.json.encode(default).decode()}`"


# --- modules -------------------------------------------------------------------------------------


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def short(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def purpose(path: Path) -> str:
    """The first sentence of a module's docstring."""
    said = words(ast.get_docstring(ast.parse(path.read_text())))
    return re.split(r"(?<=[.;])\s", said, maxsplit=1)[0].rstrip(":;")


def module_table() -> str:
    return table(
        ("module", "what it is for"),
        ((f"`{short(path)}`", purpose(path)) for path in modules() if path.name != "__init__.py"),
    )


def architecture() -> str:
    text = ARCHITECTURE.read_text()
    before, _, rest = text.partition(MODULES_BEGIN)
    _, _, after = rest.partition(MODULES_END)
    return f"{before}{MODULES_BEGIN}{module_table()}{MODULES_END}{after}"


PAGES = {
    REFERENCE / "states.md": states,
    REFERENCE / "events.md": event_page,
    REFERENCE / "errors.md": error_page,
    REFERENCE / "settings.md": settings_page,
    REFERENCE / "cli.md": cli_page,
    REFERENCE / "routes.md": routes_page,
    ARCHITECTURE: architecture,
}


def main() -> int:
    stale = []
    for path, made in PAGES.items():
        page = made()
        if path.exists() and path.read_text() == page:
            continue
        stale.append(path.name)
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page)
    if stale and "--check" in sys.argv[1:]:
        print(f"not current: {', '.join(stale)}; run .venv/bin/python tools/reference.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
