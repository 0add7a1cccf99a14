"""Which releases may read and write a record: those that know its schema."""

from __future__ import annotations

from runnotary.core.errors import HomeVersion


def refuse_newer(what: str, version: int, known: int) -> None:
    """Refuse what a newer release wrote; `what` is a home or a database.

    Raises:
        HomeVersion: it did.
    """
    if version > known:
        raise HomeVersion(
            f"this {what} has schema {version}, this release knows {known}",
            hint="use the release that wrote it, or a newer one",
        )


def refuse_other(what: str, version: int, known: int) -> None:
    """Refuse to read what another release wrote: reading brings nothing forward.

    Raises:
        HomeVersion: the schema is newer or older than this release's, or there is none.
    """
    refuse_newer(what, version, known)
    if version < known:
        raise HomeVersion(
            f"this {what} has schema {version}, this release reads {known}",
            hint="start a flow in it, or run `runnotary up`, to bring it forward",
        )
