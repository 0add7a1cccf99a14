"""`namespace …` and `group …`: where runs belong, and who may do what with them."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from typing import Any

from runnotary.app.access import asked
from runnotary.app.session import session
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.listing import when
from runnotary.cli.output import Page, Part, emit
from runnotary.config import Settings
from runnotary.core import principals

Json = Any


def change(settings: Settings, verb: str, **said: Json) -> Json:
    """Let the engine make a change of access; return its document."""

    async def made() -> Json:
        async with session(settings) as engine:
            return await engine.access(verb, said)

    return asyncio.run(made())


def create(args: Namespace) -> int:
    """Make a namespace."""
    made = change(
        settings_of(args),
        "create_namespace",
        namespace=args.namespace,
        title=args.title or "",
        reason=args.reason or "",
    )
    emit(args.format, made, lambda: Page().line(f"namespace {made['namespace']}"), key="namespace")
    return 0


def spaces(args: Namespace) -> int:
    """List the namespaces that the caller may see."""
    found = asked(settings_of(args), "namespaces")
    table: list[list[Part]] = [
        [
            one["namespace"],
            ", ".join(one["your_roles"]),
            (when(one["created_at"]), words.DIM),
            words.visible(one["title"] or ""),
        ]
        for one in found
    ]
    headers = ("NAMESPACE", "YOUR ROLES", "CREATED", "TITLE")
    document = {"namespaces": found}
    emit(args.format, document, lambda: Page().table(table, headers), each=found, key="namespace")
    return 0


def show(args: Namespace) -> int:
    """Show a namespace, and who has which roles in it."""
    found = asked(settings_of(args), "namespace", namespace=args.namespace)
    emit(args.format, found, lambda: _write(found), key="namespace")
    return 0


def _write(found: Json) -> None:
    page = Page()
    page.line((found["namespace"], words.BOLD), f"  {words.visible(found['title'] or '')}".rstrip())
    if found["created_by"]:
        page.line((f"created {when(found['created_at'])} by {words.visible(found['created_by'])}", words.DIM))
    if found.get("roles") is None:
        page.line(("your roles ", words.DIM), ", ".join(found["your_roles"]) or "none")
        return
    if not found["roles"]:
        page.line(("nobody has a role here", words.DIM))
    rows: list[list[Part]] = [[one["principal"], ", ".join(one["roles"])] for one in found["roles"]]
    page.table(rows, ("WHO", "ROLES"))


def audit(args: Namespace) -> int:
    """List every change of access to a namespace."""
    changes = asked(settings_of(args), "history", namespace=args.namespace)
    table: list[list[Part]] = [
        [
            when(one["time"]),
            one["by"]["principal"],
            (one["by"].get("role", ""), words.DIM),
            f"{one['kind']} {one['subject']}: {_said(one['was'])} → {_said(one['set'])}",
            words.visible(one["reason"]),
        ]
        for one in changes
    ]
    headers = ("TIME", "WHO", "AS", "WHAT", "WHY")
    document = {"namespace": args.namespace, "changes": changes}
    emit(args.format, document, lambda: Page().table(table, headers), each=changes, key="subject")
    return 0


def _said(state: Json) -> str:
    """Write what an event says was or is: of a list its members, else names and values."""
    parts = [", ".join(value) if isinstance(value, list) else str(value) for value in state.values()]
    return words.visible("; ".join(part for part in parts if part)) or "–"


def grant(args: Namespace) -> int:
    """Give somebody a role in a namespace."""
    return _roles(args, "grant")


def revoke(args: Namespace) -> int:
    """Take a role away from somebody, or all of theirs."""
    return _roles(args, "revoke")


def _roles(args: Namespace, verb: str) -> int:
    principals.namespace_or_all(args.namespace)
    principals.principal(args.principal)
    now = change(
        settings_of(args),
        verb,
        namespace=args.namespace,
        principal=args.principal,
        role=args.role,
        reason=args.reason or "",
    )
    text = f"{now['principal']} in {now['namespace']}: {', '.join(now['roles']) or 'no role'}"
    emit(args.format, now, lambda: Page().line(text), key="principal")
    return 0


def set_group(args: Namespace) -> int:
    """Let a group consist of exactly these."""
    now = change(
        settings_of(args), "set_group", group=args.group, members=args.members, reason=args.reason or ""
    )
    text = f"{now['group']}: {', '.join(now['members']) or 'nobody'}"
    emit(args.format, now, lambda: Page().line(text), key="group")
    return 0


def groups(args: Namespace) -> int:
    """List groups and their members."""
    found = asked(settings_of(args), "groups")
    rows: list[list[Part]] = [[one["group"], ", ".join(one["members"]) or "nobody"] for one in found]
    emit(
        args.format,
        {"groups": found},
        lambda: Page().table(rows, ("GROUP", "MEMBERS")),
        each=found,
        key="group",
    )
    return 0
