"""Runnotary: runs flows and keeps a record of every run that a third party can check offline.

    from runnotary import Client

    with Client() as client:                        # asks RUNNOTARY_URL; Client(home="…") needs no server
        run = client.run_flow("sales-report", {"top": 5}, wait=True)

Importing this costs nothing: the clients, what they return and what they raise (every error of the product,
`core/errors.py`) are imported when they are first named. `__init__.pyi` says the same to type checkers.
"""

from importlib import import_module

__version__ = "0.1.0"

_RESULTS = (
    *("Approval", "ApprovalPage", "BatchError", "BatchResponse", "BatchResult"),
    *("Flow", "LogEntry", "LogPage"),
    *("Run", "RunError", "RunEvent", "RunFile", "RunPage", "Task"),
)
_ROOMS = {
    **dict.fromkeys(("AsyncClient", "Client"), "runnotary.app.clients"),
    **dict.fromkeys(_RESULTS, "runnotary.client.results"),
    "RunRequest": "runnotary.client.words",
}
_ERRORS = "runnotary.core.errors"


def __getattr__(name: str) -> object:
    if name[:1].isupper():  # what the import system asks for is not
        room = _ROOMS.get(name, _ERRORS)
        found = getattr(import_module(room), name, None)
        if isinstance(found, type) and found.__module__ == room:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    kinds = vars(import_module(_ERRORS)).items()
    errors = [name for name, kind in kinds if isinstance(kind, type) and kind.__module__ == _ERRORS]
    return sorted([*globals(), *_ROOMS, *errors])
