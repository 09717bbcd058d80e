"""The endpoints in OpenAI's form: agents are models, and a conversation is a thread of a direct chat."""

from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from hashlib import sha256

import trio
from attrs import Factory, define, evolve, frozen
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nanoclaw.channels.http.answers import PING_S, EventStream, Out, dumped, json_answer, while_wanted
from nanoclaw.channels.http.application import HttpServer
from nanoclaw.channels.http.awaiting import Awaiting, NoAnswer
from nanoclaw.channels.http.completions import Completion, Shape, chosen, read_completion
from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.messages_api import idempotency_key, posting
from nanoclaw.channels.http.reading import json_of
from nanoclaw.channels.http.rooms import HttpRoom, Person, Post, Upload
from nanoclaw.channels.http.uploads import receiving
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.records import AgentGroup, BadEvent, NotAccepted
from nanoclaw.store.transcript.entries import Entry, NewEntry
from nanoclaw.system.ids import new_id

RETRIES = "x-stainless-retry-count"
"""The header in which OpenAI's clients count how often they have sent a request before."""
REMEMBERED = 1000
"""Requests that may be recognized when a client sends them again."""
LARGEST = 64 << 20
"""Limit of a body in bytes, with the files in it."""
RECENT = 20
"""Messages among which an open question is looked for."""


@define(eq=False)
class Memory:
    """The requests that a client may send again without an idempotency key, and those under way."""

    keys: OrderedDict[tuple[str, str], str] = Factory(OrderedDict)
    """Idempotency keys of ours by user and digest of the body."""
    waiting: Counter[tuple[str, str]] = Factory(Counter)
    """The number of requests that wait, by chat and thread."""

    def key(self, person: Person, digest: str, new: str, *, again: bool) -> str:
        """Return the key of a request: a new one, unless the client says that it sends it again."""
        place = (person.user, digest)
        found = self.keys[place] = self.keys.pop(place, new) if again else new
        while len(self.keys) > REMEMBERED:
            self.keys.popitem(last=False)
        return found

    @contextmanager
    def counted(self, place: tuple[str, str]) -> Iterator[None]:
        """Count a request that waits while the context is open."""
        self.waiting[place] += 1
        try:
            yield
        finally:
            self.waiting[place] -= 1
            if not self.waiting[place]:
                del self.waiting[place]


def completion_routes(server: HttpServer) -> Sequence[BaseRoute]:
    """Return the routes in OpenAI's form."""
    return [
        Route("/v1/models", partial(get_models, server), methods=["GET"]),
        Route("/v1/models/{model:path}", partial(get_model, server), methods=["GET"]),
        Route("/v1/chat/completions", partial(post_completion, server, Memory()), methods=["POST"]),
    ]


# -- models ---------------------------------------------------------------------


async def get_models(server: HttpServer, request: Request) -> Response:
    """List the agents that the user may talk to."""
    person = await server.person(request)
    found = [_model(each) for each in await _agents(server, person)]
    return json_answer({"object": "list", "data": found})


async def get_model(server: HttpServer, request: Request) -> Response:
    """Return one agent."""
    person = await server.person(request)
    return json_answer(_model(await _agent(server, person, request.path_params["model"])))


async def _agents(server: HttpServer, person: Person) -> Sequence[AgentGroup]:
    try:
        return await server.agents.of_user(person.user_id)
    except ChannelUnavailable as error:
        raise ApiError(503, str(error), retry_after_s=5) from error


async def _agent(server: HttpServer, person: Person, name: str) -> AgentGroup:
    found = await _agents(server, person)
    for each in found:
        if name.casefold() in {each.folder.casefold(), each.name.casefold()}:
            return each
    known = ", ".join(each.folder for each in found) or "none: ask an administrator to make you a member"
    raise ApiError(
        404,
        f"there is no agent {name[:100]!r} that you may talk to; there are {known}",
        code="model_not_found",
        param="model",
    )


def _model(agent: AgentGroup) -> dict[str, object]:
    created = int(agent.created_at.timestamp())
    return {"id": agent.folder, "object": "model", "created": created, "owned_by": "nanoclaw"}


# -- completions ------------------------------------------------------------------


@frozen
class Asked:
    """A request that is on disk."""

    server: HttpServer
    memory: Memory
    room: HttpRoom
    completion: Completion
    shape: Shape
    after: int
    """The number after which the answer comes."""
    since: int
    """The number of the newest hint before the message was stored."""
    message_id: str | None
    files_at: str

    @asynccontextmanager
    async def awaiting(self, say: Callable[[str], Awaitable[None]]) -> AsyncIterator[Awaiting]:
        """Yield the answer. Drafts are not shown if two requests wait in one thread."""
        place = (self.room.chat, self.completion.thread)
        with self.memory.counted(place):
            yield Awaiting(
                self.server.rooms.follow([self.room.chat], self.after, self.since),
                self.completion.thread,
                self.message_id,
                self.files_at,
                say,
                lambda: self.memory.waiting[place] == 1,
            )

    async def run(self, awaiting: Awaiting, ping: Callable[[], Awaitable[None]]) -> None:
        """Wait for the whole answer.

        Raises:
            ApiError: there is none.
        """
        within_s = self.server.config.answer_within_s
        try:
            await awaiting.run(within_s, PING_S, ping)
        except NoAnswer:
            text = f"the agent gave no answer within {within_s:g} s; GET /v1/messages has it once it comes"
            raise ApiError(504, text, code="timeout") from None
        if not awaiting.text:
            why = "gave up" if awaiting.outcome == "failed" else "sent no answer"
            raise ApiError(502, f"the agent {why}", code="no_answer")


