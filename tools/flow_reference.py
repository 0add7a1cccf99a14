"""Writes docs/reference/flow.md from the one table of keys (`core/grammar.py`).

.venv/bin/python tools/flow_reference.py            writes the page
.venv/bin/python tools/flow_reference.py --check    exits 1 if the page is not current
"""

import sys
from pathlib import Path

from runnotary.core import grammar
from runnotary.core.grammar import Table

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "flow.md"

HEAD = """\
# Every key of a flow file

Written by `tools/flow_reference.py` from `src/runnotary/core/grammar.py`; do not edit. The guide is
[flow-format.md](../flow-format.md). *Hashed* keys are part of a definition's identity. What is absent, or
equals its default, is absent from the hashed document, so a new key never changes an old hash.
"""

SECTIONS: list[tuple[str, str, Table]] = [
    ("The flow", "", grammar.FLOW),
    ("An input", "`name: type` is short for `name: {type: type}`.", grammar.INPUT),
    ("A step", "Each has exactly one of `run`, `set`, `wait` and `approve`.", grammar.STEP),
    ("`retry`", "`retry: 3` is short for `retry: {attempts: 3}`.", grammar.RETRY),
    (
        "`approve`",
        "`approve: Publish?` is short for its `prompt`. See [approvals](../approvals.md).",
        grammar.APPROVE,
    ),
    ("`catch`", "`catch: true` catches every reason and gives no values.", grammar.CATCH),
    ("`wait`", "`wait: 2s` is short for `wait: {for: 2s}`.", grammar.WAIT),
]


def rows(table: Table) -> list[str]:
    lines = ["| key | takes | default | hashed | meaning |", "|---|---|---|---|---|"]
    for key in table.values():
        if not key.later:
            takes, default = key.takes.replace("|", "\\|"), key.default or "–"
            meaning = key.meaning + (
                (" `run` and `approve` steps only." if key.name == "catch" else " `run` steps only.")
                if key.name in grammar.RUN_ONLY and key is grammar.STEP.get(key.name)
                else ""
            )
            lines.append(
                f"| `{key.name}` | {takes} | {default} | {'yes' if key.hashed else 'no'} | {meaning} |"
            )
    return lines


def page() -> str:
    parts = [HEAD]
    for title, words, table in SECTIONS:
        parts.append("\n".join([f"## {title}\n", *([words + "\n"] if words else []), *rows(table), ""]))
    later = [key.name for _, _, table in SECTIONS for key in table.values() if key.later]
    words = ", ".join(f"`{name}`" for name in (*later, *grammar.LATER_EXECUTORS))
    parts.append(f"## Not in this release\n\nKnown words that are refused, never ignored: {words}.\n")
    parts.append(
        "## What expressions see\n\n"
        "| name | what |\n|---|---|\n"
        "| `inputs.NAME` | an input |\n"
        f"| `steps.NAME.FIELD` | {', '.join(f'`{name}`' for name in grammar.STEP_FIELDS)} of a step; "
        "of a `for_each` step each entry of `values` and `files` is a list |\n"
        "| `each.value`, `each.index` | the entry of a `for_each` step that a task is for |\n"
        f"| `run.FIELD` | {', '.join(f'`{name}`' for name in grammar.RUN_FIELDS)} |\n"
        "| `always()`, `success()`, `failure()`, `cancelled()` | in a step's `if`: how its needs ended |\n"
        "| `secrets.NAME` | in `env` only, as one whole `${{ }}` |\n"
    )
    return "\n".join(parts)


def main() -> int:
    if "--check" in sys.argv[1:]:
        current = PAGE.exists() and PAGE.read_text() == page()
        if not current:
            print(f"{PAGE.name} is not current: run {Path(__file__).name}", file=sys.stderr)
        return 0 if current else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
