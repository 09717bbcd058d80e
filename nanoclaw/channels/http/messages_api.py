"""The endpoints for messages: posting, asking, following, answering questions, downloads."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import quote

import trio
from attrs import frozen
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from nanoclaw.channels.http.answers import (
    PING_S,
    EventStream,
    Out,
    entry_json,
    event_of,
    json_answer,
    while_wanted,
)
from nanoclaw.channels.http.application import HttpServer
from nanoclaw.channels.http.callbacks import callback_address
from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.reading import json_of, media_type, number_in
from nanoclaw.channels.http.rooms import (
    AT_ONCE,
    HttpRoom,
    InProgress,
    KeyReused,
    Person,
    Post,
    Posted,
    Subscription,
    updates_within,
)
from nanoclaw.channels.http.uploads import Form, files_in, form_of
from nanoclaw.records import BadEvent, NotAccepted
from nanoclaw.store import StoreError
from nanoclaw.store.transcript.entries import Entry

FIELDS = ("text", "chat", "thread", "reply_to", "user", "callback", "files")
LONGEST_WAIT_S = 60
MOST_SEQ = 10**15
LONGEST_KEY = 255


def message_routes(server: HttpServer) -> Sequence[BaseRoute]:
    """Return the routes of messages."""
    return [
        Route("/v1/messages", partial(post_message, server), methods=["POST"]),
        Route("/v1/messages", partial(get_messages, server), methods=["GET"]),
        Route("/v1/events", partial(get_events, server), methods=["GET"]),
        Route("/v1/answers", partial(post_answer, server), methods=["POST"]),
        Route("/v1/files/{id}", partial(get_file, server), methods=["GET"]),
    ]


# -- posting --------------------------------------------------------------------


async def post_message(server: HttpServer, request: Request) -> Response:
    """Store a message for the agents of a chat. The answer comes once it is on disk."""
    person = await server.person(request)
    async with _form(server, request) as form:
        form.fields.only(FIELDS)
        _check_user(person, form)
        chat = server.check_chat(person, form.fields.name("chat", default="") or person.user)
        post = _post(server, form, idempotency_key(request))
        posted = await posting(server.rooms.room(chat), person, post)
    return json_answer(_posted_json(posted, chat), 202)


@asynccontextmanager
async def _form(server: HttpServer, request: Request) -> AsyncIterator[Form]:
    """Read the body: a multipart form, or JSON."""
    folder, random = server.files.uploads, server.random
    if media_type(request) == "multipart/form-data":
        async with form_of(request, folder, random) as form:
            yield form
        return
    async with files_in(await json_of(request), folder, random) as form:
        yield form


def _check_user(person: Person, form: Form) -> None:
    user = form.fields.name("user", default=person.user)
    if user != person.user:
        raise ApiError(403, f"the key is one of {person.user}: leave `user` out", param="user")


def _post(server: HttpServer, form: Form, key: str | None) -> Post:
    fields = form.fields
    text = fields.text("text", default="")
    if not text.strip() and not form.files:
        fields.refuse("text", "must not be empty without files")
    reply_to = fields.name("reply_to", default="") or None
    callback = callback_address(server.config, fields)
    return Post(text, fields.name("thread", default=""), form.files, key, reply_to, callback)


def idempotency_key(request: Request) -> str | None:
    """Return the idempotency key of a request, if it has one.

    Raises:
        ApiError: it is too long.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise ApiError(
            422, f"the key must have 1 to {LONGEST_KEY} characters, got {len(key)}", param="Idempotency-Key"
        )
    return key


async def posting(room: HttpRoom, person: Person, post: Post) -> Posted:
    """Post a message, with errors as those of the API.

    Raises:
        ApiError: it is not stored, and the status says why.
    """
    try:
        posted = await room.post(person, post)
    except KeyReused as error:
        raise ApiError(422, str(error), code="idempotency_key_reused", param="Idempotency-Key") from error
    except InProgress as error:
        raise ApiError(409, str(error), code="in_progress", retry_after_s=1) from error
    except BadEvent as error:
        raise ApiError(422, str(error), code="bad_event") from error
    except (NotAccepted, StoreError) as error:
        raise ApiError(
            503, f"the message is not stored: {error}; send it again", code="not_stored", retry_after_s=5
        ) from error
    if posted.dropped is not None:
        raise ApiError(403, f"no agent got the message: {posted.dropped}", code="dropped")
    return posted


def _posted_json(posted: Posted, chat: str) -> dict[str, object]:
    found: dict[str, object] = {"id": posted.id, "seq": posted.seq, "chat": chat}
    found["status"] = "accepted" if posted.held is None else "held"
    return found | ({"reason": posted.held} if posted.held else {})


# -- asking and following ---------------------------------------------------------


@frozen
class _Wanted:
    """The chats, and maybe the thread, that a request asks about."""

    chats: tuple[str, ...]
    thread: str | None

    @classmethod
    async def of(cls, server: HttpServer, request: Request) -> "_Wanted":
        person = await server.person(request)
        named = request.query_params.getlist("chat")[:AT_ONCE] or [person.user]
        return cls(
            tuple(server.check_chat(person, chat) for chat in named), request.query_params.get("thread")
        )

    def has(self, thread: str) -> bool:
        return self.thread is None or self.thread == thread


