"""Where a client's requests go, and with which credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx2

from runnotary import __version__
from runnotary.core.errors import InvalidInput

URL_VARIABLE: Final = "RUNNOTARY_URL"
TOKEN_VARIABLE: Final = "RUNNOTARY_TOKEN"  # the name of a variable, not a token
HERE: Final = "http://localhost"
"""What stands for a server behind a transport that was handed in."""
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Place:
    """A server. `verify` and `trust_env` are for whoever opens connections to it.

    The headers hold the token, which nobody should find in a trace.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    verify: bool
    trust_env: bool


def place(url: str | None, token: str | None, environ: Mapping[str, str], *, here: bool = False) -> Place:
    """Return where requests go: what is given, else what the environment says.

    `here`: they go to a transport that was handed in, so no address is needed, and the environment is about
    somebody else. A proxy never stands before a loopback address, and without TLS there is nothing to verify,
    which spares the 90 ms that certificates take to load.

    Raises:
        InvalidInput: there is no address, or it is none.
    """
    text = url or (HERE if here else environ.get(URL_VARIABLE, ""))
    if not text:
        raise InvalidInput(f"no server is named: give a url, or set {URL_VARIABLE}")
    try:
        read = httpx2.URL(text)
    except httpx2.InvalidURL as wrong:
        raise InvalidInput(f"{text!r} is no address: {wrong}") from None
    if read.scheme not in ("http", "https") or not read.host:
        raise InvalidInput(f"{text!r} is no address of a server", hint="such as http://127.0.0.1:8710")
    token = token if token is not None or here else environ.get(TOKEN_VARIABLE)
    headers = {"user-agent": f"runnotary/{__version__}", "accept": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    secure = read.scheme == "https"
    return Place(text.rstrip("/"), headers, verify=secure, trust_env=read.host not in LOOPBACK and not here)
