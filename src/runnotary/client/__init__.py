"""The client: everything that a server can be asked, from Python, with or without asyncio.

It stands alone: it speaks the native HTTP interface and knows nothing of engine, store or app.
`runnotary.Client` is this client, able to open a home and to read flow files besides.
"""

from runnotary.client.async_client import AsyncClient
from runnotary.client.results import (
    BatchError,
    BatchResponse,
    BatchResult,
    Flow,
    LogEntry,
    LogPage,
    Run,
    RunError,
    RunEvent,
    RunFile,
    RunPage,
    Task,
)
from runnotary.client.sync_client import Client
from runnotary.client.words import RunFilter, RunRequest, RunWords

__all__ = [
    "AsyncClient",
    "BatchError",
    "BatchResponse",
    "BatchResult",
    "Client",
    "Flow",
    "LogEntry",
    "LogPage",
    "Run",
    "RunError",
    "RunEvent",
    "RunFile",
    "RunFilter",
    "RunPage",
    "RunRequest",
    "RunWords",
    "Task",
]
