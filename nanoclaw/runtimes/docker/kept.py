"""The last output of each session's container. The engine keeps it, until the container is removed."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from attrs import define, field

from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.errors import EngineError, NotThere
from nanoclaw.runtimes.docker.watch import ANSWER_S
from nanoclaw.runtimes.protocol import KeptLine, NotNow

LINES = 1000
"""The most lines of a container that are asked for. The engine bounds their bytes."""
DEAD_LINES, DEAD_SESSIONS = 200, 100
"""The lines that are kept of a removed container, and the sessions of which some are kept."""
DEAD_TEXT = 4096
"""Characters of such a line."""


@define(eq=False)
class KeptOutput:
    """Reads the output of containers, and keeps the end of it when they are removed."""

    engine: Engine
    _of_dead: OrderedDict[str, Sequence[KeptLine]] = field(factory=OrderedDict, init=False)

    async def keep(self, session_id: str, container_id: str) -> None:
        """Keep the end of the output of a container that is about to be removed. Failures are ignored."""
        try:
            lines = await self._read(container_id, DEAD_LINES)
        except EngineError:
            return
        self._of_dead[session_id] = [KeptLine(each.at, each.text[:DEAD_TEXT]) for each in lines]
        self._of_dead.move_to_end(session_id)
        if len(self._of_dead) > DEAD_SESSIONS:
            self._of_dead.popitem(last=False)

    async def of(self, session_id: str, container: str) -> Sequence[KeptLine]:
        """Return the output of a session's last removed container, and of the present one.

        Raises:
            NotNow: the engine is away.
        """
        try:
            present = await self._read(container, LINES)
        except NotThere:
            present = []
        except EngineError as error:
            raise NotNow(str(error)) from error
        return [*self._of_dead.get(session_id, ()), *present]

    async def _read(self, container: str, lines: int) -> Sequence[KeptLine]:
        """Return the last lines of a container's output. Raises EngineError."""
        found: bytes = await self.engine.call(
            lambda api: api.logs(container, stdout=True, stderr=True, timestamps=True, tail=lines), ANSWER_S
        )
        return [line for each in found.split(b"\n") if (line := _line(each)) is not None]


def _line(line: bytes) -> KeptLine | None:
    """Return a line after its time, which the engine puts in front. None if there is none."""
    at, _, text = line.decode("utf-8", "replace").partition(" ")
    try:
        return KeptLine(datetime.fromisoformat(at), text) if text.strip() else None
    except ValueError:
        return None
