"""The parts of the host that each session actor gets, and its identity."""

from datetime import datetime
from random import Random
from typing import Protocol

from attrs import Factory, frozen

from actors import Ref
from nanoclaw.budgets import BudgetKeeper
from nanoclaw.channels.senders import Senders
from nanoclaw.config import Config
from nanoclaw.gateway import Gateway
from nanoclaw.records import Address, AgentGroup, Session, SessionPaths
from nanoclaw.registry import Changes, Registry
from nanoclaw.runtimes import Runtime
from nanoclaw.session.places import Places
from nanoclaw.session.presence import Presences
from nanoclaw.session.shortage import Shortage
from nanoclaw.session.space import Space
from nanoclaw.store import Executor, Reader
from nanoclaw.store.session.outbound import Look
from nanoclaw.system.clock import Clock
from nanoclaw.system.wakeups import Wakeups


class Observer(Protocol):
    """Called with what looks read, before sessions act on it. Recordings implement it."""

    def looked(self, session_id: str, look: Look, now: datetime, /) -> None:
        """Take a session's look at its `outbound.db`. `now` is the date at which the session settles it."""
        ...

    def quarantined(self, session_id: str, reason: str, /) -> None:
        """Take the reason why a session reads its `outbound.db` no more."""
        ...


@frozen
class NoObserver:
    """Ignores everything."""

    def looked(self, _session_id: str, _look: Look, _now: datetime, /) -> None:
        """Do nothing."""

    def quarantined(self, _session_id: str, _reason: str, /) -> None:
        """Do nothing."""


@frozen
class Services:
    """The parts of the host that sessions share."""

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
    gateway: Gateway
    budgets: BudgetKeeper
    observer: Observer = NoObserver()
    shortage: Shortage = Factory(Shortage)
    places: Places = Factory(Places)
    space: Space = Factory(
        lambda self: Space(self.config, self.executor, self.clock, enabled=False), takes_self=True
    )


@frozen
class Conversation:
    """The identity of a session. `chat` is None if it serves all chats of its agent group."""

    session: Session
    agent_group: AgentGroup
    chat: Address | None

    def paths(self, config: Config) -> SessionPaths:
        """Return the paths of its files."""
        return SessionPaths.of(config.data, self.agent_group.id, self.session.id)

    def owns(self, address: Address) -> bool:
        """Return True if an address is in the session's own chat. It may always write there."""
        own = self.chat
        return own is not None and (own.channel_type, own.platform_id) == (
            address.channel_type,
            address.platform_id,
        )
