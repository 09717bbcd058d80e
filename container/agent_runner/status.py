"""The state of a session in words: for `/status` and the tool get_status."""

from collections.abc import Collection, Sequence

from attrs import define, field, frozen

from agent_runner import events, inbound, outbound
from agent_runner.inbound import Candidate
from agent_runner.open_tasks import OpenTask, open_tasks
from agent_runner.polling import scan
from agent_runner.session import Session
from agent_runner.session_state import MODEL, StoredState
from agent_runner.store import Connection
from agent_runner.times import to_local


@frozen
class ModelInUse:
    """The session's provider and model. `chosen` is the name that `/model` has set, if any."""

    provider: str
    configured: str
    chosen: str | None

    @property
    def described(self) -> str:
        """The model in words."""
        if self.chosen is None:
            return self.configured or "its default"
        return f"{self.chosen} (chosen here; otherwise {self.configured or 'its default'})"


async def model_in_use(session: Session) -> ModelInUse:
    """Return the model that the next turn asks. Raises RunnerError."""
    chosen = await StoredState(session.outbound, session.seams.clock).get(MODEL)
    return ModelInUse(session.seams.provider.name, session.config.model.name, chosen)


@define(eq=False)
class _Waiting:
    """Counts the messages that wait for an answer."""

    without: Collection[str]
    count: int = field(default=0, init=False)
    closed: bool = field(default=False, init=False)

    def offer(self, row: Candidate) -> None:
        """Consider the next row."""
        self.count += row.trigger and not row.is_task and row.id not in self.without


async def describe_status(session: Session, without: Collection[str] = ()) -> str:
    """Return the state of the session, a line for each part of it.

    `without` has the ids of messages that are being answered. Raises RunnerError.
    """
    waiting = _Waiting(without)
    await scan(session, waiting)
    model, now = await model_in_use(session), session.seams.clock.now()
    tasks = await session.inbound.read(lambda connection: open_tasks(connection, now))
    questions = await _open_questions(session)
    tokens = await session.outbound.read(events.tokens)
    config = session.config
    return "\n".join(
        [
            f"Agent: {config.agent_group_name or config.assistant_name or 'without a name'}",
            f"Provider: {model.provider}, model: {model.described}",
            f"Sandbox: {'yes' if config.sandboxed else 'no, so there are chat tools only'}",
            *(f"Tool server {name}: {state}" for name, state in sorted(session.tool_servers.items())),
            f"Messages waiting: {waiting.count}",
            f"Open questions: {questions}",
            f"Open tasks: {_tasks(tasks, config.timezone)}",
            *_tokens(tokens),
        ]
    )


async def _open_questions(session: Session) -> int:
    """Return how many of the newest questions have no answer yet."""
    asked = await session.outbound.read(outbound.questions)

    def unanswered(connection: Connection) -> int:
        return sum(not inbound.is_answered(connection, id_) for id_ in asked)

    return await session.inbound.read(unanswered)


def _tasks(tasks: Sequence[OpenTask], zone: str) -> str:
    running = [task.next_run for task in tasks if not task.paused]
    return str(len(tasks)) + (f", next {to_local(running[0], zone)}" if running else "")


def _tokens(tokens: events.Tokens) -> Sequence[str]:
    """Return nothing for a provider that counts no tokens."""
    if not tokens.read and not tokens.written:
        return ()
    return (f"Tokens: {tokens.read:,} read, {tokens.written:,} written (of the newest events)",)
