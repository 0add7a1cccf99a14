"""Completion: the words that a shell offers are those of the table of commands, no more and no fewer."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from runnotary.cli import completion
from runnotary.cli.table import COMMANDS, NOUNS

SHELLS = {"bash": completion.bash, "zsh": completion.zsh, "fish": completion.fish}


def offered(*typed: str) -> list[str]:
    """What bash offers for the last word typed."""
    ask = f"COMP_WORDS=({shlex.join(typed)}); COMP_CWORD={len(typed) - 1}; _runnotary"
    script = f"{completion.bash()}{ask}; printf '%s\\n' ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=20)
    assert not done.stderr
    return done.stdout.split()


def test_the_first_word_is_a_command_or_a_noun() -> None:
    alone = {command.name for command in COMMANDS.values() if len(command.words) == 1}
    assert set(offered("runnotary", "")) == alone | set(NOUNS)
    assert offered("runnotary", "--home", "run", "sta") == ["start"]
    assert offered("runnotary", "-o", "json", "com") == ["completion"]


@pytest.mark.parametrize("noun", NOUNS)
def test_a_noun_is_followed_by_its_verbs(noun: str) -> None:
    verbs = {command.words[1] for command in COMMANDS.values() if command.words[0] == noun}
    assert set(offered("runnotary", noun, "")) == verbs


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_a_command_offers_every_option_it_takes(command: object) -> None:
    words: tuple[str, ...] = command.words  # type: ignore[attr-defined]
    names = {name for option in command.options for name in option.names}  # type: ignore[attr-defined]
    wanted = {name for name in names if name.startswith("--")} | {"--home", "--url", "--help"}
    assert wanted <= set(offered("runnotary", *words, "--"))


def test_an_option_offers_its_values_and_other_words_are_files() -> None:
    assert offered("runnotary", "start", "f.yaml", "--on-failure", "") == ["continue", "stop"]
    assert offered("runnotary", "flow", "graph", "-o", "") == ["text", "mermaid", "dot"]
    assert offered("runnotary", "completion", "") == ["bash", "zsh", "fish"]
    assert offered("runnotary", "start", "f") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_script_names_every_command_and_option(shell: str) -> None:
    script = SHELLS[shell]()
    for command in COMMANDS.values():
        assert all(word in script for word in command.words)
        for option in command.options:
            for name in option.names:
                if name.startswith("-"):
                    assert (name.lstrip("-") if shell == "fish" else name) in script


def test_the_command_prints_the_script(desk: object) -> None:
    assert desk.ok("completion", "zsh").out == completion.zsh()  # type: ignore[attr-defined]
    assert desk.run("completion", "tcsh").code == 2  # type: ignore[attr-defined]
