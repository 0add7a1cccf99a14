"""Who asks: from the Authorization header of a request to somebody with names, roles and limits.

Rules of this file:

1. What is given must count: credentials that are refused never fall back to being nobody, or the owner.
2. An answer to a refusal says what is wrong with a token of an identity provider, whose holder may read it
   anyway, and nothing about ours.
3. The algorithm comes from the settings and the key, never from the token alone; `none` and the ones with a
   shared secret (HS…) are not taken.
4. PyJWT checks signature, audience and issuer; what depends on the time is checked here, by the home's clock.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, NoReturn

import jwt
from jwt.types import Options

from runnotary.config import Settings
from runnotary.core.errors import InvalidInput, Unauthenticated
from runnotary.core.events import By
from runnotary.core.permissions import Who
from runnotary.core.principals import GROUP, is_principal
from runnotary.engine.access import Access
from runnotary.ports import Clock
from runnotary.server.signing_keys import KINDS, SigningKeys

Json = Any
TOKEN_MAX: Final = 16 * 1024
GROUPS_MAX: Final = 1000
HOW: Final = "send Authorization: Bearer TOKEN; a command takes it from RUNNOTARY_TOKEN"
USER: Final = "user:"
_OIDC: Final = ("oidc_issuer", "oidc_audience", "oidc_keys")
_CHECKS: Final[Options] = {
    "require": ["exp", "iss", "aud"],
    "enforce_minimum_key_length": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
_REFUSALS: Final[tuple[tuple[type[jwt.PyJWTError], str], ...]] = (
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is from another issuer"),
    (jwt.InvalidAlgorithmError, "the algorithm of the token is not taken here"),
    (jwt.InvalidSignatureError, "the signature of the token is wrong"),
)


class Identity:
    """Tells who asks. `local` is whoever owns the home, if requests without credentials are theirs."""

    def __init__(self, access: Access, settings: Settings, clock: Clock, *, local: By | None = None) -> None:
        """Read the settings of the identity provider, if there is one.

        Raises:
            InvalidInput: they are not complete, or name what cannot be used.
        """
        self._access: Final = access
        self._local: Final = local
        self._provider: Final = Provider(settings, clock) if named_provider(settings) else None

    @property
    def configured(self) -> bool:
        """Tell whether anybody could prove who they are: a provider is named, or a token is live."""
        return self._provider is not None or self._access.has_live_token()

    async def of(self, authorization: str | None) -> Who:
        """Return who asks.

        Raises:
            Unauthenticated: no credentials, or none that count; `challenge` is the WWW-Authenticate.
            Unreachable: the keys of the identity provider cannot be had.
        """
        if authorization is None:
            if self._local is not None:
                return self._access.who(self._local)
            raise Unauthenticated("credentials are missing", hint=HOW)
        scheme, _, credentials = authorization.strip().partition(" ")
        credentials = credentials.strip()
        if scheme.lower() != "bearer" or not credentials:
            raise Unauthenticated(
                "the credentials are no bearer token", hint="write Authorization: Bearer TOKEN"
            )
        if len(credentials) > TOKEN_MAX:
            refuse("the token is too long")
        if self._provider is None or credentials.startswith("rn_"):
            by = self._access.token(credentials)
            if by is None:
                refuse("the token is not known, has expired or was revoked")
            return self._access.who(by)
        principal, groups = await self._provider.vouches_for(credentials)
        return self._access.who(By(principal, "oidc"), groups)


class Provider:
    """One identity provider (OpenID Connect or any that signs JWTs), as the settings name it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        missing = [name for name in _OIDC if not getattr(settings, name)]
        if missing:
            raise InvalidInput(f"settings {', '.join(_OIDC)} belong together; missing: {', '.join(missing)}")
        self._algorithms: Final = settings.oidc_algorithms.replace(",", " ").split()
        unknown = [name for name in self._algorithms if name not in KINDS]
        if unknown or not self._algorithms:
            named = f"{', '.join(unknown)} is not taken; " if unknown else ""
            raise InvalidInput(f"oidc_algorithms: {named}there are {', '.join(KINDS)}")
        self._settings: Final = settings
        self._clock: Final = clock
        self._keys: Final = SigningKeys(settings.oidc_keys, clock)

    async def vouches_for(self, token: str) -> tuple[str, list[str]]:
        """Return the principal and the groups of a JWT.

        Raises:
            Unauthenticated: it does not count. Unreachable: the provider's keys cannot be had.
        """
        claims = await self._claims(token)
        check_times(claims, self._clock.now() / 1_000_000, self._settings.oidc_leeway)
        claim = self._settings.oidc_principal
        name = claims.get(claim)
        principal = f"{USER}{name}"
        if not isinstance(name, str) or not is_principal(principal):
            refuse(f"the token names nobody in its claim {claim}")
        if claim == "email" and claims.get("email_verified", True) is not True:
            refuse("the address in the token was never verified")
        return principal, _groups(claims.get(self._settings.oidc_groups))

    async def _claims(self, token: str) -> dict[str, Json]:
        try:
            head = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, RecursionError):
            refuse("the token cannot be read")
        algorithm, kid = head.get("alg"), head.get("kid")
        if algorithm not in self._algorithms:
            refuse("the algorithm of the token is not taken here")
        key = await self._keys.find(kid, algorithm)
        if key is None:
            refuse("the key of the token is not one of its issuer")
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                options=_CHECKS,
            )
        except jwt.MissingRequiredClaimError as wrong:
            refuse(f"the token has no claim {wrong.claim}")
        except jwt.PyJWTError as wrong:
            refuse(
                next((text for kind, text in _REFUSALS if isinstance(wrong, kind)), "the token is not valid")
            )


def named_provider(settings: Settings) -> bool:
    """Tell whether the settings name an identity provider, be it incompletely."""
    return any(getattr(settings, name) for name in _OIDC)


def check_times(claims: dict[str, Json], now: float, leeway: int) -> None:
    """Check when a token counts; times are in seconds since 1970.

    Raises:
        Unauthenticated: not yet, not any more, or nobody can tell.
    """
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if claims.get(name) is not None}
    for name, at in times.items():
        if isinstance(at, bool) or not isinstance(at, int | float) or not isfinite(at):
            refuse(f"the token has no time in its claim {name}")
    if now >= times["exp"] + leeway:
        refuse("the token has expired")
    if any(times.get(name, now) > now + leeway for name in ("nbf", "iat")):
        refuse("the token is not valid yet")


def refuse(why: str) -> NoReturn:
    """Refuse credentials that were given (RFC 6750, `invalid_token`). `why` holds no quotation marks.

    Raises:
        Unauthenticated: always.
    """
    error = Unauthenticated(why)
    error.challenge = f'Bearer realm="runnotary", error="invalid_token", error_description="{why}"'
    raise error


def _groups(claim: Json) -> list[str]:
    """Return the groups that a claim names; what could not be a group of ours is left out."""
    listed = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
    named = [f"{GROUP}{name}" for name in listed[:GROUPS_MAX] if isinstance(name, str)]
    return [name for name in named if is_principal(name)]
