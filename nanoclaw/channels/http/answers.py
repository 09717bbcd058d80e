"""Answers of the APIs: JSON, and streams of events that end with their client or with the server."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import trio
from attrs import define
from starlette.requests import Request
from starlette.responses import Response

from nanoclaw.channels.http.guard import Receive, Scope, Send
from nanoclaw.channels.http.updates import Drafted, Hint, Settled, Update
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.transcript.entries import Entry

T = TypeVar("T")
PING_S = 15.0
"""Seconds of silence after which a stream sends a comment, so that nothing between closes it."""


def dumped(value: object) -> bytes:
    """Return the JSON of a value in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def json_answer(value: Mapping[str, Any], status: int = 200) -> Response:
    """Return an answer with JSON."""
    return Response(dumped(value), status, media_type="application/json")


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as clients see it."""
    return {
        **entry.content,
        "seq": entry.seq,
        "id": entry.message_id,
        "kind": entry.kind,
        "chat": entry.chat,
        "thread": entry.thread or None,
        "author": entry.author,
        "in_reply_to": entry.in_reply_to,
        "created_at": to_text(entry.created_at),
    }


def event_of(update: Update) -> bytes:
    """Return an update as a server-sent event. Only entries have an id, after which a client resumes."""
    if isinstance(update, Entry):
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (
            update.seq,
            update.kind.encode(),
            dumped(entry_json(update)),
        )
    return b"event: %b\ndata: %b\n\n" % (_name_of(update).encode(), dumped(_hint_json(update)))


def _name_of(hint: Hint) -> str:
    return {Drafted: "draft", Settled: "settled"}.get(type(hint), "working")


def _hint_json(hint: Hint) -> dict[str, Any]:
    found: dict[str, Any] = {"chat": hint.chat, "thread": hint.thread or None}
    match hint:
        case Drafted():
            found["text"] = hint.text
        case Settled():
            found |= {"id": hint.message_id, "outcome": hint.outcome}
        case _:
            pass
    return found


async def while_wanted(request: Request, closing: trio.Event, work: Callable[[], Awaitable[T]]) -> T | None:
    """Return the result of some work, or None if the client leaves or the server stops before."""
    result: list[T] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_gone, request.receive, nursery.cancel_scope)
        nursery.start_soon(_until_closing, closing, nursery.cancel_scope)
        result.append(await work())
        nursery.cancel_scope.cancel()
    return result[0] if result else None


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _until_closing(closing: trio.Event, scope: trio.CancelScope) -> None:
    await closing.wait()
    scope.cancel()


class Out(Protocol):
    """Sends a part of a stream."""

    async def __call__(self, data: bytes, /) -> None:
        """Send some bytes."""
        ...


@define(eq=False)
class EventStream(Response):
    """A stream of server-sent events. It ends with its writer, its client or the server."""

    write: Callable[[Out], Awaitable[None]]
    closing: trio.Event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        del scope
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def out(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
            nursery.start_soon(_until_closing, self.closing, nursery.cancel_scope)
            await self.write(out)
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
