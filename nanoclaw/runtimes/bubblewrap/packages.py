"""The approved packages of agents: a folder beside each agent's workspace, installed in the background.

A folder has a version for each list of packages. A sandbox sees one version, read-only, until it ends. So a
version is removed only before the first sandbox of its agent starts in a host's life.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import trio
from attrs import Factory, define, evolve, field

from nanoclaw.runtimes.backlog import Backlog, Report, Words, Work, WorkFailed
from nanoclaw.runtimes.bubblewrap.installing import Bounds, install, version_of
from nanoclaw.runtimes.protocol import Packages, RunnerSpec
from nanoclaw.system.trees import remove_tree

WORDS = Words(
    "packages.installing",
    "packages.installed",
    "packages.install_failed",
    "are being installed",
    "could not be installed",
    "correct that; a later start of the agent tries it again, ten minutes or more after this",
)


@define(eq=False)
class PackageFolders:
    """Finds the packages for each sandbox, and has missing ones installed."""

    bounds: Bounds = Factory(Bounds)
    _backlog: Backlog = field(default=Factory(lambda: Backlog(WORDS)), init=False)
    _cleaned: set[Path] = field(factory=set, init=False)
    _cleaning: trio.Lock = field(factory=trio.Lock, init=False)

    async def serve(self) -> None:
        """Install what is wanted, until cancelled."""
        await self._backlog.serve()

    async def folder_for(self, spec: RunnerSpec) -> Path | None:
        """Return the folder of a sandbox's packages: the wanted ones, else earlier ones, else None.

        Raises:
            OSError: the folder cannot be read.
        """
        folder, packages = folder_of(spec.workspace.parent), evolve(spec.packages, apt=())
        wanted = folder / version_of(packages)
        ours = f"{folder}/"
        self._backlog.drop(lambda key: key.startswith(ours) and key != str(wanted))
        if packages == Packages():
            return None
        async with self._cleaning:
            there = await trio.to_thread.run_sync(self._there, folder, wanted)
        if there != wanted:
            self._backlog.want(self._work(spec.workspace.parent.name, wanted, packages))
        return there

    async def install(self, spec: RunnerSpec) -> None:
        """Install the packages of a specification, unless they are there. Return when they are.

        Raises:
            WorkFailed: they cannot be installed.
        """
        packages = evolve(spec.packages, apt=())
        wanted = folder_of(spec.workspace.parent) / version_of(packages)
        if packages == Packages() or await trio.to_thread.run_sync(wanted.is_dir):
            return
        reason = await self._backlog.finish(self._work(spec.workspace.parent.name, wanted, packages))
        if not await trio.to_thread.run_sync(wanted.is_dir):
            raise WorkFailed(reason or f"{wanted} is missing again")

    def _there(self, folder: Path, wanted: Path) -> Path | None:
        """Return the version to use; the first time, remove the others. Blocking."""
        if not folder.is_dir():
            return None
        kept = wanted if wanted.is_dir() else max(versions(folder), key=_time, default=None)
        if folder not in self._cleaned:
            for each in folder.iterdir():
                if each != kept:
                    with suppress(OSError):  # the next host tries it again
                        remove_tree(each)
            self._cleaned.add(folder)
        return kept

    def _work(self, agent: str, wanted: Path, packages: Packages) -> Work:
        async def work(report: Report) -> None:
            await install(packages, wanted.parent, self.bounds, report)

        return Work(str(wanted), f"the packages of {agent}", work)

    async def idle(self) -> None:
        """Wait until all that was wanted is installed, or could not be."""
        await self._backlog.idle()

    @property
    def problems(self) -> tuple[str, ...]:
        """The installations that are running, and those that have failed, in words."""
        return self._backlog.problems


def folder_of(group: Path) -> Path:
    """Return the folder of all versions of an agent's packages, by the agent's folder."""
    return group / "packages"


def versions(folder: Path) -> Sequence[Path]:
    """Return the complete versions in an agent's folder of packages. Blocking."""
    return [each for each in folder.iterdir() if not each.name.startswith(".") and each.is_dir()]


def _time(version: Path) -> float:
    return version.stat().st_mtime
