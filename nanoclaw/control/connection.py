"""One client of the control socket: reads its requests in order, and sends their results.

A slow request answers later, while the next ones are read. EOF from the client closes the connection.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import trio
from attrs import Factory, define, frozen

from nanoclaw.channels.terminal.visits import ChatEvent, ChatRoom, Done, Drafting, Shown, Visit
from nanoclaw.config.nearest import nearest
from nanoclaw.control import wire
from nanoclaw.control.session_log import merged
from nanoclaw.control.wire import Id, Request, RequestRefused
from nanoclaw.logs.ring import MAX_EVENTS, LogRing
from nanoclaw.operations import Caller, OperationFailed, Operations
from nanoclaw.operations.references import KINDS
from nanoclaw.records import NotAccepted
from nanoclaw.records.status import CannotTell, HostReport, StatusSource
from nanoclaw.runtimes import KeptEvent, NotNow
from nanoclaw.store import StoreError
from nanoclaw.system.lines import Lines
from nanoclaw.version import installed_version

STALL_S = 10.0
"""Seconds after which a client that does not read is disconnected."""
MAX_FOLLOWED = 8
"""Maximum number of requests of one client that follow the log."""
BATCH = 100
"""Log events sent at once."""
MAX_LAST = 1_000_000
"""Maximum number of log events in a request; the host keeps fewer."""
CHUNK = 65536
NO_CHAT = (
    "this host has no terminal chat; write to the agent in a chat of its channels, or have the program that "
    "embeds the host pass a Terminal among its channels (docs/how-to/embed-in-a-trio-program.md)"
)
NO_LOGS = (
    "this host keeps no log events in memory; look where its log goes, or have the program that embeds the "
    "host call configure_logging(level, ring=LogRing()) before it opens the host"
)


@frozen
class Offer:
    """The parts that the socket offers; requests for a part that is None are refused."""

    status: StatusSource
    chat: ChatRoom | None
    logs: LogRing | None
    operations: Operations | None
    output: Callable[[str], Awaitable[Sequence[KeptEvent]]] | None = None
    """Returns what is kept of the output of a session's runner. Raises NotNow."""


# -- parameters ----------------------------------------------------------------


@frozen
class Nothing:
    """No parameters."""


@frozen
class ChatParams:
    """Parameters of `chat`."""

    text: str


@frozen
class ListenParams:
    """Parameters of `listen`. With `confirm`, the client says by `shown` what it has shown."""

    confirm: bool = False
    drafts: bool = False


@frozen
class ShownParams:
    """Parameters of `shown`: the number of a message."""

    message: int


@frozen
class LogsParams:
    """Parameters of `logs`: the last events, all or those of a session, then new ones."""

    last: int = 200
    session: str | None = None
    follow: bool = False


@frozen
class NamesParams:
    """Parameters of `names`: a kind of thing, such as agent."""

    kind: str


@frozen
class ConfirmationParams:
    """Parameters of `confirmation`: an operation, such as users.delete, and its parameters."""

    operation: str
    params: Mapping[str, Any] = Factory(dict)


METHODS = ("status", "tree", "chat", "listen", "shown", "logs", "names", "confirmation")
"""The methods that are not operations."""


# -- a client ------------------------------------------------------------------


