"""How principals, namespaces and scopes are written, and nothing about what they may do.

    user:ana · service:ci · group:qa      one of three kinds, then 1 to 250 letters without blanks
    lab · team-a.2                        a namespace: 1 to 63 small letters, digits, `.`, `_`, `-`
    read · start · namespace:lab          scopes of a token: actions, and namespaces it is good in

Names are compared letter by letter; only ASCII is taken, so that two of them never merely look alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from runnotary.core.errors import InvalidInput
from runnotary.core.permissions import EVERYWHERE, Action, Role, Scopes

_PRINCIPAL: Final = re.compile(r"(?:user|service|group):[A-Za-z0-9._@+~|:=-]{1,250}")
_NAMESPACE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_IN: Final = "namespace:"
GROUP: Final = "group:"


def is_principal(text: str) -> bool:
    """Tell whether a text has the form of a principal."""
    return _PRINCIPAL.fullmatch(text) is not None


def principal(text: str) -> str:
    """Return a principal as it was written.

    Raises:
        InvalidInput: it has another form.
    """
    if not is_principal(text):
        hint = "write user:NAME, service:NAME or group:NAME; NAME of at most 250 letters, digits, ._@+~|:=-"
        raise InvalidInput(f"{_shown(text)} is no principal", hint=hint)
    return text


def actor(text: str) -> str:
    """Return a principal that can act: a user or a service.

    Raises:
        InvalidInput: it is a group, or no principal.
    """
    if principal(text).startswith(GROUP):
        raise InvalidInput(f"{_shown(text)} is a group; name a user or a service")
    return text


def group(text: str) -> str:
    """Return the name of a group.

    Raises:
        InvalidInput: it is none.
    """
    if not principal(text).startswith(GROUP):
        raise InvalidInput(f"{_shown(text)} is no group", hint=f"write {GROUP}NAME")
    return text


def namespace(text: str) -> str:
    """Return the name of a namespace.

    Raises:
        InvalidInput: it has another form.
    """
    if _NAMESPACE.fullmatch(text) is None:
        hint = "1 to 63 small letters, digits, dots, _ and -, a letter or digit first"
        raise InvalidInput(f"{_shown(text)} is no name for a namespace", hint=hint)
    return text


def namespace_or_all(text: str) -> str:
    """Return a namespace, or `*`.

    Raises:
        InvalidInput: it is neither.
    """
    return text if text == EVERYWHERE else namespace(text)


def role(text: str) -> Role:
    """Return a role by its name.

    Raises:
        InvalidInput: there is none of that name.
    """
    try:
        return Role(text)
    except ValueError:
        raise InvalidInput(f"{_shown(text)} is no role", hint=f"there are {', '.join(Role)}") from None


def scopes(words: Iterable[str]) -> Scopes:
    """Read scopes. Without a word of one kind there is no limit of that kind.

    Raises:
        InvalidInput: a word is neither an action nor `namespace:NAME`.
    """
    actions: set[Action] = set()
    namespaces: set[str] = set()
    for word in words:
        if word.startswith(_IN):
            namespaces.add(namespace(word.removeprefix(_IN)))
            continue
        try:
            actions.add(Action(word))
        except ValueError:
            hint = f"write {_IN}NAME, or one of {', '.join(Action)}"
            raise InvalidInput(f"{_shown(word)} is no scope", hint=hint) from None
    return Scopes(frozenset(actions) or None, frozenset(namespaces) or None)


def scope_words(limits: Scopes) -> list[str]:
    """Write scopes, actions in the order of their table."""
    actions = [str(one) for one in Action if limits.actions and one in limits.actions]
    return actions + [f"{_IN}{name}" for name in sorted(limits.namespaces or ())]


def _shown(text: str) -> str:
    return repr(text[:60] + ("…" if len(text) > 60 else ""))
