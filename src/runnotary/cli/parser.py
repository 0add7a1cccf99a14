"""From words to a command: which one is meant, and an argparse parser for that one only.

Options that stand before the command count as if they stood after it, so `--home X run list` and
`run list --home X` are the same. What follows `--` is never looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from runnotary.cli.table import COMMANDS, GLOBAL, NOUNS, OUTPUT, START, Command, Option

HELP: Final = ("-h", "--help", "help")
VERSION: Final = ("-V", "--version")
_AHEAD: Final = (*GLOBAL, OUTPUT)
_FILE_ENDINGS: Final = (".yaml", ".yml", ".json", ".py")
_FIRST: Final = {words[0] for words in COMMANDS}


class UsageError(Exception):
    """Words that are no command, or options that do not belong to it; `hint` says what might be meant."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint: Final = hint


class HelpAsked(Exception):
    """Help is wanted: `topic` is a command, a noun, or nothing for all."""

    def __init__(self, topic: Command | str) -> None:
        super().__init__(str(topic))
        self.topic: Final = topic


def parsed(argv: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """Return the command that is meant and its arguments.

    Raises:
        UsageError, HelpAsked: instead.
    """
    ahead, words = _split_ahead(argv)
    command, given = _meant(words)
    given, rest = _split_rest(given)
    if any(word in HELP[:2] for word in given):
        raise HelpAsked(command)
    if rest and not command.rest:
        given, rest = [*given, "--", *rest], []
    parser = _parser(command)
    args, unknown = parser.parse_known_args([*ahead, *given])
    if unknown:
        known = [name for option in _options(command) for name in option.names if name.startswith("-")]
        wrong = unknown[0].partition("=")[0]
        hint = near(wrong, known) if wrong.startswith("-") else ""
        what = "no option" if wrong.startswith("-") else "nothing to do with"
        raise UsageError(f"{command.name}: {what} {wrong}", hint or f"see: runnotary {command.name} --help")
    args.rest = rest
    args.meant = near_verb(words[1]) if words[0] == "run" and command is START else ""
    return command, args


def _split_ahead(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the options before the command from the rest."""
    takes = {name for option in _AHEAD for name in option.names}
    ahead: list[str] = []
    words = list(argv)
    while words and words[0].startswith("-") and words[0] != "--":
        word = words.pop(0)
        if word in HELP:
            raise HelpAsked(_topic(words))
        if word in VERSION:
            return ahead, ["version", *words]
        if word.partition("=")[0] not in takes:
            known = sorted(takes)
            raise UsageError(f"no option {word}", near(word, known) or "see: runnotary --help")
        ahead.append(word)
        if "=" not in word and words:
            ahead.append(words.pop(0))
    return ahead, words


def _meant(words: list[str]) -> tuple[Command, list[str]]:
    """Return the command and what follows its name."""
    if not words or words[0] in HELP:
        raise HelpAsked(_topic(words[1:]))
    first, second = words[0], words[1] if len(words) > 1 else ""
    if (command := COMMANDS.get((first,))) is not None:
        return command, words[1:]
    if (command := COMMANDS.get((first, second))) is not None:
        return command, words[2:]
    if first not in NOUNS:
        if first.endswith(_FILE_ENDINGS):
            raise UsageError(f"no command {first}", f"did you mean: runnotary start {first}")
        raise UsageError(f"no command {first}", near(first, _FIRST) or "see: runnotary --help")
    if not second or second in HELP:
        raise HelpAsked(first)
    verbs = sorted(verb[1] for verb in COMMANDS if verb[0] == first and len(verb) > 1)
    if first == "run":
        return START, words[1:]  # a flow of that name, if there is one: `start` looks
    close = near(second, verbs, prefix=f"runnotary {first} ")
    raise UsageError(f"no command {first} {second}", close or f"there are: {', '.join(verbs)}")


def _topic(words: Sequence[str]) -> Command | str:
    """Return what help is asked about by the words after `help`."""
    names = [word for word in words if not word.startswith("-")]
    for length in (2, 1):
        if (command := COMMANDS.get(tuple(names[:length]))) is not None:
            return command
    return names[0] if names and names[0] in NOUNS else ""


def _split_rest(words: Sequence[str]) -> tuple[list[str], list[str]]:
    if "--" not in words:
        return list(words), []
    at = list(words).index("--")
    return list(words[:at]), list(words[at + 1 :])


def near(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return `did you mean: …` for the nearest known word, or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word[:100], sorted(known), n=1, cutoff=0.6)
    return f"did you mean: {prefix}{found[0]}" if found else ""


def near_verb(word: str) -> str:
    """Return which `run` command a word may have been meant for, if any."""
    return near(word, (verb[1] for verb in COMMANDS if verb[0] == "run"), prefix="runnotary run ")


# --- argparse -------------------------------------------------------------------------------------


class _Help(argparse.RawDescriptionHelpFormatter):
    """Names the value of an option once, after its last name."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, action.dest.upper())}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.removeprefix('runnotary ')}: {message}", f"see: {self.prog} --help")


def help_of(command: Command) -> str:
    """Return the help text of one command."""
    return _parser(command).format_help()


def _options(command: Command) -> tuple[Option, ...]:
    return (*command.options, *GLOBAL)


def _parser(command: Command) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"runnotary {command.name}",
        description=command.summary,
        epilog=command.details or None,
        formatter_class=_Help,
        allow_abbrev=False,
        add_help=False,
    )
    rest = ["--", command.rest] if command.rest else []
    parser.usage = " ".join(["%(prog)s", *command.arguments, "[options]", *rest])
    for option in command.options:
        _add(parser, option)
    everywhere = parser.add_argument_group("everywhere")
    for option in GLOBAL:
        _add(everywhere, option)
    everywhere.add_argument("-h", "--help", action="help", help="show this")
    if OUTPUT.names[-1] not in {name for option in command.options for name in option.names}:
        parser.add_argument(*OUTPUT.names, dest="format", choices=OUTPUT.choices, help=argparse.SUPPRESS)
    return parser


def _add(parser: argparse._ActionsContainer, option: Option) -> None:
    positional = not option.names[0].startswith("-")
    words: dict[str, object] = {"help": option.help}
    if option.kind == "flag":
        words["action"] = "store_true"
    else:
        words["metavar"] = option.metavar or "|".join(option.choices) or None
    if option.kind == "number":
        words["type"] = whole
    if option.kind == "many":
        words |= {"action": "append", "default": []}
    if option.kind in ("words", "any"):
        words["nargs"] = "+" if option.kind == "words" else "*"
    if option.kind == "maybe":
        words["nargs"] = "?"
    if option.choices:
        words["choices"] = option.choices
    if option.into and not positional:
        words["dest"] = option.into
    parser.add_argument(*option.names, **words)  # type: ignore[arg-type]


def whole(text: str) -> int:
    """Read a whole number from 1 on."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return int(text)
