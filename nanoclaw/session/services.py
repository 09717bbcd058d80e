"""What every session actor is given: the parts of the host below it, and who it is."""

from datetime import datetime
from random import Random
from typing import Protocol

from attrs import frozen

from actors import Ref
from nanoclaw.channels.senders import Senders
from nanoclaw.config import Config
from nanoclaw.records import Address, AgentGroup, Session, SessionPaths
from nanoclaw.registry import Changes, Registry
from nanoclaw.runtimes import Runtime
from nanoclaw.seams import Clock
from nanoclaw.session.presence import Presences
from nanoclaw.store import Executor, Reader
from nanoclaw.store.outbound import Look
from nanoclaw.wakeups import Wakeups


class Observer(Protocol):
    """Told of what runners say, before their sessions act upon it: recordings look on."""

    def looked(self, session_id: str, look: Look, now: datetime, /) -> None:
        """A session has looked at its `outbound.db`; `now` is the date at which it judges what it saw."""
        ...

    def quarantined(self, session_id: str, reason: str, /) -> None:
        """It will not read that file any more."""
        ...


@frozen
class NoObserver:
    """Looks on at nothing."""

    def looked(self, _session_id: str, _look: Look, _now: datetime, /) -> None:
        """Nothing."""

    def quarantined(self, _session_id: str, _reason: str, /) -> None:
        """Nothing."""


@frozen
class Services:
    """The parts of the host that a session uses; all shared, none owned by it."""

    config: Config
    executor: Executor
    clock: Clock
    random: Random
    central: Reader
    registry: Ref[Registry]
    changes: Changes
    senders: Senders
    runtime: Runtime
    wakeups: Wakeups
    presences: Presences
    observer: Observer = NoObserver()


@frozen
class Conversation:
    """Who a session is. `chat` is its own chat; None where it serves all chats of its agent group."""

    session: Session
    agent_group: AgentGroup
    chat: Address | None

    def paths(self, config: Config) -> SessionPaths:
        """Where its files are."""
        return SessionPaths.of(config.data, self.agent_group.id, self.session.id)

    def owns(self, address: Address) -> bool:
        """Whether an address is in the session's own chat, which it may always write to."""
        own = self.chat
        return own is not None and (own.channel_type, own.platform_id) == (
            address.channel_type,
            address.platform_id,
        )
