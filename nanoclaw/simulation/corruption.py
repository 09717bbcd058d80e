"""Damaged files of a world. Their former contents are kept, to repair them later."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Literal

import trio
from attrs import Factory, define

from nanoclaw.host import HostFailed
from nanoclaw.testing.world.world import World

PAGE = 4096


@define(eq=False)
class Damage:
    """The damage done to one world. Whoever starts its host has `hands` meanwhile."""

    world: World
    files: dict[Path, dict[Path, bytes]] = Factory(dict)
    """By damaged database: the former contents of it and its journal."""
    hands: trio.Lock = Factory(trio.Lock)

    def candidate(self, random: Random, side: Literal["inbound", "outbound"]) -> Path | None:
        """A database of that side, of a session in which nothing is damaged."""
        found = sorted((self.world.home / "data").glob(f"sessions/*/*/{side}/{side}.db"))
        damaged = {path.parents[1] for path in self.files}
        whole = [path for path in found if path.parents[1] not in damaged and path.stat().st_size > PAGE]
        return random.choice(whole) if whole else None

    async def do(self, random: Random, path: Path) -> None:
        """Damage it. Its writer is killed first, so that what it was is all that it had written."""
        async with self.hands:
            if path.name == "inbound.db":
                await self.world.kill_host()
            else:
                await self._without_runner(path)
            self._spoil(random, path)

    def _spoil(self, random: Random, path: Path) -> None:
        journal = Path(f"{path}-journal")
        self.files[path] = {file: file.read_bytes() for file in (path, journal) if file.exists()}
        journal.unlink(missing_ok=True)
        path.write_bytes(_damaged(random, self.files[path][path]))

    async def mend(self) -> None:
        """Put everything back as it was, with the host stopped."""
        async with self.hands:
            with suppress(HostFailed):
                await self.world.stop()
            for path, contents in self.files.items():
                await self._without_runner(path)
                _put_back(path, contents)
            self.files.clear()

    async def _without_runner(self, path: Path) -> None:
        session_id = path.parents[1].name
        runner = self.world.runtime.runners.get(session_id)
        if runner is not None:
            runner.kill()
            await runner.gone.wait()

    async def unreported(self) -> list[str]:
        """Sessions that are awake, damaged, and say nothing of it; the host runs.

        Raises:
            WorldError: it does not.
        """
        states = {node.name: node.state for node in self.world.host.sessions.nodes()}
        living = [path for path in self.files if path.parents[1].name in states]
        said = {path: await self._says(path, states[path.parents[1].name]) for path in living}
        return [
            f"{path.parents[1].name}: {path.name} is damaged, and nobody says so"
            for path in said
            if not said[path]
        ]

    async def _says(self, path: Path, state: str) -> bool:
        """Return whether the status mentions the damage. A session without work need not have looked."""
        if state != "running":
            return True  # buried, or about to be
        details = await self.world.host.sessions.status(path.parents[1].name, 1.0)
        if details is None or details.runner.state == "absent":
            return True
        return bool(details.quarantined or details.unreadable or details.runner.last_failure)

    def spoilt(self) -> frozenset[str]:
        """The sessions in which something is damaged now."""
        return frozenset(path.parents[1].name for path in self.files)


def _put_back(path: Path, contents: Mapping[Path, bytes]) -> None:
    Path(f"{path}-journal").unlink(missing_ok=True)
    for file, content in contents.items():
        file.write_bytes(content)


def _damaged(random: Random, content: bytes) -> bytes:
    match random.randrange(3):
        case 0:
            return content[: len(content) // 2]
        case 1:
            return random.randbytes(100) + content[100:]
        case _:
            return random.randbytes(len(content))
