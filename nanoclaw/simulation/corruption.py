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
    """The damaged files of one world. Starting the host and damaging files both hold `hands`."""

    world: World
    files: dict[Path, dict[Path, bytes]] = Factory(dict)
    """By damaged database: the former contents of it and its journal."""
    hands: trio.Lock = Factory(trio.Lock)

    def candidate(self, random: Random, side: Literal["inbound", "outbound"]) -> Path | None:
        """Return a random database of that side, of a session without damage."""
        found = sorted((self.world.home / "data").glob(f"sessions/*/*/{side}/{side}.db"))
        damaged = {path.parents[1] for path in self.files}
        whole = [path for path in found if path.parents[1] not in damaged and path.stat().st_size > PAGE]
        return random.choice(whole) if whole else None

    async def do(self, random: Random, path: Path) -> None:
        """Damage a database. Its writer is killed first, so that the kept copy is complete."""
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
        """Stop the host and restore all damaged files."""
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
        """Return a sentence for each damaged, running session whose status does not report the damage.

        Raises:
            WorldError: no host runs.
        """
        states = {node.name: node.state for node in self.world.host.sessions.nodes()}
        living = [path for path in self.files if path.parents[1].name in states]
        said = {path: await self._says(path, states[path.parents[1].name]) for path in living}
        return [
            f"{path.parents[1].name}: {path.name} is damaged, but the status does not report it"
            for path in said
            if not said[path]
        ]

    async def _says(self, path: Path, state: str) -> bool:
        """Return whether the status reports the damage. Without a runner it does not have to."""
        if state != "running":
            return True  # buried or stopping
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
