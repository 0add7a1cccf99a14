"""`completion`: a script that lets a shell complete commands and options, made from the table of commands.

The script asks nothing while somebody types: every word it knows stands in it. Where no word of ours fits,
the shell completes file names.
"""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from runnotary.cli.table import COMMANDS, GLOBAL, NOUNS, Command, Option

HELP: Final = Option(("-h", "--help"), "show help", "flag")


def completion(args: Namespace) -> int:
    """Print the script for a shell."""
    print({"bash": bash, "zsh": zsh, "fish": fish}[args.shell](), end="")
    return 0


def _options(command: Command) -> list[Option]:
    """Return what may be written with a dash, those of every command last."""
    return [option for option in (*command.options, *GLOBAL, HELP) if option.names[0].startswith("-")]


def _verbs(noun: str) -> list[Command]:
    return [command for command in COMMANDS.values() if command.words[0] == noun and len(command.words) == 2]


def _firsts() -> list[tuple[str, str]]:
    """Return the words a command line may begin with, and what each is for."""
    alone = [(command.name, command.summary) for command in COMMANDS.values() if len(command.words) == 1]
    return [*alone, *((noun, f"{noun}: {len(_verbs(noun))} commands") for noun in NOUNS if _verbs(noun))]


def _arguments(command: Command) -> Iterator[tuple[int, Option]]:
    """Yield what is written without a dash, each with how many such words stand before it."""
    named = (option for option in command.options if not option.names[0].startswith("-"))
    return enumerate(named, len(command.words))


def _choices(command: Command) -> Iterator[tuple[str, str]]:
    """Yield what stands before one of a few words, and these words; `#N`: N words without a dash."""
    for option in (*command.options, *GLOBAL):
        if option.choices and option.names[0].startswith("-"):
            yield from ((name, " ".join(option.choices)) for name in option.names)
    for place, argument in _arguments(command):
        if argument.choices:
            yield f"#{place}", " ".join(argument.choices)


def _valued() -> list[str]:
    """Return the options that take a value: the word after one is no argument."""
    options = (option for command in COMMANDS.values() for option in (*command.options, *GLOBAL))
    names = (name for option in options if option.kind != "flag" for name in option.names)
    return [name for name in dict.fromkeys(names) if name.startswith("-")]


# --- bash -----------------------------------------------------------------------------------------

BASH: Final = """\
# Completion of runnotary for bash: eval "$(runnotary completion bash)"
_runnotary() {
    # COMP_WORDS is no help: it breaks words at = and :, as in --home=DIR and user:NAME.
    local line=${COMP_LINE:0:COMP_POINT} first="" second="" word skip="" place=0
    local -a typed
    read -ra typed <<< "$line"
    [[ $line == *[[:space:]] ]] && typed+=("")
    local last=$((${#typed[@]} - 1))
    local cur=${typed[last]} prev=${typed[last - 1]}
    for word in "${typed[@]:1:last - 1}"; do
        if [[ -n $skip ]]; then skip=""; continue; fi
        case $word in
            %(valued)s) skip=1 ;;
            -*) ;;
            *) if [[ -z $first ]]; then first=$word; elif [[ -z $second ]]; then second=$word; fi
               place=$((place + 1)) ;;
        esac
    done
    [[ -z $skip ]] && prev="#$place"
    [[ $cur == --*=* ]] && prev=${cur%%%%=*} cur=${cur#*=}
    local words="" options=""
    case $first in
        "") words=%(firsts)s ;;
%(nouns)s
    esac
    case "$first $second" in
%(options)s
    esac
    case "$first $second $prev" in
%(choices)s
    esac
    [[ $cur == -* ]] && words=$options
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _runnotary runnotary
"""


def bash() -> str:
    """Return the script for bash."""
    nouns = [
        f'        {noun}) [[ -z $second ]] && words="{" ".join(verb.words[1] for verb in verbs)}" ;;'
        for noun in NOUNS
        if (verbs := _verbs(noun))
    ]
    options, choices = [], []
    for command in COMMANDS.values():
        names = " ".join(name for option in _options(command) for name in option.names)
        options.append(f'        {_pattern(command)}) options="{names}" ;;')
        for before, words in _choices(command):
            choices.append(f'        {_pattern(command, before)}) words="{words}" ;;')
    return BASH % {
        "valued": "|".join(_valued()),
        "firsts": shlex.quote(" ".join(word for word, _ in _firsts())),
        "nouns": "\n".join(nouns),
        "options": "\n".join(options),
        "choices": "\n".join(choices),
    }


def _pattern(command: Command, before: str = "") -> str:
    """Return what `$first $second`, and the word before, look like within a command."""
    words = f'"{command.name}"' if len(command.words) == 2 else f'"{command.name} "*'
    return f'{words}" {before}"' if before else words


