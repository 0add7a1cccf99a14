"""The public keys with which an identity provider signs: a JWK set from a file or a URL, kept for a while.

Rules of this file:

1. What is kept is used for an hour, then asked for again; if nobody answers, the old keys do for a day.
2. An unknown key is a reason to ask at once, since providers change keys, but not twice within half a minute:
   anybody can write a token with a key that nobody knows.
3. A key is used for the algorithms of its kind and curve only; if it names one, for that one.
4. Whoever comes with a known key never waits for somebody who does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx2
import jwt
import msgspec

from runnotary.core.errors import InvalidInput, Unreachable
from runnotary.ports import Clock

Json = Any
KINDS: Final[dict[str, tuple[str, str | None]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""Key type and curve of every algorithm that is taken. None of them shares a secret with the signer."""

_SECOND: Final = 1_000_000
FRESH_US: Final = 3600 * _SECOND
STALE_US: Final = 24 * FRESH_US
PAUSE_US: Final = 30 * _SECOND
READ_S: Final = 5.0
WHOLE_S: Final = 10.0
SIZE_MAX: Final = 1024 * 1024
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class SigningKeys:
    """The keys of one provider; `place` is a file, or a URL under https (http on this machine)."""

    def __init__(self, place: str, clock: Clock) -> None:
        """Remember the place; a file is read at once.

        Raises:
            InvalidInput: the place cannot be used.
        """
        self._place: Final = place
        self._clock: Final = clock
        self._turn: Final = asyncio.Lock()
        self._keys: list[dict[str, Json]] = []
        self._made: dict[tuple[str | None, str], jwt.PyJWK | None] = {}
        self._known_at: int | None = None
        self._tried_at: int | None = None
        self._is_url = "://" in place
        if not self._is_url:
            try:
                self._learn(Path(place).read_bytes())
            except (OSError, ValueError) as wrong:
                raise InvalidInput(f"oidc_keys: {place}: {wrong}") from None
        elif not _safe(place):
            raise InvalidInput(f"oidc_keys: {place}: write https://…, a key over plain http can be anybody's")

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key that a token names, for the algorithm it names; None if there is none.

        A token that names no key means the only one of the algorithm's kind.

        Raises:
            Unreachable: the keys were never had, or too long ago, and are not to be had now.
        """
        await self._renew(FRESH_US)
        found = self._chosen(kid, algorithm)
        if found is None:
            await self._renew(PAUSE_US)
            found = self._chosen(kid, algorithm)
        return found

    async def _renew(self, older_than: int) -> None:
        """Ask for the keys if those we have are older, and the last try is not too near."""
        if self._younger(older_than):
            return
        async with self._turn:
            if self._younger(older_than):
                return
            now = self._clock.now()
            if self._tried_at is None or not 0 <= now - self._tried_at <= PAUSE_US:
                self._tried_at = now
                # What was known before counts on, for a while.
                with suppress(OSError, ValueError, httpx2.HTTPError):
                    self._learn(await self._loaded())
            if not self._younger(STALE_US):
                raise Unreachable("the keys of the identity provider cannot be had", hint="try again shortly")

    def _younger(self, age: int) -> bool:
        return self._known_at is not None and 0 <= self._clock.now() - self._known_at <= age

    async def _loaded(self) -> bytes:
        """Return the set as text.

        Raises:
            OSError, httpx2.HTTPError: it cannot be had. ValueError: it is too large.
        """
        if not self._is_url:
            return await asyncio.to_thread(Path(self._place).read_bytes)
        data = bytearray()
        async with (
            asyncio.timeout(WHOLE_S),
            httpx2.AsyncClient(timeout=READ_S) as client,
            client.stream("GET", self._place, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                raise OSError(f"{self._place} answers {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                data += chunk
                if len(data) > SIZE_MAX:
                    raise ValueError(f"{self._place} is larger than {SIZE_MAX} bytes")
        return bytes(data)

    def _learn(self, text: bytes) -> None:
        """Take a set of keys in; what is no public key for signatures is left out.

        Raises:
            ValueError: it is no set, or holds no such key.
        """
        try:
            told = msgspec.json.decode(text)
        except msgspec.DecodeError as wrong:
            raise ValueError(f"not JSON: {wrong}") from None
        listed = told.get("keys") if isinstance(told, dict) else None
        keys = [key for key in listed or () if isinstance(key, dict) and _is_public(key)]
        if not keys:
            raise ValueError("no public key for signatures in it")
        self._keys, self._made = keys, {}
        self._known_at = self._clock.now()

    def _chosen(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        wanted = (kid, algorithm)
        if wanted not in self._made:
            found = _choose(self._keys, kid, algorithm)
            if found is None:
                return None  # Not remembered: anybody could fill the memory with names.
            self._made[wanted] = found
        return self._made[wanted]


def _safe(text: str) -> bool:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        return False
    return bool(url.host) and (url.scheme == "https" or (url.scheme == "http" and url.host in LOOPBACK))


def _is_public(key: dict[str, Json]) -> bool:
    return key.get("kty") in ("RSA", "EC", "OKP") and "d" not in key and key.get("use", "sig") == "sig"


def _fits(key: dict[str, Json], algorithm: str) -> bool:
    kind, curve = KINDS[algorithm]
    return (
        key["kty"] == kind
        and (curve is None or key.get("crv") == curve)
        and key.get("alg", algorithm) == algorithm
    )


def _choose(keys: Sequence[dict[str, Json]], kid: str | None, algorithm: str) -> jwt.PyJWK | None:
    """Return the key of that name, or, without a name, the only one that fits the algorithm."""
    fitting = [key for key in keys if _fits(key, algorithm) and kid in (None, key.get("kid"))]
    if not fitting or (kid is None and len(fitting) > 1):
        return None
    try:
        return jwt.PyJWK(fitting[0], algorithm)
    except jwt.PyJWTError:
        return None
