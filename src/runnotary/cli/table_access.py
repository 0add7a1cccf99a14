"""The commands about access: namespaces, roles in them, groups, tokens."""

from __future__ import annotations

from typing import Final

from runnotary.cli.options import OUTPUT, Command, Option

REASON: Final = Option(("--reason",), "why, for the record", metavar="TEXT")
SPACE: Final = Option(("namespace",), "namespace, or * for the home itself", metavar="NAME")
WHO: Final = Option(("principal",), "user:NAME, service:NAME or group:NAME", metavar="WHO")
ROLES: Final = ("viewer", "starter", "operator", "approver", "admin")
ROLE: Final = Option(("role",), "what they may be", metavar="ROLE", choices=ROLES)

ACCESS: Final = (
    Command(
        ("namespace", "create"),
        "runnotary.cli.namespaces:create",
        "make a namespace",
        (
            SPACE._replace(help="small letters, digits, dots, _ and -"),
            Option(("--title",), "what it is for", metavar="TEXT"),
            REASON,
            OUTPUT,
        ),
    ),
    Command(("namespace", "list"), "runnotary.cli.namespaces:spaces", "those you may see", (OUTPUT,)),
    Command(
        ("namespace", "show"), "runnotary.cli.namespaces:show", "who may do what in one", (SPACE, OUTPUT)
    ),
    Command(
        ("namespace", "audit"),
        "runnotary.cli.namespaces:audit",
        "every change of access: who, as what, why",
        (SPACE, OUTPUT),
    ),
    Command(
        ("namespace", "grant"),
        "runnotary.cli.namespaces:grant",
        "give somebody a role",
        (SPACE, WHO, ROLE, REASON, OUTPUT),
        details="viewer: see runs. starter: and start them. operator: and change, cancel and archive them,\n"
        "register flows. approver: see runs and approve. admin: everything, and say who may what.",
    ),
    Command(
        ("namespace", "revoke"),
        "runnotary.cli.namespaces:revoke",
        "take a role away, or all of them",
        (SPACE, WHO, ROLE._replace(kind="maybe"), REASON, OUTPUT),
    ),
    Command(
        ("group", "set"),
        "runnotary.cli.namespaces:set_group",
        "let a group consist of exactly these",
        (
            Option(("group",), "group:NAME", metavar="GROUP"),
            Option(("members",), "users and services; none empties it", "any", metavar="WHO"),
            REASON,
            OUTPUT,
        ),
    ),
    Command(("group", "list"), "runnotary.cli.namespaces:groups", "groups and their members", (OUTPUT,)),
    Command(
        ("token", "create"),
        "runnotary.cli.tokens:create",
        "let a user or service in; prints the secret once",
        (
            WHO._replace(help="user:NAME or service:NAME; yourself if left out", kind="maybe"),
            Option(("--name",), "what it is for, to know it by", metavar="TEXT"),
            Option(
                ("--scope",),
                "good for this only: an action such as read or start, or namespace:NAME; may be repeated",
                "many",
                metavar="SCOPE",
                into="scopes",
            ),
            Option(("--expires",), "after this time (default 90d), or `never`", metavar="TIME"),
            REASON,
            OUTPUT,
        ),
        details="A token gives what roles its principal has: see `runnotary namespace grant`.\n"
        "A server takes it as `Authorization: Bearer TOKEN`, a command from RUNNOTARY_TOKEN.",
    ),
    Command(("token", "list"), "runnotary.cli.tokens:tokens", "tokens, never their secrets", (OUTPUT,)),
    Command(
        ("token", "revoke"),
        "runnotary.cli.tokens:revoke",
        "refuse tokens from now on",
        (
            Option(("tokens",), "ids, or beginnings that are enough", "words", metavar="TOKEN"),
            REASON,
            OUTPUT,
        ),
    ),
)
