"""Secrets of channels, such as tokens: read when a channel connects, and watched for changes.

Only a secret in a file can change while the host runs. Its file is looked at, and read when it looks new.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import trio
from attrs import define, field

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.config.model import KeyConfig
from nanoclaw.gateway.keys import KeyUnavailable, read_key

LOOK_S = 3.0
"""Seconds between looks at the file of a secret."""

Mark = tuple[int, int, int, int] | None
"""The inode, size and dates of a file, which change with its content. None: it cannot be looked at."""


def mark_of(file: Path) -> Mark:
    """Return the mark of a file. It is not opened."""
    try:
        found = os.stat(file)  # noqa: PTH116 -- not `Path.stat`, for a path may be of any kind
    except (OSError, ValueError):
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def secret_files(values: object, home: Path) -> frozenset[Path]:
    """Return the files that the values of a table name as secrets. Relative paths are below the home."""
    if not isinstance(values, Mapping):
        return frozenset()
    own = values.get("file")
    found = {home / own} if isinstance(own, str) and "\0" not in own else set()
    return frozenset(found).union(*(secret_files(each, home) for each in values.values()))


@define(eq=False)
class Secret:
    """A secret of a channel. No error and no log has its value."""

    place: KeyConfig
    """Where it is: a file, a variable or a command."""
    _read_key: Callable[[KeyConfig], Awaitable[str]] = read_key
    _last: str | None = field(default=None, init=False, repr=False)
    _mark: Mark = field(default=None, init=False)
    """The mark that the file had before it was last read."""

    async def read(self) -> str:
        """Return the secret.

        Raises:
            ChannelUnavailable: it cannot be read now. The text says why and what to do.
        """
        self._mark = self._look()
        try:
            self._last = await self._read_key(self.place)
        except KeyUnavailable as error:
            raise ChannelUnavailable(str(error), condition="unauthorized") from error
        return self._last

    async def changed(self) -> None:
        """Return once the secret differs from the one that was read last.

        A secret that cannot be read is not a change. A variable and the output of a command do not change
        while the host runs: `nanoclaw channels start` connects anew.
        """
        if self.place.file is None:
            await trio.sleep_forever()
        while True:
            await trio.sleep(LOOK_S)
            mark = self._look()
            if mark == self._mark:
                continue
            self._mark = mark
            try:
                if await self._read_key(self.place) != self._last:
                    return
            except KeyUnavailable:
                continue

    async def watch(self) -> None:
        """Wait until the secret has changed. Run it beside the connection.

        Raises:
            ChannelUnavailable: it has changed. This ends the connection, and the host opens another one.
        """
        await self.changed()
        raise ChannelUnavailable("the secret has changed; the channel connects again")

    def _look(self) -> Mark:
        return None if self.place.file is None else mark_of(self.place.file)
