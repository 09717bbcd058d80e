"""The parts that operations work on: those of a running host, or its files when none runs."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from random import Random, SystemRandom
from typing import Protocol

import trio
from attrs import Factory, frozen

from actors import Ref
from nanoclaw.budgets.limits import Rules, default_rules
from nanoclaw.config import Config
from nanoclaw.operations.errors import Unavailable
from nanoclaw.operations.session_files import SessionFiles
from nanoclaw.records import Answer
from nanoclaw.records.status import ChannelReport, SessionDetails
from nanoclaw.registry import Registry
from nanoclaw.session.administration import TaskChange, TaskVerb
from nanoclaw.session.services import Conversation
from nanoclaw.store import Reader


class SessionAccess(Protocol):
    """The way to change a session: through its actor, or on its files."""

    @property
    def alive(self) -> bool:
        """True if a host runs, so that messages are answered."""
        ...

    async def describe(self, session_id: str, /) -> SessionDetails | None:
        """Return the details of a session; None if its actor is not running or does not answer in time."""
        ...

    async def change_task(self, who: Conversation, verb: TaskVerb, task_id: str) -> TaskChange:
        """Change one of the session's tasks; the change is on disk when this returns.

        Raises:
            Refused: the task does not allow that, or the session cannot take it now.
            StoreError: it could not be stored.
        """
        ...

    async def answer(self, who: Conversation, answer: Answer) -> bool:
        """Store the answer to a question; it is on disk when this returns. Return False if one exists.

        Raises:
            Unavailable: the session cannot take it now.
        """
        ...

    async def restart_runner(self, who: Conversation) -> bool:
        """Stop the session's runner, so that work starts another one. Return False if there is none.

        Raises:
            Refused: the session cannot do that now.
        """
        ...

    def state(self, session_id: str, /) -> str | None:
        """Return the state of the session's actor in the live tree; None if it is not running."""
        ...


class ChannelAccess(Protocol):
    """The way to the channels: those that run, or their tables in the configuration."""

    @property
    def config(self) -> Config | None:
        """The configuration with the tables of channels, if it is known."""
        ...

    def reports(self) -> Sequence[ChannelReport]:
        """Return the state of each channel that runs."""
        ...

    async def start(self, name: str, /) -> None:
        """Start a channel as the configuration has it now, or start it again.

        Raises:
            Refusal: it cannot be started.
        """
        ...

    async def stop(self, name: str, /) -> None:
        """Stop a channel until the host starts again.

        Raises:
            Refusal: it cannot be stopped.
        """
        ...


@frozen
class ChannelsAtRest:
    """The channels while no host runs."""

    config: Config | None = None

    def reports(self) -> Sequence[ChannelReport]:
        """Return nothing: none runs."""
        return ()

    async def start(self, _name: str) -> None:
        """Refuse."""
        raise Unavailable("no host is running; `nanoclaw run` starts it with its channels")

    async def stop(self, _name: str) -> None:
        """Refuse."""
        raise Unavailable("no host is running, so no channel is")


@frozen
class Ground:
    """The parts that operations use."""

    registry: Ref[Registry]
    central: Reader
    sessions: SessionAccess
    files: SessionFiles
    make_agent_folder: Callable[[str], None]
    """Blocking; makes the folder of a new agent. Raises OSError."""
    now: Callable[[], datetime]
    random: Random = Factory(SystemRandom)
    """The source of codes."""
    channels: ChannelAccess = Factory(ChannelsAtRest)
    zone: str = "UTC"
    """The user's time zone."""
    rules: Rules = Factory(default_rules)
    """The limits of the configuration."""
    write_usage: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
    """Writes what was used and is not on disk yet."""
    write_drops: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
    """Writes counts of dropped messages that are not on disk yet."""
    refusal: Callable[[str], str | None] = lambda _provider: None
    """Returns why the runtime runs no agent of a provider; None if it runs them, or is not known."""
