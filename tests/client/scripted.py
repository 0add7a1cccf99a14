"""A server that answers what a test tells it to, and remembers what it was asked: an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass
class Answer:
    """What to answer: a document or parts of a stream; `breaks` ends it before it is whole."""

    status: int = 200
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] | None = None
    breaks: bool = False


class Scripted:
    """Answers in the order given; the last one again and again. Ask `asked` for what came."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        message = await receive()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        self.asked.append(Asked(scope["method"], scope["path"], query, headers, message["body"]))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.breaks and answer.parts is None:
            raise ConnectionResetError("the script says so")
        kind = "text/event-stream" if answer.parts is not None else "application/json"
        told = {"content-type": kind} | answer.headers
        pairs = [(name.encode(), value.encode()) for name, value in told.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        for part in answer.parts or ():
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)
        if answer.breaks:
            raise ConnectionResetError("the script says so")
        body = b"" if answer.parts is not None else msgspec.json.encode(answer.document)
        await send({"type": "http.response.body", "body": body})


def problem(status: int, code: str, detail: str = "so it is", **more: Any) -> Answer:
    """Return a refusal as our servers write it."""
    document = {"type": f"urn:{code}", "title": code, "status": status, "code": code, "detail": detail} | more
    return Answer(status, document, {"content-type": "application/problem+json"})


def run(status: str = "running", number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a run document, as short as one may be."""
    return {"id": f"{number:026}", "status": status, "log": {"events": 3, "head": "sha256:ab"}} | more


def event(seq: int, kind: str = "task.started") -> bytes:
    """Return an event as a feed sends it."""
    data = msgspec.json.encode({"run": "R", "seq": seq, "time": "T", "type": kind, "details": {}}).decode()
    return f"id: {seq}\nevent: {kind}\ndata: {data}\n\n".encode()


END = b"event: end\ndata: {}\n\n"
