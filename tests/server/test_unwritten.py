"""A store that cannot write: every change is answered by 5xx and did not happen; afterwards all is well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runnotary import config
from runnotary.app.embedding import EmbeddedHome
from runnotary.app.in_process import InProcessTransport
from runnotary.app.stores import opened_read_only, record_of
from runnotary.config import Settings
from runnotary.store.verify import verify
from tests.database import ENVIRON
from tests.engine.test_evidence import Disk
from tests.server.up import API, QUICK

Json = Any
WHY = {"reason": "because"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config.load({"home": str(tmp_path / "home")}, environ=ENVIRON, cwd=tmp_path)


@pytest.fixture
def http(settings: Settings) -> Iterator[httpx2.Client]:
    home = EmbeddedHome(settings)
    with httpx2.Client(
        transport=InProcessTransport(home.thread, home.app), base_url=f"http://localhost{API}", timeout=60
    ) as client:
        yield client
    home.close()


def position(settings: Settings) -> int:
    store = opened_read_only(settings)
    try:
        return store.position()
    finally:
        store.close()


def test_what_cannot_be_written_is_answered_by_5xx_and_did_not_happen(
    http: httpx2.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    sleeps = {"flow": "sleeps", "steps": {"a": {"run": "sleep 30"}}}
    for document in (QUICK, sleeps):
        assert http.post("/flows", json={"definition": document}).status_code < 300
    done = http.post("/flows/quick/runs", headers={"prefer": "wait=60"}).json()["id"]
    going = http.post("/flows/sleeps/runs").json()["id"]
    http.post("/namespaces", json={"name": "lab"})
    before: Json = None
    changes: list[tuple[str, str, Json]] = [
        ("POST", "/flows/quick/runs", None),
        ("POST", "/flows", {"definition": {"flow": "new", "steps": {"a": {"run": "true"}}}}),
        ("PATCH", f"/runs/{done}", {"label": "x"}),
        ("POST", f"/runs/{done}/archive", WHY),
        ("POST", f"/runs/{done}/hold", WHY),
        ("POST", f"/runs/{done}/purge", WHY),
        ("POST", f"/runs/{done}/erase", WHY),
        ("POST", "/runs:purge", {"older_than": "0d", **WHY}),
        ("POST", "/namespaces", {"name": "other"}),
        ("PUT", "/namespaces/lab/roles/user:ana", {"role": "viewer"}),
        ("POST", "/tokens", {"principal": "user:ana", "name": "n"}),
        ("POST", f"/runs/{going}/cancel", WHY),
    ]
    before, disk.left = position(settings), 0
    for verb, path, body in changes:
        answer = http.request(verb, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (507, "not_recorded"), (path, answer.text)
        assert "disk I/O error" in answer.json()["detail"]
    assert position(settings) == before
    disk.left = 10**6
    assert http.get(f"/runs/{done}").json()["label"] is None
    for verb, path, body in changes:
        answer = http.request(verb, path, json=body)
        assert answer.status_code < 300 or "purge" in path or "erase" in path, (path, answer.text)
    http.get(f"/runs/{going}", headers={"prefer": "wait=60"})
    assert verify(record_of(settings), deep=True).findings == ()
