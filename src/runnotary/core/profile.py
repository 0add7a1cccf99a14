"""What a profile demands of everybody, beyond their permissions: one table, asked wherever something changes.

`standard` demands nothing. `regulated` is for records that others will inspect: who changes, ends or removes
something says why; a version label means one definition for ever; nobody is anonymous; nobody approves what
they asked for themselves. No profile changes what is recorded of a run: that has no switch.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

import msgspec

from runnotary.core.errors import ReasonRequired

Name = Literal["standard", "regulated"]
NOTED: Final = "profile"
"""Kind of the `engine.noted` that says under which profile the engine works from then on."""


class Change(StrEnum):
    """What somebody may have to give a reason for."""

    CANCEL = "cancel"
    PURGE = "purge"
    ERASE = "erase"
    HOLD = "hold"
    ACCESS = "change access"
    DECIDE = "decide a request"


class Profile(msgspec.Struct, frozen=True):
    """The demands of one profile."""

    name: Name = "standard"
    reasons: frozenset[Change] = frozenset()
    """For these a reason must be given."""

    one_meaning: bool = False
    """A version label of a flow never means another definition."""

    local_owner: bool = True
    """Over HTTP, whoever asks without credentials on this machine may be the home's owner."""

    self_approval: bool = True
    """Whoever asked for something may approve it, if the step itself does not forbid it."""

    def require_reason(self, change: Change, reason: str) -> None:
        """Let a change pass that says why, if it must.

        Raises:
            ReasonRequired: it does not, and must.
        """
        seen = any(letter.isprintable() and not letter.isspace() for letter in reason)
        if change in self.reasons and not seen:
            raise ReasonRequired(
                f"to {change} needs a reason under the profile {self.name}", hint="say why: --reason TEXT"
            )


PROFILES: Final[dict[str, Profile]] = {
    "standard": Profile(),
    "regulated": Profile(
        "regulated", frozenset(Change), one_meaning=True, local_owner=False, self_approval=False
    ),
}
STANDARD: Final = PROFILES["standard"]
