"""Completion: the words that a shell offers are those of the table of commands, no more and no fewer."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from runnotary.cli import completion, table_access
from runnotary.cli.table import COMMANDS, NOUNS

SHELLS = {"bash": completion.bash, "zsh": completion.zsh, "fish": completion.fish}


def offered(*typed: str) -> list[str]:
    """What bash offers for the last word typed. As bash does, words are broken at = and : for the script."""
    line = " ".join(typed)
    broken = [part for word in typed for part in re.split("([=:])", word)]
    ask = (
        f"COMP_LINE={shlex.quote(line)}; COMP_POINT={len(line)}; "
        f"COMP_WORDS=({shlex.join(broken)}); COMP_CWORD={len(broken) - 1}; _runnotary"
    )
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


def test_an_argument_offers_its_words_where_it_stands() -> None:
    roles = ["viewer", "starter", "operator", "approver", "admin"]
    assert offered("runnotary", "namespace", "grant", "") == []
    assert offered("runnotary", "namespace", "grant", "lab", "user:eve", "") == roles
    assert offered("runnotary", "namespace", "grant", "lab", "--reason", "new", "user:eve", "ad") == ["admin"]
    assert offered("runnotary", "namespace", "grant", "lab", "user:eve", "admin", "") == []


def test_words_are_those_that_were_typed() -> None:
    assert offered("runnotary", "--home=lab", "run", "wat") == ["watch"]
    assert offered("runnotary", "run", "list", "--order-by=st") == ["started_at", "status"]
    assert offered("runnotary", "run", "tasks", "@latest:sales", "-o", "js") == ["json", "jsonl"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_script_is_one_of_its_shell(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    script = tmp_path / f"completion.{shell}"
    script.write_text(SHELLS[shell]())
    assert script.read_text().count("namespace grant") > 2
    if program:
        read = subprocess.run([program, "-n", script], capture_output=True, text=True, check=True, timeout=20)
        assert not read.stderr
    if program and shell == "fish":
        ask = f"source {script}; complete -C 'runnotary namespace grant lab user:eve '"
        words = [program, "--no-config", "-c", ask]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20)
        assert (sorted(done.stdout.split()), done.stderr) == (sorted(table_access.ROLES), "")


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
