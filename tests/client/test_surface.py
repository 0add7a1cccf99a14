"""What can be named: both clients have the same methods, and `runnotary` has every error."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import runnotary
from runnotary import client
from runnotary.app import clients
from runnotary.client.places import place
from runnotary.core import errors

ROOT = Path(__file__).parents[2]
ERRORS = [name for name, kind in vars(errors).items() if getattr(kind, "__module__", "") == errors.__name__]
METHODS = [name for name in dir(client.Client) if not name.startswith("_")]


def test_the_client_without_asyncio_is_written_from_the_other() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "unasync.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", METHODS)
def test_both_clients_have_the_same_methods(name: str) -> None:
    sync, other = getattr(client.Client, name), getattr(client.AsyncClient, name)
    if not callable(sync):
        return
    assert inspect.signature(sync).parameters == inspect.signature(other).parameters
    assert inspect.iscoroutinefunction(other) or inspect.isasyncgenfunction(other)
    assert inspect.getdoc(sync)


def test_no_method_is_in_one_client_only() -> None:
    assert [name for name in dir(client.AsyncClient) if not name.startswith("_")] == METHODS


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_a_name_of_the_package(name: str) -> None:
    assert getattr(runnotary, name) is getattr(errors, name)
    assert name in dir(runnotary)


def test_type_checkers_and_python_see_the_same_names() -> None:
    stub = (ROOT / "src" / "runnotary" / "__init__.pyi").read_text()
    named = {line.rsplit(" as ", 1)[1] for line in stub.splitlines() if " as " in line}
    assert named == set(runnotary._ROOMS)
    assert all(inspect.isclass(getattr(runnotary, name)) for name in named)


def test_the_clients_of_the_package_are_those_of_the_client_with_a_home() -> None:
    assert runnotary.Client is clients.Client
    assert issubclass(runnotary.Client, client.Client)
    assert issubclass(runnotary.AsyncClient, client.AsyncClient)
    wanted = ["self", "url", "token", "home", "timeout", "transport"]
    assert list(inspect.signature(runnotary.Client.__init__).parameters) == wanted
    assert list(inspect.signature(runnotary.AsyncClient.__init__).parameters) == wanted


def test_there_is_no_name_that_is_not_there() -> None:
    for name in ("Nothing", "nothing", "Sequence", "__nothing__"):
        with pytest.raises(AttributeError):
            getattr(runnotary, name)


def test_a_token_does_not_show() -> None:
    assert "rn_secret" not in repr(place("http://127.0.0.1:9", "rn_secret", {}))
    assert place("http://127.0.0.1:9", "rn_secret", {}).headers["authorization"] == "Bearer rn_secret"
