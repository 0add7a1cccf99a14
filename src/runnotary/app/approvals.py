"""What people are asked, listed for commands: of the home, or of a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from runnotary.app.home import Embedded, profile_of
from runnotary.app.listing import owner
from runnotary.app.records import reading
from runnotary.app.system import SystemClock
from runnotary.config import Settings
from runnotary.core.permissions import EVERYWHERE
from runnotary.engine.answers import Entitlement
from runnotary.engine.approvals import Answering, ApprovalQuery, Approvals
from runnotary.engine.questions import Places, Questions
from runnotary.engine.reader import Reader

if TYPE_CHECKING:
    from runnotary.app.remote import RemoteReader

Json = Any


def listed(settings: Settings, words: Mapping[str, Json]) -> Json:
    """Return a page of requests as `GET /api/v1/approvals` does.

    Raises:
        RunNotFound: nothing was ever recorded here, or the run that is named is not there.
        InvalidInput: requests that are over are asked for, and no run.
    """
    said = {name: value for name, value in words.items() if value}
    with reading(settings) as reader:
        if settings.url:
            return _there(reader).approvals(said)
        spaces = tuple(said.get("namespace", ("default",)))
        query = ApprovalQuery(
            namespace=() if EVERYWHERE in spaces else spaces,
            flow=tuple(said.get("flow", ())),
            run=said.get("run", ""),
            status=tuple(said.get("status", ())),
            mine=said.get("mine", False),
        )
        limit, page = said.get("limit", 50), said.get("cursor", "")
        return _here(reader, settings).listing(owner(), query, limit=limit, page=page)


def asked(settings: Settings, run: str, task: str) -> Json:
    """Return one request of a run, as `GET /api/v1/runs/{run}/tasks/{task}/approval` does.

    Raises:
        TaskNotFound, InvalidInput: the step asks nothing, or several things.
    """
    with reading(settings) as reader:
        if settings.url:
            return _there(reader).approval(run, task)
        return _here(reader, settings).one(owner(), run, task)


def _there(reader: Reader) -> RemoteReader:
    from runnotary.app.remote import RemoteReader

    assert isinstance(reader, RemoteReader)
    return reader


def _here(reader: Reader, settings: Settings) -> Approvals:
    entitlement = Entitlement(reader.store, profile_of(settings))
    return Approvals(Questions(reader, cast(Places, None)), entitlement, SystemClock())


def answering(home: Embedded) -> Answering:
    """Return what takes answers to the requests of a home whose engine is in this process."""
    return Answering(Questions(home.reader, cast(Places, None)), home.service.answers)
