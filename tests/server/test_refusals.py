"""What nobody foresaw is answered like everything else: a problem, with the headers of every answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from runnotary import config
from runnotary.core.errors import Conflict
from runnotary.server.application import Application
from runnotary.server.guards import ALWAYS, HEAD_MAX, admit_all
from runnotary.server.metrics import Metrics
from tests.database import ENVIRON

Json = Any
SITE = "https://one.example"


async def broken(request: Request) -> Response:
    raise ZeroDivisionError("the secret of the inside")


async def refused(request: Request) -> Response:
    raise Conflict("not now")


async def breaking_off(request: Request) -> Response:
    async def parts() -> Any:
        yield b"a part"
        raise ZeroDivisionError("later")

    return StreamingResponse(parts())


def asked(path: str, **headers: str) -> httpx2.Response:
    """Ask an application that serves these beside the API."""
    mounted = [Route(f"/{one.__name__}", one) for one in (broken, refused, breaking_off)]
    nothing: Json = None
    application = Application(
        nothing,
        nothing,
        config.load({"cors_origins": SITE}, environ=ENVIRON, cwd=Path("/")),
        admit=admit_all,
        incoming=Path(),
        metrics=Metrics(),
        mounted=mounted,
    )

    async def scene() -> httpx2.Response:
        transport = httpx2.ASGITransport(application.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path, headers={"origin": SITE, **headers})

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/broken", 500, "defect"),
        ("/refused", 409, "conflict"),
        ("/nowhere", 404, "no_such_route"),
        ("/refused?" + "x" * HEAD_MAX, 431, "head_too_large"),
    ],
)
def test_an_answer_without_an_end_of_its_own(path: str, status: int, code: str) -> None:
    answer = asked(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert dict(ALWAYS).items() <= dict(answer.headers).items()
    assert answer.headers["access-control-allow-origin"] == SITE
    assert "secret" not in answer.text


def test_a_defect_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    asked("/broken")
    (told,) = [one for one in caplog.records if one.name == "runnotary.server"]
    assert told.getMessage() == "GET /broken failed"
    assert told.exc_info is not None
    assert "the secret of the inside" in str(told.exc_info[1])


def test_what_has_begun_breaks_off() -> None:
    with pytest.raises(ZeroDivisionError):
        asked("/breaking_off")