@define(eq=False)
class Connection:
    """Serves one client."""

    stream: trio.SocketStream
    offer: Offer
    nursery: trio.Nursery
    """The client's nursery, which ends with it."""
    visits: ExitStack
    """Ends the client's visit."""
    _visit: Visit | None = None
    _followed: int = 0
    _sending: trio.Lock = Factory(trio.Lock)

    async def serve(self) -> None:
        """Answer until the client disconnects.

        Raises:
            BrokenResourceError: the client is gone.
            TooSlowError, TooSlow: the client does not read what it is sent.
        """
        await self.send(wire.dump({"nanoclaw": wire.VERSION, "version": installed_version()}))
        async for line in Lines(partial(self.stream.receive_some, CHUNK), wire.MAX_REQUEST):
            await self._answer(line)

    async def send(self, lines: bytes) -> None:
        """Send whole lines. Raises TooSlowError if the client does not read them."""
        async with self._sending:
            with trio.fail_after(STALL_S):
                await self.stream.send_all(lines)

    async def _answer(self, line: bytes | None) -> None:
        try:
            await self._meet(wire.load_request(line))
        except RequestRefused as refused:
            await self.send(refused.dump())

    async def _meet(self, request: Request) -> None:
        id_ = request.id
        match request.method:
            case "status":
                wire.load_params(request, Nothing)
                await self._result(id_, await self._status(id_))
            case "tree":
                wire.load_params(request, Nothing)
                await self._result(id_, self.offer.status.tree())
            case "chat":
                await self._chat(id_, wire.load_params(request, ChatParams))
            case "listen":
                await self._listen(id_, wire.load_params(request, ListenParams))
            case "shown":
                self._attend(id_).confirm(wire.load_params(request, ShownParams).message)
                await self._result(id_, {})
            case "logs":
                await self._logs(id_, wire.load_params(request, LogsParams))
            case "names":
                await self._result(id_, await self._names(id_, wire.load_params(request, NamesParams)))
            case "confirmation":
                params = wire.load_params(request, ConfirmationParams)
                await self._result(id_, await self._confirmation(id_, params))
            case name if "." in name:
                await self._perform(request)
            case name:
                near = nearest(name, METHODS)
                raise wire.bad_request(
                    id_, f"method: must be {', '.join(METHODS)} or an operation such as agents.list{near}"
                )

    async def _result(self, id_: Id, result: object) -> None:
        await self.send(wire.dump({"id": id_, "result": result}))

    async def _event(self, id_: Id, event: object) -> None:
        await self.send(wire.dump({"id": id_, "event": event}))

    async def _status(self, id_: Id) -> HostReport:
        try:
            return await self.offer.status.status()
        except CannotTell as error:
            raise RequestRefused(id_, "unavailable", str(error)) from error

    # -- operations

    def _operations(self, id_: Id) -> Operations:
        if self.offer.operations is None:
            raise RequestRefused(id_, "unavailable", "this host has no operations")
        return self.offer.operations

    async def _perform(self, request: Request) -> None:
        """Perform an operation for the host's own user: no other user can connect."""
        notes = list[str]()
        try:
            result = await self._operations(request.id).perform(
                request.method, request.params, Caller.local(), notes.append
            )
        except OperationFailed as error:
            raise RequestRefused(request.id, error.code, str(error)) from error
        for note in notes:
            await self._event(request.id, {"type": "note", "text": note})
        await self._result(request.id, result)

    async def _confirmation(self, id_: Id, params: ConfirmationParams) -> str:
        """Return the question that a person answers before an operation; empty if it destroys nothing."""
        try:
            return await self._operations(id_).question(params.operation, params.params, Caller.local())
        except OperationFailed as error:
            raise RequestRefused(id_, error.code, str(error)) from error

    async def _names(self, id_: Id, params: NamesParams) -> list[str]:
        if params.kind not in KINDS:
            raise wire.bad_request(id_, f"params.kind: must be one of {', '.join(KINDS)}")
        try:
            return await self._operations(id_).names(KINDS[KINDS.index(params.kind)])
        except StoreError as error:
            raise RequestRefused(id_, "unavailable", str(error)) from error

    # -- the chat

    async def _chat(self, id_: Id, params: ChatParams) -> None:
        if len(params.text.encode("utf-8", "surrogatepass")) > wire.MAX_TEXT:
            raise RequestRefused(
                id_, "too_long", f"a message has at most {wire.MAX_TEXT >> 20} MiB; split it"
            )
        try:
            routed = await self._attend(id_).say(json.dumps(id_), params.text)
        except NotAccepted as error:
            raise RequestRefused(id_, "not_accepted", str(error)) from error
        if routed.dropped:
            raise RequestRefused(id_, "dropped", routed.dropped)
        await self._event(id_, {"type": "accepted", "sessions": routed.session_ids})

    async def _listen(self, id_: Id, params: ListenParams) -> None:
        self._attend(id_).listen(confirms=params.confirm, drafts=params.drafts)
        who = [] if self.offer.chat is None else await self.offer.chat.answering()
        await self._result(id_, {"answering": who})

    def _attend(self, id_: Id) -> Visit:
        """Return the client's visit to the chat, which lasts until the client disconnects."""
        if self.offer.chat is None:
            raise RequestRefused(id_, "unavailable", NO_CHAT)
        if self._visit is None:
            self._visit = self.visits.enter_context(self.offer.chat.visit())
            self.nursery.start_soon(self._pass_on, self._visit)
        return self._visit

    async def _pass_on(self, visit: Visit) -> None:
        while True:
            await self._tell(await visit.next())

    async def _tell(self, event: ChatEvent) -> None:
        match event:
            case Shown(text, tag, number, asks):
                told = {"type": "message", "text": text, "message": number}
                await self._event(json.loads(tag or "null"), told | ({"asks": True} if asks else {}))
            case Done(tag, failed):
                await self._result(json.loads(tag), {"failed": failed})
            case Drafting(text):
                await self._event(None, {"type": "draft", "text": text})
            case _:
                await self._event(None, {"type": "typing"})

    # -- the log

    async def _logs(self, id_: Id, params: LogsParams) -> None:
        logs = self.offer.logs
        if logs is None:
            raise RequestRefused(id_, "unavailable", NO_LOGS)
        if params.follow and self._followed >= MAX_FOLLOWED:
            raise RequestRefused(id_, "busy", f"a client may follow {MAX_FOLLOWED} times at once")
        session = None if params.session is None else await self._session(id_, params.session, logs)
        reached = logs.newest
        wanted = min(max(0, params.last), MAX_LAST)
        if session is None:
            lines = logs.latest(wanted, None)
            texts = [line.text for line in lines]
        else:
            kept, problem = await self._kept(session)
            lines = logs.latest(MAX_EVENTS, session)
            found = merged(lines, kept, session)
            texts = [*found[max(0, len(found) - wanted) :], *problem]
        for first in range(0, len(texts), BATCH):
            await self.send(_log_events(id_, texts[first : first + BATCH]))
        if not params.follow:
            await self._result(id_, {})
            return
        self._followed += 1
        reached = max([reached, *(line.number for line in lines[-1:])])
        self.nursery.start_soon(self._follow, id_, logs, reached, session)

    async def _session(self, id_: Id, text: str, logs: LogRing) -> str:
        """Return the id of a session, or a prefix of ids that only the log knows."""
        if self.offer.operations is None:
            return text
        try:
            return await self.offer.operations.found("session", text)
        except OperationFailed as error:
            if error.code == "not_found" and text and logs.latest(1, text):
                return text  # an actor, or a session that is no more
            raise RequestRefused(id_, error.code, str(error)) from error

    async def _kept(self, session: str) -> tuple[Sequence[KeptEvent], Sequence[str]]:
        """Return what is kept of a runner's output, and an event that says why it cannot be read."""
        if self.offer.output is None:
            return (), ()
        try:
            return await self.offer.output(session), ()
        except NotNow as error:
            event = {"event": "logs.output_unread", "level": "warning", "session": session}
            return (), (json.dumps({**event, "reason": str(error)}),)

    async def _follow(self, id_: Id, logs: LogRing, number: int, session: str | None) -> None:
        while True:
            await logs.wait_after(number)
            lines, number, lost = logs.after(number, session, BATCH)
            if lost:
                await self._event(id_, {"event": "logs.lost", "level": "warning", "events": lost})
            await self.send(_log_events(id_, [line.text for line in lines]))


def _log_events(id_: Id, texts: Sequence[str]) -> bytes:
    start = f'{{"id": {json.dumps(id_)}, "event": '
    return "".join(f"{start}{text}}}\n" for text in texts).encode()
