"""The registry actor. It owns the writer of `v2.db`, and nothing else writes there.

The modules beside this one define its messages, one module per entity. The actor never waits for a session, a
channel or a container. Code that only reads uses a read-only connection.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Concatenate, Literal, ParamSpec, Protocol, TypeVar

import trio
from attrs import define, frozen

from actors import ActorError, Context, Ref
from nanoclaw.records import PendingApproval
from nanoclaw.records.approvals import Asked, Decision
from nanoclaw.records.checking import BadValue, checked
from nanoclaw.registry.changes import Changes
from nanoclaw.store import Connection, Executor, NotAllowed, Writer, own_central
from nanoclaw.store.central import meta, sessions
from nanoclaw.store.engine.row_changes import Changed, followed
from nanoclaw.system.clock import Clock
from nanoclaw.system.ids import new_id

T = TypeVar("T")
P = ParamSpec("P")

INSTALL_ID = "install_id"
KEYS = frozenset({"id", "user_id", "messaging_group_id", "channel_type", "platform_id"})
"""The columns of changed rows that caches look at."""


class Requested(Protocol):
    """An approval that waits for a decision (`asked`), or that a rule has decided at once (`allowed`)."""

    @property
    def approval(self) -> PendingApproval:
        """The approval, as it is stored."""
        ...

    @property
    def state(self) -> Literal["asked", "allowed"]:
        """Whether it waits."""
        ...


class ApprovalEngine(Protocol):
    """Checks requests for approval and carries out decisions. The methods are functions of a connection.

    It is above the registry, because kinds of approvals may use all of it.
    """

    def request(self, connection: Connection, asked: Asked, id_: str, now: datetime, /) -> Requested:
        """Check a request, and have it decided by a rule or by people. Raises ActionRefused."""
        ...

    def decide(self, connection: Connection, decision: Decision, now: datetime, /) -> PendingApproval:
        """Decide an approval once, and apply the decision. Raises NotFound, NotAllowed."""
        ...

    def close(
        self,
        connection: Connection,
        approval: PendingApproval,
        outcome: Mapping[str, object],
        now: datetime,
        /,
    ) -> PendingApproval:
        """Store that an approval was decided by other means, which have done already what it is about."""
        ...

    def expire_overdue(self, connection: Connection, now: datetime, /) -> list[PendingApproval]:
        """Expire the approvals whose time is over."""
        ...


@define(eq=False)
class Registry:
    """State of the registry: the writer, the sources of ids and times, and the watchers of commits."""

    _writer: Writer
    clock: Clock
    random: Random
    changes: Changes
    approvals: ApprovalEngine

    async def commit(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn` as one whole transaction. Cached reads of the rows that it changes become invalid.

        Raises:
            StoreError: see `Writer.run`.
        """
        changed: Changed = None

        def body(connection: Connection) -> T:
            nonlocal changed
            result, changed = followed(connection, KEYS, fn, *args, **kwargs)
            return result

        try:
            return await self._writer.run(body)
        except BaseException:
            changed = None
            raise
        finally:
            self.changes.committed(changed)

    async def note(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` as `commit` does, but keep cached reads valid. Use it for data that is not cached.

        Raises:
            StoreError: see `Writer.run`.
        """
        return await self._writer.run(fn, *args, **kwargs)

    async def check_owner(self) -> None:
        """Raise `OwnershipLost` if the lock file of the data directory was deleted or replaced."""
        await self._writer.check_owner()

    def new_id(self, prefix: str, *what: str | None) -> str:
        """Return a new id for a row; see `nanoclaw.system.ids.new_id` for `what`."""
        return new_id(prefix, self.random, *what)


@frozen
class CheckLock:
    """Check that this host still owns its data directory, though it commits nothing."""

    async def handle(self, actor: Registry) -> None:
        """Crash the registry, and so the host, if its lock file was deleted or replaced."""
        await actor.check_owner()


async def watch_lock(registry: Ref[Registry], every_s: float) -> None:
    """Have the registry check its lock file until cancelled, because not every host commits often."""
    while True:
        await trio.sleep(every_s)
        with suppress(ActorError):  # the registry reports its crash itself
            await registry.ask(CheckLock())


@frozen
class CheckedMessage:
    """The base of messages that embedders cause. The values are checked when the message is made."""

    def __attrs_post_init__(self) -> None:
        try:
            checked(self, type(self))
        except BadValue as error:
            raise NotAllowed(f"{type(self).__name__}: {error}") from None


def registry_recipe(  # noqa: PLR0913, PLR0917 -- the seams, and one choice by name
    data: Path,
    executor: Executor,
    clock: Clock,
    random: Random,
    changes: Changes,
    approvals: ApprovalEngine,
    *,
    begin_anew: bool = False,
) -> Callable[[Context[Registry]], AbstractAsyncContextManager[Registry]]:
    """Return the recipe of the registry. It owns the lock of the data directory and the writer of `v2.db`.

    `begin_anew` applies to its first start; see `own_central`.
    """
    host_starts = True

    @asynccontextmanager
    async def recipe(_context: Context[Registry]) -> AsyncIterator[Registry]:
        nonlocal host_starts
        async with own_central(
            data, executor=executor, clock=clock, random=random, begin_anew=begin_anew and host_starts
        ) as writer:
            registry = Registry(writer, clock, random, changes, approvals)
            await registry.commit(_ensure_install_id, registry)
            if host_starts:  # if only the registry crashed, the sessions are still running
                await registry.commit(sessions.mark_all_stopped)
                host_starts = False
            yield registry

    return recipe


def _ensure_install_id(connection: Connection, registry: Registry) -> None:
    if meta.get(connection, INSTALL_ID) is None:
        meta.put(connection, INSTALL_ID, registry.new_id("install"))