async def post_completion(server: HttpServer, memory: Memory, request: Request) -> Response:
    """Give a message to an agent, and return its answer: whole, or as it is written."""
    person = await server.person(request)
    fields = evolve(await json_of(request, LARGEST), status=400)
    completion = read_completion(fields)
    agent = await _agent(server, person, completion.model)
    room = server.rooms.room(f"{person.user}/{agent.folder}")
    await _connect(server, person, room, agent)
    digest = sha256(repr((completion, sorted(fields.values))).encode("utf-8", "replace")).hexdigest()
    again = request.headers.get(RETRIES, "0") != "0"
    key = idempotency_key(request) or memory.key(person, digest, new_id("auto", server.random), again=again)
    asked = await _ask(server, memory, request, person, room, completion, key)
    if completion.stream:
        return EventStream(partial(_stream, asked), server.closing)
    return await _whole(asked, request)


async def _connect(server: HttpServer, person: Person, room: HttpRoom, agent: AgentGroup) -> None:
    try:
        await server.agents.connect(person.user_id, room.address(), agent.folder)
    except ChannelUnavailable as error:
        raise ApiError(503, str(error), retry_after_s=5) from error


async def _ask(  # noqa: PLR0913, PLR0917 -- the parts of a request
    server: HttpServer,
    memory: Memory,
    request: Request,
    person: Person,
    room: HttpRoom,
    completion: Completion,
    key: str,
) -> Asked:
    """Store the message, or the answer to an open question."""
    created = int(server.clock.now().timestamp())
    files_at = f"{request.url.scheme}://{request.url.netloc}/v1/files"
    since = server.rooms.live.number
    card = await _open_question(room, completion)
    values = chosen(card, completion.text) if card is not None else ()
    if card is not None and values:
        after = await _choose(person, room, card, values, completion, key)
        message_id, id_ = None, key
    else:
        async with _uploads(server, completion) as files:
            post = Post(completion.text, completion.thread, files, key)
            posted = await posting(room, person, post)
        after, message_id, id_ = posted.seq, posted.id, posted.id
        since = 0 if posted.repeated else since  # it may have been settled before
        if posted.held is not None:
            raise ApiError(403, posted.held, code="held")
    shape = Shape(f"chatcmpl-{id_}", created, completion.model, completion.prompt_tokens)
    return Asked(server, memory, room, completion, shape, after, since, message_id, files_at)


@asynccontextmanager
async def _uploads(server: HttpServer, completion: Completion) -> AsyncIterator[tuple[Upload, ...]]:
    async with receiving(server.files.uploads, server.random) as receiver:
        for each in completion.files:
            await trio.to_thread.run_sync(receiver.add, each.name, each.type, each.data)
        _, files = await trio.to_thread.run_sync(receiver.finish)
        yield files


async def _open_question(room: HttpRoom, completion: Completion) -> Entry | None:
    """Return the newest card of the thread if it is an open question."""
    found = await room.history(thread=completion.thread, limit=RECENT)
    cards = [each for each in found if each.kind == "card"]
    return cards[-1] if cards and cards[-1].content.get("question_id") else None


async def _choose(  # noqa: PLR0913, PLR0917 -- the parts of a choice
    person: Person,
    room: HttpRoom,
    card: Entry,
    values: Sequence[str],
    completion: Completion,
    key: str,
) -> int:
    """Press the buttons that a text names. Return the number after which the answer comes."""
    now = room.rooms.clock.now()
    content = {"text": completion.text}
    said = NewEntry(room.chat, completion.thread, "user", key, key, content, now, person.name)
    added = await room.rooms.add(said)
    dropped = None
    try:
        for value in values:
            routed = await room.click(person, card.content["question_id"], value, thread=completion.thread)
            dropped = routed.dropped
    except BadEvent as error:
        raise ApiError(400, str(error), code="bad_event") from error
    except NotAccepted as error:
        raise ApiError(503, f"the answer is not stored: {error}", retry_after_s=5) from error
    if dropped is not None:
        raise ApiError(403, f"the answer does not count: {dropped}", code="dropped")
    return added.seq


async def _whole(asked: Asked, request: Request) -> Response:
    async def nothing(_: str = "") -> None:
        await trio.lowlevel.checkpoint()

    async def work() -> Response:
        async with asked.awaiting(nothing) as awaiting:
            try:
                await asked.run(awaiting, nothing)
            except ApiError as error:
                return error.response
            return json_answer(asked.shape.whole(awaiting.text))

    found = await while_wanted(request, asked.server.closing, work)
    return found or ApiError(503, "the server stops; send the request again", retry_after_s=5).response


async def _stream(asked: Asked, out: Out) -> None:
    async def event(value: object) -> None:
        await out(b"data: %b\n\n" % dumped(value))

    async def say(piece: str) -> None:
        await event(asked.shape.chunk({"content": piece}))

    async def ping() -> None:
        await out(b": ping\n\n")

    await event(asked.shape.chunk({"role": "assistant", "content": ""}))
    async with asked.awaiting(say) as awaiting:
        try:
            await asked.run(awaiting, ping)
        except ApiError as error:
            await event(error.body)
            return
    await event(asked.shape.chunk({}, "stop"))
    if asked.completion.include_usage:
        await event(asked.shape.usage_chunk(awaiting.text))
    await out(b"data: [DONE]\n\n")
