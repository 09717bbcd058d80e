"""The registry actor: owns the writer of `v2.db`, and is the only one that writes there.

Its messages stand in the modules beside this one, by entity. It never waits for a session, a channel or a
container. Whoever only reads uses a read-only connection.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Concatenate, ParamSpec, TypeVar

from attrs import define

from actors import Context
from nanoclaw.registry.changes import Changes
from nanoclaw.seams import Clock, new_id
from nanoclaw.store import Connection, Executor, Writer, meta, own_central, sessions

T = TypeVar("T")
P = ParamSpec("P")

INSTALL_ID = "install_id"


@define(eq=False)
class Registry:
    """The state of the registry: its writer, what rows are made with, and whom to tell after a commit."""

    _writer: Writer
    clock: Clock
    random: Random
    changes: Changes

    async def commit(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn` as one whole transaction; whoever remembers what was read before reads it again.

        Raises:
            StoreError: as `Writer.run` does.
        """
        try:
            return await self._writer.run(fn, *args, **kwargs)
        finally:
            self.changes.version += 1

    async def note(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `commit`, for what nobody remembers: all that was read before stays true.

        Raises:
            StoreError: as `Writer.run` does.
        """
        return await self._writer.run(fn, *args, **kwargs)

    def new_id(self, prefix: str, *what: str | None) -> str:
        """A fresh id for a row; `what` as in `nanoclaw.seams.new_id`."""
        return new_id(prefix, self.random, *what)


def registry_recipe(
    data: Path, executor: Executor, clock: Clock, random: Random, changes: Changes
) -> Callable[[Context[Registry]], AbstractAsyncContextManager[Registry]]:
    """What the registry owns: the lock of the data directory, and the writer of `v2.db`."""
    host_starts = True

    @asynccontextmanager
    async def recipe(_context: Context[Registry]) -> AsyncIterator[Registry]:
        nonlocal host_starts
        async with own_central(data, executor=executor, clock=clock, random=random) as writer:
            registry = Registry(writer, clock, random, changes)
            await registry.commit(_ensure_install_id, registry)
            if host_starts:  # after a crash of the registry alone the sessions run on
                await registry.commit(sessions.nobody_runs)
                host_starts = False
            yield registry

    return recipe


def _ensure_install_id(connection: Connection, registry: Registry) -> None:
    if meta.get(connection, INSTALL_ID) is None:
        meta.put(connection, INSTALL_ID, registry.new_id("install"))
