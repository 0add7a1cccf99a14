"""Who asks: bearer tokens and JWTs, those that count and every kind that does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runnotary import config
from runnotary.core.errors import InvalidInput, Unauthenticated
from runnotary.core.events import By
from runnotary.core.permissions import Action, People, Who, granted
from runnotary.server.identity import Identity
from tests.access.place import OWNER, Place
from tests.access.provider import AUDIENCE, ISSUER, NOW, claims, ec_key, ed_key, public, raw, rsa_key, signed
from tests.database import ENVIRON

Json = Any
Ask = Callable[..., Who]


def settings_of(tmp_path: Path, **oidc: Json) -> config.Settings:
    return config.load({"home": str(tmp_path / "home"), **oidc}, environ=ENVIRON, cwd=tmp_path)


def keys_file(tmp_path: Path, *keys: Json) -> str:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": keys}))
    return str(file)


ALL_KEYS = (
    ("rsa", rsa_key, {}),
    ("p256", ec_key, {}),
    ("p384", lambda: ec_key(ec.SECP384R1), {}),
    ("ed", ed_key, {}),
    ("only-rs256", lambda: rsa_key(1), {"alg": "RS256", "use": "sig"}),
    ("weak", lambda: rsa_key(2, 1024), {}),
    ("enc", lambda: rsa_key(3), {"use": "enc"}),
)


def identity_of(place: Place, tmp_path: Path, *, local: By | None = None, **more: Json) -> Identity:
    keys = keys_file(tmp_path, *(public(make(), kid, **words) for kid, make, words in ALL_KEYS))
    oidc = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "oidc_keys": keys, **more}
    return Identity(place.access, settings_of(tmp_path, **oidc), place.clock, local=local)


@pytest.fixture
def ask(place: Place, tmp_path: Path) -> Ask:
    """Return a function that presents a JWT, with other settings of the provider if given."""

    def present(token: str, **oidc: Json) -> Who:
        return asyncio.run(identity_of(place, tmp_path, **oidc).of(f"Bearer {token}"))

    return present


def refusal(ask: Ask, token: str, **oidc: Json) -> str:
    """Present a JWT that must not count, and return what was wrong with it."""
    with pytest.raises(Unauthenticated) as refused:
        ask(token, **oidc)
    error = refused.value
    assert (error.code, error.http_status, error.exit_code) == ("unauthenticated", 401, 4)
    assert error.challenge == (
        f'Bearer realm="runnotary", error="invalid_token", error_description="{error.message}"'
    )
    assert token not in error.message
    return error.message


# --- JWTs that count -----------------------------------------------------------------------------

GOOD = [
    ("rsa", rsa_key, "RS256"),
    ("rsa", rsa_key, "PS256"),
    ("p256", ec_key, "ES256"),
    ("p384", lambda: ec_key(ec.SECP384R1), "ES384"),
    ("ed", ed_key, "EdDSA"),
    ("only-rs256", lambda: rsa_key(1), "RS256"),
]


@pytest.mark.parametrize(
    ("kid", "make", "algorithm"), GOOD, ids=[f"{kid}-{algorithm}" for kid, _, algorithm in GOOD]
)
def test_a_signed_token_says_who_asks(ask: Ask, kid: str, make: Any, algorithm: str) -> None:
    who = ask(signed(make(), algorithm, kid))
    assert who.by == By("user:ana", "oidc")
    assert (who.caller.names, who.caller.roles) == ({"user:ana"}, {})


def test_several_audiences_may_be_named(ask: Ask) -> None:
    assert ask(signed(rsa_key(), "RS256", "rsa", aud=["other", AUDIENCE])).by.principal == "user:ana"


def test_a_token_without_key_id_means_the_only_key_of_its_kind(ask: Ask) -> None:
    assert ask(signed(ed_key(), "EdDSA", None)).by.principal == "user:ana"
    assert "key" in refusal(ask, signed(rsa_key(), "RS256", None))


def test_another_claim_may_name_the_caller(ask: Ask) -> None:
    token = signed(rsa_key(), "RS256", "rsa", email="ana@example.org", email_verified=True)
    assert ask(token, oidc_principal="email").by.principal == "user:ana@example.org"
    unverified = signed(rsa_key(), "RS256", "rsa", email="ana@example.org", email_verified=False)
    assert "never verified" in refusal(ask, unverified, oidc_principal="email")
    assert "claim email" in refusal(ask, signed(rsa_key(), "RS256", "rsa"), oidc_principal="email")


def test_nobody_becomes_a_service_or_group_by_their_name(ask: Ask) -> None:
    assert ask(signed(rsa_key(), "RS256", "rsa", sub="service:ci")).by.principal == "user:service:ci"


def test_groups_of_the_provider_count_if_the_home_knows_them(place: Place, ask: Ask) -> None:
    asyncio.run(place.access.create_namespace(place.owner, "lab"))
    asyncio.run(place.access.grant(place.owner, "lab", "group:qa", "approver"))
    token = signed(rsa_key(), "RS256", "rsa", groups=["qa", "everybody", 7, "a b", None, {"x": 1}])
    who = ask(token)
    assert who.by.groups == ("group:qa",)
    assert Action.APPROVE in granted(who.caller, People("lab"))
    one = ask(signed(rsa_key(), "RS256", "rsa", roles="qa"), oidc_groups="roles")
    assert one.by.groups == ("group:qa",)
    assert ask(signed(rsa_key(), "RS256", "rsa", groups={"qa": True})).by.groups == ()


def test_a_clock_may_differ_by_a_little(ask: Ask) -> None:
    assert ask(signed(rsa_key(), "RS256", "rsa", exp=NOW - 29)).by.principal == "user:ana"
    assert ask(signed(rsa_key(), "RS256", "rsa", nbf=NOW + 30, iat=NOW + 30)).by.principal == "user:ana"
    assert "expired" in refusal(ask, signed(rsa_key(), "RS256", "rsa", exp=NOW - 30))
    assert "not valid yet" in refusal(ask, signed(rsa_key(), "RS256", "rsa", nbf=NOW + 31))
    assert "expired" in refusal(ask, signed(rsa_key(), "RS256", "rsa", exp=NOW), oidc_leeway="0")


# --- JWTs that do not ----------------------------------------------------------------------------

LONG = 3600
WRONG_CLAIMS = [
    ({"exp": NOW - LONG}, "expired"),
    ({"nbf": NOW + LONG}, "not valid yet"),
    ({"iat": NOW + LONG}, "not valid yet"),
    ({"aud": "another"}, "another audience"),
    ({"aud": ["another", "runnotary2"]}, "another audience"),
    ({"aud": 7}, "another audience"),
    ({"iss": "https://evil.example.org"}, "another issuer"),
    ({"iss": ISSUER + "/"}, "another issuer"),
    ({"exp": None}, "no claim exp"),
    ({"aud": None}, "no claim aud"),
    ({"iss": None}, "no claim iss"),
    ({"exp": "soon"}, "no time in its claim exp"),
    ({"exp": [1]}, "no time in its claim exp"),
    ({"exp": True}, "no time in its claim exp"),
    ({"exp": 1e999}, "no time in its claim exp"),
    ({"exp": float("nan")}, "no time in its claim exp"),
    ({"nbf": "soon"}, "no time in its claim nbf"),
    ({"iat": {}}, "no time in its claim iat"),
    ({"sub": None}, "claim sub"),
    ({"sub": ""}, "claim sub"),
    ({"sub": "a b"}, "claim sub"),
    ({"sub": "a\nb"}, "claim sub"),
    ({"sub": "änne"}, "claim sub"),
    ({"sub": "x" * 251}, "claim sub"),
    ({"sub": 7}, "not valid"),
]


@pytest.mark.parametrize(("wrong", "why"), WRONG_CLAIMS, ids=lambda one: str(one)[:40])
def test_claims_must_be_right(ask: Ask, wrong: Json, why: str) -> None:
    assert why in refusal(ask, signed(rsa_key(), "RS256", "rsa", **wrong))


def pem(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))


def by_hmac(algorithm: str) -> str:
    """Sign with the public key as if it were a secret: the classic confusion of algorithms."""
    head, body, _ = raw({"alg": algorithm, "kid": "rsa", "typ": "JWT"}, claims()).split(".")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{head}.{body}".encode(), pem(rsa_key())
    )
    return f"{head}.{body}." + raw({}, {}, signature).split(".")[2]


def tampered(token: str) -> str:
    head, _, signature = token.split(".")
    return ".".join((head, raw({}, claims(sub="root")).split(".")[1], signature))


FORGED = {
    "no signature": lambda: raw({"alg": "none", "kid": "rsa"}, claims(), b""),
    "None in letters": lambda: raw({"alg": "nOnE", "kid": "rsa"}, claims(), b""),
    "a shared secret": lambda: by_hmac("HS256"),
    "another's key": lambda: signed(rsa_key(9), "RS256", "rsa"),
    "an unknown key": lambda: signed(rsa_key(9), "RS256", "new"),
    "other claims": lambda: tampered(signed(rsa_key(), "RS256", "rsa")),
    "a key of another kind": lambda: signed(rsa_key(), "RS256", "p256"),
    "a key for another algorithm": lambda: signed(rsa_key(1), "PS256", "only-rs256"),
    "a key for encryption": lambda: signed(rsa_key(3), "RS256", "enc"),
    "a curve of another algorithm": lambda: raw({"alg": "ES256", "kid": "p384"}, claims(), b"x" * 64),
    "an algorithm that is off": lambda: signed(rsa_key(), "RS512", "rsa"),
    "no algorithm": lambda: raw({"kid": "rsa"}, claims()),
    "an algorithm that is no text": lambda: raw({"alg": ["RS256"], "kid": "rsa"}, claims()),
    "a key id that is no text": lambda: raw({"alg": "RS256", "kid": 7}, claims()),
    "a key in its head": lambda: jwt.encode(
        claims(), rsa_key(9), "RS256", headers={"kid": "new", "jwk": public(rsa_key(9), "new")}
    ),
    "an unknown extension": lambda: jwt.encode(
        claims(), rsa_key(), "RS256", headers={"kid": "rsa", "crit": ["exp"], "exp": 1}
    ),
    "claims that are a list": lambda: raw({"alg": "RS256", "kid": "rsa"}, [1]),
    "a head that is a list": lambda: raw([1], claims()),
    "a head that is deep": lambda: raw(b"[" * 10_000, claims()),
    "a head that is no JSON": lambda: raw(b"\xff\xfe", claims()),
    "four parts": lambda: signed(rsa_key(), "RS256", "rsa") + ".x",
    "two parts": lambda: "a.b",
    "no parts": lambda: "nonsense",
    "letters of no alphabet": lambda: "ä.ö.ü",
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_token_does_not_count(ask: Ask, what: str) -> None:
    assert refusal(ask, FORGED[what]())


def test_a_short_key_does_not_count(ask: Ask) -> None:
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        token = signed(rsa_key(2, 1024), "RS256", "weak")
    assert refusal(ask, token) == "the token is not valid"


def test_an_endless_token_is_not_looked_at(ask: Ask) -> None:
    assert "too long" in refusal(ask, "a" * 20_000)


# --- settings of the provider --------------------------------------------------------------------

BAD_SETTINGS = [
    ({"oidc_issuer": ""}, "missing: oidc_issuer"),
    ({"oidc_audience": ""}, "missing: oidc_audience"),
    ({"oidc_keys": ""}, "missing: oidc_keys"),
    ({"oidc_algorithms": "RS256 none"}, "none is not taken"),
    ({"oidc_algorithms": "HS256"}, "HS256 is not taken"),
    ({"oidc_algorithms": ","}, "there are RS256"),
    ({"oidc_keys": "/nowhere/keys.json"}, "nowhere"),
    ({"oidc_keys": "http://id.example.org/keys"}, "https"),
    ({"oidc_keys": "file:///etc/passwd"}, "https"),
    ({"oidc_keys": "https://"}, "https"),
    ({"oidc_keys": "https://[::"}, "https"),
]


@pytest.mark.parametrize(("wrong", "why"), BAD_SETTINGS, ids=lambda one: str(one)[:40])
def test_settings_that_cannot_work_are_refused_at_the_start(
    place: Place, tmp_path: Path, wrong: Json, why: str
) -> None:
    with pytest.raises(InvalidInput, match=why):
        identity_of(place, tmp_path, **wrong)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"keys": {}}', '{"keys": []}', '{"keys": [7, {"kty": "oct", "k": "AA"}]}', "{"]
)
def test_a_file_without_public_keys_is_refused_at_the_start(place: Place, tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(InvalidInput, match="oidc_keys"):
        identity_of(place, tmp_path, oidc_keys=str(file))


def test_a_private_key_in_the_file_is_not_used(place: Place, tmp_path: Path) -> None:
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(4)))
    keys = keys_file(tmp_path, {**private, "kid": "private"}, public(ec_key(), "p256"))
    oidc = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "oidc_keys": keys}
    identity = Identity(place.access, settings_of(tmp_path, **oidc), place.clock)
    with pytest.raises(Unauthenticated, match="not one of its issuer"):
        asyncio.run(identity.of(f"Bearer {signed(rsa_key(4), 'RS256', 'private')}"))
    assert asyncio.run(identity.of(f"Bearer {signed(ec_key(), 'ES256', 'p256')}")).by.auth == "oidc"


def test_algorithms_can_be_narrowed(ask: Ask) -> None:
    assert ask(signed(ec_key(), "ES256", "p256"), oidc_algorithms="ES256").by.auth == "oidc"
    assert "algorithm" in refusal(ask, signed(rsa_key(), "RS256", "rsa"), oidc_algorithms="ES256")


# --- our own tokens, and none --------------------------------------------------------------------


def made(place: Place) -> str:
    return asyncio.run(place.access.create_token(place.owner, "service:ci", name="t"))[1]


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {} ", " Bearer {}"])
def test_a_token_of_ours_says_who_asks(place: Place, tmp_path: Path, form: str) -> None:
    secret = made(place)
    for identity in (
        Identity(place.access, settings_of(tmp_path), place.clock),
        identity_of(place, tmp_path),
    ):
        who = asyncio.run(identity.of(form.format(secret)))
        assert (who.by.principal, who.by.auth) == ("service:ci", "token")


BAD_HEADERS = ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "rn_abc", "Token x", "Bearer: x"]


@pytest.mark.parametrize("header", BAD_HEADERS)
@pytest.mark.parametrize("local", [None, OWNER])
def test_what_is_no_bearer_token_does_not_count(
    place: Place, tmp_path: Path, header: str, local: By | None
) -> None:
    identity = Identity(place.access, settings_of(tmp_path), place.clock, local=local)
    with pytest.raises(Unauthenticated) as refused:
        asyncio.run(identity.of(header))
    assert refused.value.challenge == 'Bearer realm="runnotary"'


def test_without_credentials_nobody_asks_or_the_owner_does(place: Place, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with pytest.raises(Unauthenticated) as refused:
        asyncio.run(Identity(place.access, settings, place.clock).of(None))
    assert refused.value.challenge == 'Bearer realm="runnotary"'
    local = Identity(place.access, settings, place.clock, local=OWNER)
    assert asyncio.run(local.of(None)) == place.owner


def test_a_refused_token_never_falls_back_to_the_owner(place: Place, tmp_path: Path) -> None:
    identity = Identity(place.access, settings_of(tmp_path), place.clock, local=OWNER)
    for token in ("rn_" + "A" * 43, "x.y.z"):
        with pytest.raises(Unauthenticated, match="not known, has expired or was revoked"):
            asyncio.run(identity.of(f"Bearer {token}"))


def test_a_server_knows_whether_anybody_could_come_in(place: Place, tmp_path: Path) -> None:
    identity = Identity(place.access, settings_of(tmp_path), place.clock)
    assert not identity.configured
    assert identity_of(place, tmp_path).configured
    made(place)
    assert identity.configured
    token = place.access.tokens(place.owner)[0]["id"]
    asyncio.run(place.access.revoke_token(place.owner, token))
    assert not identity.configured
