"""The session of a provider under test: state, tools, events and files, without a runner."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Literal

import trio
from attrs import Factory, define, frozen

from agent_runner import events, session_state
from agent_runner.errors import UnstorableError
from agent_runner.providers import HttpClients, ProviderContext
from agent_runner.providers.model_settings import model_settings as read_model_settings
from agent_runner.tools import TOOLS
from agent_runner.tools.registry import SessionTools
from nanoclaw.testing.conformance.turns import WHEN


@define(eq=False)
class MemoryState:
    """State in memory, with the bounds of the real one. Implements `agent_runner.providers.SessionState`."""

    values: dict[str, str] = Factory(dict)

    async def get(self, key: str, /) -> str | None:
        """Return the value, or None."""
        await trio.lowlevel.checkpoint()
        return self.values.get(key)

    async def set(self, key: str, value: str, /) -> None:
        """Store a value."""
        self.apply({key: value})
        await trio.lowlevel.checkpoint()

    async def delete(self, key: str, /) -> None:
        """Remove a key."""
        self.apply({key: None})
        await trio.lowlevel.checkpoint()

    async def items(self) -> Mapping[str, str]:
        """Return everything."""
        await trio.lowlevel.checkpoint()
        return dict(sorted(self.values.items()))

    def apply(self, changes: object) -> None:
        """Apply the changes of a result, as the runner does. Raises UnstorableError."""
        checked = session_state.checked(changes)
        after = {**self.values, **checked}
        kept = {key: value for key, value in after.items() if value is not None}
        if len(kept) > session_state.MOST_KEYS:
            raise UnstorableError(f"session_state would have {len(kept):,} keys")
        self.values = kept


@define(eq=False)
class MemoryEvents:
    """Events in memory. Implements `agent_runner.providers.EventLog`."""

    recorded: list[tuple[str, Mapping[str, object]]] = Factory(list)

    async def record(
        self, kind: Literal["usage", "error"], data: Mapping[str, object], /, turn_id: str | None = None
    ) -> None:
        """Keep an event, if the real log would."""
        del turn_id
        self.recorded.append((kind, events.check(kind, data)))
        await trio.lowlevel.checkpoint()


@frozen
class _Clock:
    """A clock that always returns the same time."""

    def now(self) -> datetime:
        """Return the time of the test's turns."""
        return WHEN


@contextmanager
def session_context(
    state: MemoryState, http: HttpClients, model_settings: Mapping[str, object]
) -> Iterator[ProviderContext]:
    """Make the context of a fresh runner; `state` comes from the runners before it."""
    numbers = count(1)
    with TemporaryDirectory() as workspace:
        yield ProviderContext(
            state=state,
            tools=SessionTools(lambda: TOOLS),
            events=MemoryEvents(),
            http=http,
            clock=_Clock(),
            workspace=Path(workspace),
            shared=Path(workspace, "global"),
            inbound=Path(workspace, "in"),
            outbound=Path(workspace),
            sandboxed=False,
            model=read_model_settings(model_settings),
            model_settings=MappingProxyType(dict(model_settings)),
            new_id=lambda prefix: f"{prefix}-{next(numbers)}",
        )
