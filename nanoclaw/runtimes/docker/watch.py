"""Watches the engine by one stream of events for all containers, which is opened again when it breaks.

The state of the engine is known from it. While it is away, no runner starts, and no death is assumed: a
container may go on without its engine.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import structlog
import trio
from attrs import Factory, define, field

from nanoclaw.runtimes.docker.container import INSTALL
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.errors import EngineAway, EngineError
from nanoclaw.runtimes.protocol import RuntimeState
from nanoclaw.system.foreign import ungrouped

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
"""Bounds of the delay before an engine that is away is asked again."""
CHECK_S = 15.0
"""Interval at which an engine is asked if it still answers. One that hangs keeps its stream open."""
ANSWER_S = 10.0
"""Seconds that it has for that answer."""
MAX_LINE = 1 << 20
"""Bytes of one event."""
UNSERVED = RuntimeState(ready=False, text="the host has not asked the container engine yet")

_log = structlog.get_logger()


@define(eq=False)
class Changes:
    """Signals that something may have happened to a container."""

    _event: trio.Event = Factory(trio.Event)

    def tell(self) -> None:
        """Wake the one that waits."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for the next change, or return at once if there was one since the last call."""
        await self._event.wait()
        self._event = trio.Event()


@define(eq=False)
class Watch:
    """The state of the engine, and the deaths of containers."""

    engine: Engine
    look: Callable[[], Awaitable[None]]
    """Called whenever the engine is found, and at each check. Raises EngineError."""
    state: RuntimeState = UNSERVED
    asked: trio.Event = Factory(trio.Event)
    """Set once the engine was asked for the first time, successfully or not."""
    losses: int = 0
    """How often the engine was lost. A death beside a loss may be its doing."""
    _watched: dict[str, Changes] = field(factory=dict, init=False)
    _wake: trio.Event = field(factory=trio.Event, init=False)

    @contextmanager
    def watching(self, container_id: str) -> Iterator[Changes]:
        """Yield the signal of a container's changes, which also comes whenever the engine is found again."""
        changes = self._watched[container_id] = Changes()
        try:
            yield changes
        finally:
            del self._watched[container_id]

    def compare(self, running: Collection[str]) -> None:
        """Tell of containers that do not run, in case an event was lost. `running` has the others."""
        for container_id, changes in self._watched.items():
            if container_id not in running:
                changes.tell()

    def doubt(self, error: EngineError) -> None:
        """Note that a call failed. If the engine is away, it is asked again at once."""
        if isinstance(error, EngineAway):
            self._wake.set()

    async def run(self, install_id: str) -> None:
        """Watch until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            before = trio.current_time()
            try:
                with ungrouped(EngineError):
                    await self._connected(install_id)
            except EngineError as error:
                self._lost(error)
            if trio.current_time() - before > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _connected(self, install_id: str) -> None:
        """Follow the engine's events. Raises EngineError when it is lost."""
        async with self.engine.stream(_events_of(install_id)) as pieces, trio.open_nursery() as nursery:
            await self._check()
            for changes in self._watched.values():
                changes.tell()
            nursery.start_soon(self._keep_checking)
            async for line in _lines(pieces):
                self._note(line)
        raise EngineAway("the container engine closed its stream of events: it stops, or was restarted")

    def _note(self, line: bytes) -> None:
        try:
            container_id = json.loads(line)["Actor"]["ID"]
        except (ValueError, KeyError, TypeError):
            return
        if (changes := self._watched.get(container_id)) is not None:
            changes.tell()

    async def _keep_checking(self) -> None:
        while True:
            self._wake = trio.Event()
            with trio.move_on_after(CHECK_S):
                await self._wake.wait()
            await self._check()

    async def _check(self) -> None:
        await self.look()
        self._become(RuntimeState(ready=True, text=f"the container engine answers at {self.engine.socket}"))

    def _lost(self, error: EngineError) -> None:
        self.losses += 1
        self._become(RuntimeState(ready=False, text=str(error)))

    def _become(self, state: RuntimeState) -> None:
        self.asked.set()
        if state != self.state:
            self.state = state
            log = _log.info if state.ready else _log.warning
            log("runtime.ready" if state.ready else "runtime.not_ready", reason=state.text)


def _events_of(install_id: str) -> str:
    """Return the request for all events of an installation's containers. Engines name them differently."""
    filters = {"type": ["container"], "label": [f"{INSTALL}={install_id}"]}
    return f"/events?filters={quote(json.dumps(filters))}"


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > MAX_LINE:
            raise EngineAway("the container engine sent an event that never ends")
