"""Turns and tools for the provider's suite, which stands in for the runner."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import trio
from attrs import Factory, define

from agent_runner.errors import ToolError
from agent_runner.providers import Toolbox, ToolRegistry, ToolSpec
from agent_runner.records import Address, Inbound, Reply, Result, Turn
from agent_runner.tools.schemas import compile_schema
from nanoclaw.testing.conformance.checks import NotConforming

CHAT = Address("test", "chat")
WHEN = datetime(2026, 1, 1, 12, tzinfo=UTC)
SEND_MESSAGE = ToolSpec(
    "send_message",
    "Send a message before the turn is over.",
    {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
)


def message(n: int, text: str, *, trigger: bool = True) -> Inbound:
    """Return the n-th message of a chat."""
    content = {"id": str(n), "text": text, "sender": "Ann", "senderId": "test:ann"}
    return Inbound(f"in-{n}", 2 * n, "chat", CHAT, content, 0, WHEN, trigger)


def of_kind(n: int, kind: str, content: Mapping[str, object], *, trigger: bool = True) -> Inbound:
    """Return a message of another kind without a sender or chat, as tasks and webhooks may be."""
    return Inbound(f"in-{n}", 2 * n, kind, None, content, 0, WHEN, trigger)


def turn_of(*messages: Inbound) -> Turn:
    """Return a turn over messages."""
    return Turn(f"turn-{messages[0].id}", messages, assistant_name="Claw", agent_group_id="ag-1")


@define(eq=False)
class Tools(Toolbox):
    """Tools that perform calls, or refuse them, with at most one follow-up.

    With `session` they offer the session's tools. A call is checked against the schema of `spec`.
    """

    follow: Inbound | None = None
    refuses: bool = False
    session: ToolRegistry | None = None
    spec: ToolSpec = SEND_MESSAGE
    calls: list[tuple[str, Mapping[str, object]]] = Factory(list)
    taken: list[Inbound] = Factory(list)
    drafts: list[str] = Factory(list)

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """One tool, or those of the session."""
        return [self.spec] if self.session is None else self.session.specs

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Record the call."""
        await trio.lowlevel.checkpoint()
        self.calls.append((name, arguments))
        if name == self.spec.name:
            compile_schema(name, self.spec.parameters)(arguments)
        if self.refuses:
            raise ToolError("that is not possible now")
        return f"sent as message {2 * len(self.calls) + 1}"

    async def follow_ups(self) -> Sequence[Inbound]:
        """Return the follow-up once; then wait forever."""
        await trio.lowlevel.checkpoint()
        if self.follow is None or self.taken:
            await trio.sleep_forever()
        else:
            self.taken.append(self.follow)
        return tuple(self.taken)

    def draft(self, text: str) -> None:
        """Record the text so far."""
        self.drafts.append(text)

    def alive(self) -> None:
        """Do nothing: there is no watchdog."""


def require_result(result: object, when: str = "") -> Result:
    """Return what a turn has returned, if the runner can commit it. `when` tells the turns of a check apart.

    Raises:
        NotConforming: it is no `Result`, or a reply in it is no text.
    """
    before = when and f"{when} "
    if not isinstance(result, Result):
        raise NotConforming(f"{before}run returned {result!r}, expected a Result")
    replies: Sequence[object] = result.replies
    for reply in replies:
        text: object = reply.text if isinstance(reply, Reply) else reply
        if not isinstance(reply, Reply) or not isinstance(text, str):
            raise NotConforming(f"{before}a reply is {text!r}, expected a Reply with a text")
    return result
