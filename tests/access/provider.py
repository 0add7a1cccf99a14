"""An identity provider for tests: real keys made here, JWTs signed with them, a JWK set served over HTTP."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.access.place import SECOND, START

Json = Any
ISSUER = "https://id.example.org/realm"
AUDIENCE = "runnotary"
NOW = START // SECOND


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


@cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def public(key: Any, kid: str | None, **more: Json) -> Json:
    """Return the JWK of the public half."""
    kinds = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    kind = next((kinds[one] for one in kinds if isinstance(key, one)), OKPAlgorithm)
    document = json.loads(kind.to_jwk(key.public_key()))
    document.pop("key_ops", None)
    return {**document, **({"kid": kid} if kid else {}), **more}


def claims(**more: Json) -> Json:
    """Return good claims with some replaced; None takes one away."""
    now = NOW
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "iat": now, "nbf": now, "exp": now + 600}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


def signed(key: Any, algorithm: str, kid: str | None = "k1", **more: Json) -> str:
    """Return a JWT with good claims, some of them replaced."""
    return jwt.encode(claims(**more), key, algorithm, headers={"kid": kid} if kid else None)


def raw(head: Json, body: Json, signature: bytes = b"x") -> str:
    """Return whatever somebody may write in the form of a JWT."""

    def part(value: Json) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    return ".".join((part(head), part(body), part(signature)))


class KeyServer:
    """A real HTTP server; `answer` gives status and body of each request, which are counted."""

    def __init__(self, answer: Callable[[], tuple[int, bytes]]) -> None:
        self.answer = answer
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                status, body = outer.answer()
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("Location", body.decode())
                    body = b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/keys"

    def serve(self, *keys: Json) -> None:
        """From now on answer with these keys."""
        body = json.dumps({"keys": keys}).encode()
        self.answer = lambda: (200, body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
