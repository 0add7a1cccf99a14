"""A client of a home: which one is meant, who shares it, what remains when it is closed, or never is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from runnotary import AsyncClient, Client, HomeLocked, InvalidInput, Unreachable
from runnotary.app.addresses import address_of
from runnotary.app.in_process import (
    UNREAD,
    AsyncInProcessTransport,
    InProcessTransport,
    LoopThread,
    Message,
    Receive,
    Send,
)
from runnotary.store.verify import verify
from tests.client import flows
from tests.client.service import Server, free_port
from tests.database import ENVIRON, record_in

HOLDER = """
import sys
from runnotary import Client
with Client(home="home"):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without any setting."""
    for name in [name for name in os.environ if name.startswith("RUNNOTARY_") and name not in ENVIRON]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- which one is meant --------------------------------------------------------------------------


def test_a_server_and_a_home_are_two_things() -> None:
    with pytest.raises(InvalidInput, match="`url` or `home`"):
        Client("http://127.0.0.1:9", home="home")
    with pytest.raises(InvalidInput, match="`url` or `home`"):
        Client(home="home", transport=httpx2.MockTransport(lambda _: httpx2.Response(200)))


@pytest.mark.parametrize("url", ["127.0.0.1:9", "ftp://127.0.0.1", "http://", "nonsense"])
def test_an_address_is_one(url: str) -> None:
    with pytest.raises(InvalidInput):
        Client(url)


def test_without_a_word_it_is_the_home_here(here: Path) -> None:
    with Client() as client:
        client.register_flow(flows.DOUBLE)
    assert verify(record_in(here / ".runnotary")).ok


def test_the_environment_names_a_home_or_a_server(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNOTARY_HOME", str(here / "named"))
    with Client() as client:
        client.register_flow(flows.DOUBLE)
    assert verify(record_in(here / "named")).ok
    monkeypatch.setenv("RUNNOTARY_URL", f"http://127.0.0.1:{free_port()}")
    with Client() as client, pytest.raises(Unreachable, match="no server answers"):
        client.health()
    with Client(home=here / "named") as client:
        assert client.get_flow("double").title == "Twice as much"


# --- sharing -------------------------------------------------------------------------------------


def test_clients_of_a_process_share_a_home(here: Path) -> None:
    async def beside(run_id: str) -> str:
        async with AsyncClient(home="home") as client:
            return (await client.wait_for_run(run_id)).status

    first, second = Client(home="home"), Client(home=here / "home")
    first.register_flow(flows.DOUBLE)
    run = second.run_flow("double")
    first.close()
    first.close()
    assert asyncio.run(beside(run.id)) == "success"
    assert second.get_run(run.id).status == "success"
    second.close()
    with Client(home="home") as again:
        assert again.get_run(run.id).outputs == {"twice": 2}


@pytest.fixture
def holder(here: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the home open, without serving it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    yield process
    process.communicate(timeout=60)


@pytest.mark.own_database("one process works in it, and the next is refused")
def test_a_home_that_another_process_has_open_is_locked(holder: subprocess.Popen[str]) -> None:
    with pytest.raises(HomeLocked) as raised:
        Client(home="home")
    assert "runnotary up" in raised.value.hint


@pytest.mark.own_database("one process works in it, and is found by a file")
def test_a_home_that_another_process_serves_is_that_server(here: Path) -> None:
    server = Server(here / "home")
    server.start()
    try:
        assert address_of(here / "home") == server.url
        with Client(home="home") as client:
            client.register_flow(flows.DOUBLE)
            assert client.run_flow("double", wait=True).status == "success"
        server.kill()
        assert address_of(here / "home") == ""
        with Client(home="home") as client:
            assert client.get_flow("double")
    finally:
        server.stop()
    assert (here / "home" / "server").is_file()


# --- the end -------------------------------------------------------------------------------------


def test_what_a_closed_home_left_goes_on_when_it_is_opened_again(here: Path) -> None:
    with Client(home="home") as client:
        client.register_flow(flows.GATED)
        run = client.run_flow("gated", {"gate": str(here / "gate")})
        while not client.get_run(run.id).started_at:
            time.sleep(0.01)
    (here / "gate").touch()
    with Client(home="home") as client:
        done = client.wait_for_run(run.id, timeout=60)
        assert (done.status, len(client.run_tasks(run.id)[0].attempts)) == ("success", 1)


def test_a_feed_ends_with_the_client_that_reads_it(here: Path) -> None:
    client = Client(home="home")
    client.register_flow(flows.DOUBLE)
    client.run_flow("double", wait=True)
    events = client.follow_all()
    assert next(events).id
    events.close()
    client.close()


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_who_forgets_to_close_ends_all_the_same(here: Path, kind: str) -> None:
    script = f"from runnotary import {kind}; client = {kind}(home='home'); print('here')"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=here, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")
    with Client(home="home") as client:
        assert client.health()["status"] == "ok"


# --- an application in this process --------------------------------------------------------------


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.close()


async def silent(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    assert (await receive())["type"] == "http.disconnect"


def test_who_waits_too_long_for_an_answer_is_told(thread: LoopThread) -> None:
    with (
        httpx2.Client(transport=InProcessTransport(thread, silent), timeout=0.1) as client,
        pytest.raises(httpx2.ReadTimeout),
    ):
        client.get("http://localhost/")


def test_who_gives_up_before_an_answer_begins_has_left(thread: LoopThread) -> None:
    asked, left = threading.Event(), threading.Event()

    async def patient(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        asked.set()
        await receive()
        left.set()

    async def give_up() -> None:
        transport = AsyncInProcessTransport(thread, patient)
        async with httpx2.AsyncClient(transport=transport, timeout=None) as client:
            asking = asyncio.ensure_future(client.get("http://localhost/"))
            await asyncio.to_thread(asked.wait, 20)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(give_up())
    assert left.wait(20)


def test_an_application_that_breaks_off_is_a_connection_that_does(thread: LoopThread) -> None:
    async def broken(scope: Message, receive: Receive, send: Send) -> None:
        raise ValueError("inside")

    with (
        httpx2.Client(transport=InProcessTransport(thread, broken)) as client,
        pytest.raises(httpx2.RemoteProtocolError, match="inside"),
    ):
        client.get("http://localhost/")


def test_an_answer_waits_for_its_reader(thread: LoopThread) -> None:
    sent = []

    async def long(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(1000):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body", "body": b""})

    with (
        httpx2.Client(transport=InProcessTransport(thread, long)) as client,
        client.stream("GET", "http://localhost/") as answer,
    ):
        parts = answer.iter_raw()
        assert next(parts) == b"x"
        time.sleep(0.2)
        assert len(sent) <= UNREAD + 1  # the one that was read
        assert sum(map(len, parts)) == 999