async def get_messages(server: HttpServer, request: Request) -> Response:
    """Return the entries after a number, and wait for some if there are none; or older messages."""
    wanted = await _Wanted.of(server, request)
    limit = max(1, number_in(request, "limit", AT_ONCE, AT_ONCE))
    if "before" in request.query_params:
        room, before = server.rooms.room(wanted.chats[0]), number_in(request, "before", 0, MOST_SEQ)
        found = await room.history(thread=wanted.thread, before=before, limit=limit)
        return json_answer({"messages": [entry_json(each) for each in found]})
    after = number_in(request, "after", 0, MOST_SEQ)
    wait_s = number_in(request, "wait", 0, LONGEST_WAIT_S)
    poll = partial(_poll, server, wanted, after, limit, wait_s)
    found = await while_wanted(request, server.closing, poll) or []
    shown = [entry_json(each) for each in found if wanted.has(each.thread)]
    return json_answer({"messages": shown, "next": found[-1].seq if found else after})


async def _poll(server: HttpServer, wanted: _Wanted, after: int, limit: int, wait_s: int) -> Sequence[Entry]:
    """Return entries after a number. Wait until there is one of the wanted thread, or the time is over."""
    subscription = server.rooms.follow(wanted.chats, after)
    until, found = trio.current_time() + wait_s, list[Entry]()
    while True:
        found += await server.rooms.entries(wanted.chats, subscription.after, limit - len(found))
        left_s = until - trio.current_time()
        if any(wanted.has(each.thread) for each in found) or len(found) >= limit or left_s <= 0:
            return found
        subscription.after = found[-1].seq if found else after
        await _entry_or_time(subscription, left_s)


async def _entry_or_time(subscription: Subscription, seconds: float) -> None:
    """Wait until there may be a new entry. The subscription stays where it is."""
    seq = subscription.after
    with trio.move_on_after(seconds):
        while subscription.after == seq:
            await subscription.batch()
    subscription.after = seq


async def get_events(server: HttpServer, request: Request) -> Response:
    """Stream the updates of chats as server-sent events. `Last-Event-ID` or `after` resumes."""
    wanted = await _Wanted.of(server, request)
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdecimal() and len(last) <= 15:  # noqa: PLR2004 -- MOST_SEQ
        after = int(last)
    elif "after" in request.query_params:
        after = number_in(request, "after", 0, MOST_SEQ)
    else:
        after = await server.rooms.newest(wanted.chats)
    subscription = server.rooms.follow(wanted.chats, after)
    allowed = partial(server.has_key, request)
    return EventStream(partial(stream_updates, subscription, wanted.has, allowed), server.closing)


async def stream_updates(
    subscription: Subscription, has: Callable[[str], bool], allowed: Callable[[], Awaitable[bool]], out: Out
) -> None:
    """Send updates of wanted threads until cancelled, or until the client may not have them any more."""
    await out(b"retry: 1000\n\n")
    checked_at = trio.current_time()
    while True:
        found = await updates_within(subscription, PING_S)
        if trio.current_time() >= checked_at + PING_S:
            if not await allowed():
                return
            checked_at = trio.current_time()
        data = b"".join(event_of(each) for each in found if has(each.thread))
        await out(data or b": ping\n\n")


# -- questions and files -----------------------------------------------------------


async def post_answer(server: HttpServer, request: Request) -> Response:
    """Answer a question of a card. Only the first answer counts."""
    person = await server.person(request)
    fields = await json_of(request, 1 << 16)
    fields.only(("chat", "thread", "question", "value", "text"))
    chat = server.check_chat(person, fields.name("chat", default="") or person.user)
    text = fields.text("text", 10_000, default="") or None
    value = fields.text("value", 1000, default="")
    if bool(value) == bool(text):
        fields.refuse("value", "or text is needed, and not both")
    room = server.rooms.room(chat)
    try:
        routed = await room.click(
            person, fields.name("question"), value, thread=fields.name("thread", default=""), text=text
        )
    except BadEvent as error:
        raise ApiError(422, str(error), code="bad_event") from error
    except NotAccepted as error:
        raise ApiError(503, f"the answer is not stored: {error}; send it again", retry_after_s=5) from error
    if routed.dropped is not None:
        raise ApiError(409, f"the answer does not count: {routed.dropped}", code="dropped")
    return json_answer({"status": "accepted"})


async def get_file(server: HttpServer, request: Request) -> Response:
    """Return a file that an agent sent, as a download."""
    person = await server.person(request)
    found = await server.files.find(request.path_params["id"])
    if found is None:
        raise ApiError(404, "there is no such file, or it is no longer kept")
    kept, path = found
    server.check_chat(person, kept.chat)
    return download(kept.name, path)


def download(name: str, path: trio.Path | object) -> Response:
    """Return a file as a download, which no browser opens as a page."""
    plain = "".join(c if (c.isascii() and c.isalnum()) or c in "._-" else "_" for c in name)[:100]
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    headers = {"content-disposition": disposition}
    return FileResponse(str(path), media_type="application/octet-stream", headers=headers)
