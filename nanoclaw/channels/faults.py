"""Finds what a channel of another author lacks, before the channel is used."""

from collections.abc import Iterator
from typing import cast, get_args

from nanoclaw.channels.protocol import Channel, Repeat, capabilities_of
from nanoclaw.system.foreign import ForeignError, foreign_code


def faults(channel: object) -> Iterator[str]:
    """Yield what is wrong with a channel, one sentence each."""
    try:
        with foreign_code():
            repeat = capabilities_of(cast("Channel", channel)).repeat
            name: object = getattr(channel, "channel_type", None)
    except ForeignError as error:
        yield f"its channel_type and capabilities must be readable, got {error}"
        return
    if not isinstance(name, str) or not name:
        yield f"its channel_type must be a text, got {name!r}"
    if repeat not in get_args(Repeat):
        yield f"its repeat must be one of {', '.join(get_args(Repeat))}, got {repeat!r}"
    for method in ("sender", "receive"):
        if not callable(getattr(channel, method, None)):
            yield f"it has no {method}()"
