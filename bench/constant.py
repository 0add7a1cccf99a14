"""`python -m bench.constant up …`: `up` with one route changed, a run's document is a constant.

Server, framework, routing, authentication, parameters and middleware are those of the product.
"""

from __future__ import annotations

import sys

import msgspec

from runnotary.api.call import Call, Document
from runnotary.api.routes import ROUTES
from runnotary.cli.entry import run
from runnotary.server import application

PATH = "/api/v1/runs/{run}"


async def constant(call: Call) -> Document:
    """Answer the least there is."""
    return Document({"status": "ok"})


def changed() -> None:
    """Put the constant in the place of the document."""
    routes = [
        msgspec.structs.replace(one, handler=constant) if (one.verb, one.path) == ("GET", PATH) else one
        for one in ROUTES
    ]
    assert sum(one.handler is constant for one in routes) == 1
    vars(application)["ROUTES"] = tuple(routes)


if __name__ == "__main__":
    changed()
    sys.exit(run(sys.argv[1:]))