# --- zsh ------------------------------------------------------------------------------------------

ZSH: Final = """\
#compdef runnotary
# Completion of runnotary for zsh: eval "$(runnotary completion zsh)", after compinit
_runnotary() {
    local first="" second="" word skip="" prev=${words[CURRENT-1]} place=0
    local -a found
    for word in "${(@)words[2,CURRENT-1]}"; do
        if [[ -n $skip ]]; then skip=""; continue; fi
        case $word in
            %(valued)s) skip=1 ;;
            -*) ;;
            *) if [[ -z $first ]]; then first=$word; elif [[ -z $second ]]; then second=$word; fi
               place=$((place + 1)) ;;
        esac
    done
    [[ -z $skip ]] && prev="#$place"
    [[ ${words[CURRENT]} == --*=* ]] && prev=${words[CURRENT]%%%%=*} && compset -P "*="
    case "$first $second $prev" in
%(choices)s
    esac
    if [[ ${words[CURRENT]} == -* ]]; then
        case "$first $second" in
%(options)s
        esac
        _describe -o option found && return
    fi
    case $first in
        "") found=(%(firsts)s); _describe command found && return ;;
%(nouns)s
    esac
    _files
}
compdef _runnotary runnotary
"""


def zsh() -> str:
    """Return the script for zsh."""
    nouns = [
        f"        {noun}) if [[ -z $second ]]; then found=({_described(verbs)}); "
        "_describe command found && return; fi ;;"
        for noun in NOUNS
        if (verbs := [(verb.words[1], verb.summary) for verb in _verbs(noun)])
    ]
    options, choices = [], []
    for command in COMMANDS.values():
        named = [(name, option.help) for option in _options(command) for name in option.names]
        options.append(f"            {_pattern(command)}) found=({_described(named)}) ;;")
        for before, words in _choices(command):
            choices.append(f"        {_pattern(command, before)}) compadd {words}; return ;;")
    return ZSH % {
        "valued": "|".join(_valued()),
        "firsts": _described(_firsts()),
        "nouns": "\n".join(nouns),
        "options": "\n".join(options),
        "choices": "\n".join(choices),
    }


def _described(words: list[tuple[str, str]]) -> str:
    """Write words with what each is for, as `_describe` reads them."""
    escaped = ((word.replace(":", "\\:"), text.replace(":", "\\:")) for word, text in words)
    return " ".join(shlex.quote(f"{word}:{text}") for word, text in escaped)


# --- fish -----------------------------------------------------------------------------------------

FISH: Final = """\
# Completion of runnotary for fish: runnotary completion fish | source
function __runnotary_words
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case %(valued)s
                set skip 1
            case '-*'
            case '*'
                printf '%%s\\n' $word
        end
    end
end
function __runnotary_at
    set -l found (__runnotary_words)
    set -l wanted (count $argv)
    test (count $found) -ge $wanted; and test "$found[1..$wanted]" = "$argv"
end
function __runnotary_place
    test (count (__runnotary_words)) = $argv[1]; or return 1
    test (count $argv) = 1; or __runnotary_at $argv[2..-1]
end
"""


def fish() -> str:
    """Return the script for fish."""
    lines = [FISH % {"valued": " ".join(_valued())}]
    for word, text in _firsts():
        lines.append(f"complete -c runnotary -f -n '__runnotary_place 0' -a {word} -d {_text(text)}\n")
    for noun in NOUNS:
        for verb in _verbs(noun):
            at = shlex.quote(f"__runnotary_place 1 {noun}")
            lines.append(f"complete -c runnotary -f -n {at} -a {verb.words[1]} -d {_text(verb.summary)}\n")
    for command in COMMANDS.values():
        at = shlex.quote(f"__runnotary_at {command.name}")
        taken = (option for option in command.options if option.names[0].startswith("-"))
        lines += [f"complete -c runnotary -n {at} {_fish(option)}\n" for option in taken]
        for place, argument in _arguments(command):
            if argument.choices:
                at = shlex.quote(f"__runnotary_place {place} {command.name}")
                choices = shlex.quote(" ".join(argument.choices))
                lines.append(f"complete -c runnotary -f -n {at} -a {choices}\n")
    lines += [f"complete -c runnotary {_fish(option)}\n" for option in (*GLOBAL, HELP)]
    return "".join(lines)


def _fish(option: Option) -> str:
    """Write one option."""
    parts = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    if option.choices:
        parts.append(f"-x -a {shlex.quote(' '.join(option.choices))}")
    elif option.kind != "flag":
        parts.append("-r")
    return " ".join([*parts, f"-d {_text(option.help)}"])


def _text(text: str) -> str:
    """Quote for fish, which knows two escapes in single quotes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
