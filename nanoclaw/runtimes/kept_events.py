"""What a runtime keeps of a runner's output, as log events."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from nanoclaw.runtimes.protocol import KeepsOutput, Runtime
from nanoclaw.runtimes.stderr import MAX_LINE, parsed


@frozen
class KeptEvent:
    """A line of a runner, as the host logs such lines."""

    at: datetime
    event: str
    level: str
    values: Mapping[str, object]


async def kept_events(runtime: Runtime, session_id: str) -> Sequence[KeptEvent]:
    """Return what a runtime keeps of the output of a session's runner, oldest first.

    Raises:
        NotNow: it cannot be read now.
    """
    if not isinstance(runtime, KeepsOutput):
        return []
    return [_event(line.at, line.text) for line in await runtime.output(session_id)]


def _event(at: datetime, text: str) -> KeptEvent:
    cut = text.encode()[:MAX_LINE].decode("utf-8", "replace").rstrip()
    event, level, values = parsed(cut)
    return KeptEvent(at, event, level, values)
