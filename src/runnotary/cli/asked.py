"""What was typed, as settings and values."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from runnotary import config
from runnotary.config import Settings
from runnotary.core.errors import FileMissing, InvalidInput
from runnotary.core.notation import DURATION_FORM, milliseconds

Json = Any


def settings_of(args: Namespace) -> Settings:
    """Resolve the settings of this command.

    Raises:
        InvalidInput: a value that its setting does not take.
    """
    if args.home and args.url:
        raise InvalidInput("--home and --url exclude each other: a command asks a home or a server")
    return config.load({name: getattr(args, name) for name in ("home", "durability", "slots", "url")})


def with_key(settings: Settings, args: Namespace) -> Settings:
    """Let the key that was typed count, if one was.

    Raises:
        InvalidInput: it is empty, as that of a file that is not there: nothing would be checked.
    """
    if args.key is None:
        return settings
    if not args.key.strip():
        raise InvalidInput("--key: it is empty", hint="it is a file, or a text: runnotary key show")
    return msgspec.structs.replace(settings, key=args.key)


def settings_of_home(args: Namespace, command: str) -> Settings:
    """Resolve the settings of a command that works on the files of a home and on nothing else.

    Raises:
        InvalidInput: a server is set.
    """
    settings = settings_of(args)
    if settings.url:
        raise InvalidInput(
            f"{command} reads the files of a home, and {settings.url} is a server",
            hint=f"where the server runs: runnotary {command} … --home DIR",
        )
    return settings


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VALUE` texts.

    Raises:
        InvalidInput: one has no `=`, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{option} {text}: write {option} NAME=VALUE")
        if name in found:
            raise InvalidInput(f"{option} {name}: given twice")
        found[name] = value
    return found


def json_object(option: str, place: str | None) -> dict[str, Json]:
    """Read a file with a JSON object; `-` is standard input.

    Raises:
        InvalidInput: it is not one. FileMissing: there is none.
    """
    if place is None:
        return {}
    try:
        data = sys.stdin.buffer.read() if place == "-" else Path(place).read_bytes()
        found = msgspec.json.decode(data)
    except FileNotFoundError:
        raise FileMissing(f"{option} {place}: there is no such file") from None
    except OSError as wrong:
        raise InvalidInput(f"{option} {place}: {wrong.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise InvalidInput(f"{option} {place}: not JSON: {wrong}") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{option} {place}: expected an object of inputs")
    return found


def duration_ms(option: str, text: str | None, default: int = 0) -> int:
    """Read a duration.

    Raises:
        InvalidInput: it is none.
    """
    if text is None:
        return default
    number = (
        float(text) if text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit() else text
    )
    ms = milliseconds(number)
    if ms is None:
        raise InvalidInput(f"{option} {text}: write {DURATION_FORM}")
    return ms
