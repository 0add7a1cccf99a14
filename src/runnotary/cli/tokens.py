"""`token create|list|revoke`: what programs and people without a login come in with."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any, Final

from runnotary.app.access import asked, own_name
from runnotary.app.system import SystemClock
from runnotary.cli import words
from runnotary.cli.asked import duration_ms, settings_of
from runnotary.cli.listing import when
from runnotary.cli.namespaces import change
from runnotary.cli.output import Page, Part, emit

Json = Any
NEVER: Final = "never"
DEFAULT: Final = "90d"
STYLES: Final = {"live": "green", "expired": "yellow", "revoked": "dim"}


def create(args: Namespace) -> int:
    """Make a token; its secret is all that is printed to standard output."""
    settings = settings_of(args)
    lasts = args.expires or DEFAULT
    expires = None if lasts == NEVER else SystemClock().now() + duration_ms("--expires", lasts) * 1000
    made = change(
        settings,
        "create_token",
        principal=args.principal or own_name(settings),
        name=args.name or "unnamed",
        scopes=args.scopes,
        expires_at=expires,
        reason=args.reason or "",
    )
    if args.format in (None, "table"):
        until = f"until {when(made['expires_at'])}" if made["expires_at"] else "for ever"
        print(f"token {made['id']} of {made['principal']}, good {until}", file=sys.stderr)
        print("its secret is shown this once:", file=sys.stderr)
    emit(args.format, made, lambda: print(made["secret"]))
    return 0


def tokens(args: Namespace) -> int:
    """List tokens, newest first: one's own, or all for an admin."""
    found = asked(settings_of(args), "tokens")
    table: list[list[Part]] = [
        [
            words.short(one["id"]),
            words.visible(one["name"]),
            words.visible(one["principal"]),
            f"…{one['last4']}",
            (one["status"], STYLES[one["status"]]),
            when(one["expires_at"]) or NEVER,
            " ".join(one["scopes"]),
        ]
        for one in found
    ]
    headers = ("TOKEN", "NAME", "WHO", "ENDS IN", "STATUS", "EXPIRES", "ONLY FOR")
    emit(args.format, {"tokens": found}, lambda: Page().table(table, headers), each=found)
    return 0


def revoke(args: Namespace) -> int:
    """Refuse tokens from now on."""
    settings = settings_of(args)
    ended = [change(settings, "revoke_token", token=name, reason=args.reason or "") for name in args.tokens]
    page = Page()

    def write() -> None:
        for one in ended:
            page.line(f"token {one['id']} of {one['principal']} is revoked")

    emit(args.format, ended[0] if len(ended) == 1 else ended, write, each=ended)
    return 0
