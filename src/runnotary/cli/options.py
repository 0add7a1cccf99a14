"""What a command is made of: its words, its options, and the options that many commands share.

Imports nothing, for asking for help must not cost anything.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Option(NamedTuple):
    """One option or positional argument.

    `kind`: flag, value, many (may be repeated), number; of a positional: value, maybe, words (one or more),
    any (also none).
    """

    names: tuple[str, ...]
    help: str
    kind: str = "value"
    metavar: str = ""
    choices: tuple[str, ...] = ()
    into: str = ""


class Command(NamedTuple):
    """One command. `handler` is `module:function`; `rest` says what may stand after `--`."""

    words: tuple[str, ...]
    handler: str
    summary: str
    options: tuple[Option, ...] = ()
    rest: str = ""
    details: str = ""

    @property
    def name(self) -> str:
        return " ".join(self.words)

    @property
    def arguments(self) -> list[str]:
        """What is written without a dash, as help shows it: `RUN…`, `[STEP]`."""
        return [
            SHOWN[one.kind].format(one.metavar) for one in self.options if not one.names[0].startswith("-")
        ]


SHOWN: Final = {"value": "{}", "maybe": "[{}]", "words": "{}…", "any": "[{}…]"}
FORMATS: Final = ("table", "json", "jsonl", "yaml", "name")

GLOBAL: Final = (
    Option(
        ("--home",), "data directory; else the nearest .runnotary upwards, else ./.runnotary", metavar="DIR"
    ),
    Option(
        ("--durability",),
        "full (default): an acknowledged fact survives a power cut",
        choices=("full", "normal"),
    ),
    Option(("--slots",), "attempts running at once", kind="number", metavar="N"),
    Option(("--url",), "ask this server instead of a home here (RUNNOTARY_URL)", metavar="URL"),
)
OUTPUT: Final = Option(("-o", "--format"), "how the answer is written", choices=FORMATS, into="format")
LONG_OUTPUT: Final = Option(("--format",), "how the answer is written", choices=FORMATS, into="format")

RUN: Final = Option(("run",), "run id, unique beginning of one, @latest or @latest:FLOW", metavar="RUN")
STEP: Final = Option(("step",), "step, or one task of it: NAME[3]", metavar="STEP")
SOME_STEP: Final = STEP._replace(kind="maybe")
FORCE: Final = Option(("--force",), "replace files that exist", kind="flag")
QUIET: Final = Option(
    ("-q", "--quiet"), "print the run's id as soon as it is accepted, and nothing else", "flag"
)
NAMESPACE: Final = Option(("-n", "--namespace"), "namespace of flows and runs", metavar="NAME")

ABOUT_A_RUN: Final = (
    Option(("--label",), "a text to find the run by", metavar="TEXT"),
    Option(("--tag",), "a tag; may be repeated", "many", metavar="TAG", into="tags"),
    Option(("--monitor",), "who may see the run; may be repeated", "many", metavar="WHO", into="monitors"),
    Option(("--manage",), "who may change the run; may be repeated", "many", metavar="WHO", into="managers"),
)
