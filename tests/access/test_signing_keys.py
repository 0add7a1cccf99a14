"""Keys of a provider over HTTP: kept, asked for again when they change, and never too often."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runnotary.core.errors import Unreachable
from runnotary.server import signing_keys
from runnotary.server.signing_keys import SigningKeys
from tests.access.place import DAY, SECOND, Ticks
from tests.access.provider import KeyServer, ec_key, public, rsa_key

HOUR = 3600 * SECOND


@pytest.fixture
def server() -> Iterator[KeyServer]:
    server = KeyServer(lambda: (404, b""))
    yield server
    server.close()


def finds(keys: SigningKeys, kid: str | None, algorithm: str = "RS256") -> bool:
    return asyncio.run(keys.find(kid, algorithm)) is not None


def test_keys_are_asked_for_once_an_hour(server: KeyServer) -> None:
    server.serve(public(rsa_key(), "one"))
    clock = Ticks()
    keys = SigningKeys(server.url, clock)
    assert server.asked == 0
    for _ in range(3):
        assert finds(keys, "one")
    assert server.asked == 1
    clock.at += HOUR + 1
    assert finds(keys, "one")
    assert server.asked == 2


def test_a_new_key_is_found_at_once_but_nobody_makes_us_ask_without_end(server: KeyServer) -> None:
    server.serve(public(rsa_key(), "one"))
    clock = Ticks()
    keys = SigningKeys(server.url, clock)
    assert finds(keys, "one")
    clock.at += 31 * SECOND
    server.serve(public(rsa_key(1), "two"))
    assert finds(keys, "two")
    assert server.asked == 2
    assert not finds(keys, "one"), "a key that was taken back counts no more"
    for number in range(50):
        assert not finds(keys, f"made up {number}")
    assert server.asked == 2
    clock.at += 31 * SECOND
    assert not finds(keys, "made up")
    assert not finds(keys, "made up")
    assert server.asked == 3


def test_many_who_ask_at_once_are_one_question(server: KeyServer) -> None:
    server.serve(public(rsa_key(), "one"))
    keys = SigningKeys(server.url, Ticks())

    async def all_at_once() -> None:
        found = await asyncio.gather(*(keys.find("one", "RS256") for _ in range(20)))
        assert all(found)

    asyncio.run(all_at_once())
    assert server.asked == 1


def test_old_keys_do_for_a_day_if_nobody_answers(server: KeyServer) -> None:
    server.serve(public(rsa_key(), "one"))
    clock = Ticks()
    keys = SigningKeys(server.url, clock)
    assert finds(keys, "one")
    server.answer = lambda: (503, b"")
    clock.at += 23 * HOUR
    assert finds(keys, "one")
    clock.at += DAY
    with pytest.raises(Unreachable) as refused:
        finds(keys, "one")
    assert (refused.value.http_status, refused.value.exit_code) == (503, 6)
    server.serve(public(rsa_key(), "one"))
    clock.at += 31 * SECOND
    assert finds(keys, "one")


BAD_ANSWERS = {
    "not there": (404, b""),
    "not JSON": (200, b"<html>"),
    "no keys": (200, b'{"keys": []}'),
    "secrets only": (200, b'{"keys": [{"kty": "oct", "kid": "one", "k": "AAAA"}]}'),
    "too much": (200, b" " * (signing_keys.SIZE_MAX + 1)),
    "elsewhere": (302, b"https://evil.example.org/keys"),
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_without_keys_nobody_is_believed(server: KeyServer, what: str) -> None:
    server.answer = lambda: BAD_ANSWERS[what]
    clock = Ticks()
    keys = SigningKeys(server.url, clock)
    for _ in range(3):
        with pytest.raises(Unreachable):
            finds(keys, "one")
    assert server.asked == 1, "a provider that is down is not asked for every request"
    server.serve(public(rsa_key(), "one"))
    clock.at += 31 * SECOND
    assert finds(keys, "one")


def test_a_provider_that_never_answers_holds_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_keys, "READ_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        keys = SigningKeys(f"http://127.0.0.1:{silent.getsockname()[1]}/keys", Ticks())
        with pytest.raises(Unreachable):
            finds(keys, "one")


def test_a_key_counts_for_its_own_algorithms(server: KeyServer) -> None:
    server.serve(public(rsa_key(), "rsa"), public(ec_key(), "ec"), public(rsa_key(1), "bound", alg="PS256"))
    keys = SigningKeys(server.url, Ticks())
    taken = [
        (kid, algorithm)
        for kid in ("rsa", "ec", "bound")
        for algorithm in ("RS256", "PS256", "ES256", "ES384", "EdDSA")
        if finds(keys, kid, algorithm)
    ]
    assert taken == [("rsa", "RS256"), ("rsa", "PS256"), ("ec", "ES256"), ("bound", "PS256")]


def test_a_broken_key_is_no_key(server: KeyServer) -> None:
    broken = {"kty": "RSA", "kid": "broken", "n": "!!", "e": "AQAB"}
    server.serve(broken, {"kty": "EC", "kid": "half", "crv": "P-256", "x": "AA"}, public(rsa_key(), "one"))
    keys = SigningKeys(server.url, Ticks())
    assert finds(keys, "one")
    assert not finds(keys, "broken")
    assert not finds(keys, "half", "ES256")


def test_a_file_is_read_again_when_a_key_is_new(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [public(rsa_key(), "one")]}))
    clock = Ticks()
    keys = SigningKeys(str(file), clock)
    assert finds(keys, "one")
    file.write_text(json.dumps({"keys": [public(rsa_key(1), "two")]}))
    clock.at += 31 * SECOND
    assert finds(keys, "two")
    file.unlink()
    clock.at += 2 * HOUR
    assert finds(keys, "two"), "what was known counts on for a while"
