"""Approved packages under bubblewrap: installed on the host without their code, seen by the next sandbox."""

import json
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from attrs import define, evolve

from nanoclaw.runtimes import Packages, RunnerSpec
from nanoclaw.runtimes.backlog import WorkFailed
from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime, installing
from nanoclaw.runtimes.bubblewrap.installing import Bounds, install, version_of
from nanoclaw.runtimes.bubblewrap.packages import PackageFolders, folder_of
from nanoclaw.testing.conformance import make_session
from tests.host.homes import GUARD_S
from tests.sandbox.needed import missing, need_bubblewrap
from tests.sandbox.parcels import node_package, registry, source, wheel

pytestmark = pytest.mark.slow

GREETING = Packages(pip=("greeting",))
OTHER = Packages(pip=("nowhere_to_be_found",))


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the host's own configuration lets pip look, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


async def installed(packages: Packages, folder: Path, bounds: Bounds | None = None) -> Path:
    said = list[str]()
    with trio.fail_after(GUARD_S):
        await install(packages, folder, bounds or Bounds(), said.append)
    assert said
    return folder / version_of(packages)


def left(folder: Path) -> Sequence[str]:
    return [each.name for each in folder.iterdir()] if folder.is_dir() else []


# -- one installation ------------------------------------------------------------


async def test_a_package_and_its_program_are_installed_for_every_user(tmp_path: Path, wheels: Path) -> None:
    wheel(wheels, "greeting")
    before = os.umask(0o077)
    try:
        made = await installed(GREETING, tmp_path / "packages")
    finally:
        os.umask(before)
    assert (made / "python" / "greeting.py").is_file()
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (made, *made.rglob("*"))]
    assert all(mode & 0o044 == 0o044 and not mode & 0o022 for mode in modes)
    assert (made / "python" / "bin" / "greeting-version").stat().st_mode & 0o001
    assert left(tmp_path / "packages") == [made.name]


async def test_a_package_without_a_wheel_is_refused_and_nothing_of_it_runs(
    tmp_path: Path, wheels: Path
) -> None:
    source(wheels, "greeting", tmp_path / "ran")
    with pytest.raises(
        WorkFailed, match="No matching distribution found for greeting; under bubblewrap a pack"
    ):
        await installed(GREETING, tmp_path / "packages")
    assert left(tmp_path / "packages") == []
    assert not (tmp_path / "ran").exists()


async def test_a_source_that_a_wheel_names_by_its_address_is_not_built(tmp_path: Path, wheels: Path) -> None:
    evil = source(tmp_path, "evil", tmp_path / "ran")
    wheel(wheels, "greeting", requires=f"evil @ file://{evil}")
    with pytest.raises(WorkFailed, match="a program of its own, which is not allowed on the host"):
        await installed(GREETING, tmp_path / "packages")
    assert not (tmp_path / "ran").exists()


async def test_a_node_package_is_installed_without_its_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("npm") is None:
        missing("NO NODE PACKAGE IS TESTED: npm is not installed")
    with registry({"cowspeak": node_package("cowspeak", tmp_path / "ran")}) as address:
        monkeypatch.setenv("npm_config_registry", address)
        made = await installed(Packages(npm=("cowspeak",)), tmp_path / "packages")
    assert (made / "node_modules" / ".bin" / "cowspeak").exists()
    assert not (tmp_path / "ran").exists()


async def test_a_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkFailed, match="npm is not installed; install it"):
        await installed(Packages(npm=("cowspeak",)), tmp_path / "packages")
    assert left(tmp_path / "packages") == []


async def test_a_missing_pip_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "find_spec", lambda _: None)
    with pytest.raises(WorkFailed, match="this Python has no pip; install it with"):
        await installed(GREETING, tmp_path / "packages")


async def test_a_host_that_stops_ends_its_installation(tmp_path: Path, wheels: Path) -> None:
    wheel(wheels, "greeting")
    folder = tmp_path / "packages"
    earlier = folder / "0123456789ab"
    earlier.mkdir(parents=True)
    with trio.CancelScope() as stop, trio.fail_after(GUARD_S):
        await install(GREETING, folder, Bounds(), lambda _: stop.cancel())
    assert stop.cancelled_caught
    assert left(folder) == [earlier.name]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        pytest.param(Bounds(seconds=0.05), "it took longer than 0.05 s", id="time"),
        pytest.param(Bounds(disk_bytes=1), "it takes more than", id="space"),
        pytest.param(Bounds(reserve_bytes=1 << 60), "free some space", id="reserve"),
    ],
)
async def test_an_installation_is_bounded(tmp_path: Path, wheels: Path, bounds: Bounds, words: str) -> None:
    wheel(wheels, "greeting")
    with pytest.raises(WorkFailed, match=words):
        await installed(GREETING, tmp_path / "packages", bounds)
    assert left(tmp_path / "packages") == []


# -- the folders of an agent -------------------------------------------------------


@define(eq=False)
class Agent:
    """An agent with packages, and the folders of a host."""

    spec: RunnerSpec
    folders: PackageFolders

    async def folder(self, packages: Packages = GREETING) -> Path | None:
        return await self.folders.folder_for(evolve(self.spec, packages=packages))

    async def settled(self) -> None:
        """Wait until nothing is being installed."""
        with trio.fail_after(GUARD_S):
            await self.folders.idle()


@pytest.fixture
async def agent(tmp_path: Path, nursery: trio.Nursery) -> Agent:
    made = Agent(await make_session(tmp_path / "home"), PackageFolders())
    nursery.start_soon(made.folders.serve)
    return made


async def test_packages_come_with_a_later_start_and_stay_when_the_next_ones_fail(
    agent: Agent, wheels: Path
) -> None:
    wheel(wheels, "greeting")
    assert await agent.folder() is None
    await agent.settled()
    first = await agent.folder()
    assert first is not None
    assert (first / "python" / "greeting.py").exists()
    assert await agent.folder(OTHER) == first
    await agent.settled()
    [problem] = agent.folders.problems
    assert problem.startswith(f"the packages of {agent.spec.workspace.parent.name} could not be installed: ")
    assert "No matching distribution found for nowhere_to_be_found" in problem
    assert await agent.folder(OTHER) == first
    assert await agent.folder() == first
    assert list(agent.folders.problems) == []


async def test_packages_are_installed_before_an_agent_has_them(agent: Agent, wheels: Path) -> None:
    wheel(wheels, "greeting")
    with trio.fail_after(GUARD_S):
        for _ in range(2):  # a crash repeats it
            await agent.folders.install(evolve(agent.spec, packages=GREETING))
    assert await agent.folder() is not None


async def test_an_installation_that_failed_is_tried_again_at_once(agent: Agent, wheels: Path) -> None:
    spec = evolve(agent.spec, packages=GREETING)
    with trio.fail_after(GUARD_S):
        with pytest.raises(WorkFailed, match="No matching distribution found for greeting"):
            await agent.folders.install(spec)
        wheel(wheels, "greeting")
        await agent.folders.install(spec)
    assert list(agent.folders.problems) == []


async def test_an_agent_without_packages_gets_none(agent: Agent, wheels: Path) -> None:
    wheel(wheels, "greeting")
    await installed(GREETING, folder_of(agent.spec.workspace.parent))
    assert await agent.folder() is not None
    assert await agent.folder(Packages()) is None


async def test_what_a_killed_host_left_is_removed_at_the_first_start(agent: Agent, wheels: Path) -> None:
    wheel(wheels, "greeting")
    folder = folder_of(agent.spec.workspace.parent)
    (folder / ".new-abc" / "python").mkdir(parents=True)
    (folder / "0123456789ab").mkdir()
    made = await installed(GREETING, folder)
    assert await agent.folder() == made
    assert left(folder) == [made.name]
    (folder / "another").mkdir()
    assert await agent.folder() == made
    assert set(left(folder)) == {made.name, "another"}, "a sandbox may use it"


# -- a sandbox ---------------------------------------------------------------------

SCRIPT = """
import json, subprocess, sys
import greeting
said = subprocess.run(["greeting-version"], capture_output=True, text=True, check=True).stdout
try:
    open(greeting.__file__, "w")
except OSError as error:
    said += error.strerror
open("found", "w").write(json.dumps([greeting.VERSION, said]))
"""


async def test_a_sandbox_imports_and_runs_its_packages_and_cannot_change_them(
    tmp_path: Path, wheels: Path
) -> None:
    need_bubblewrap()
    wheel(wheels, "greeting")
    spec = await make_session(tmp_path / "home")
    await installed(GREETING, folder_of(spec.workspace.parent))
    runtime = BubblewrapRuntime(grace_s=0.5)
    with trio.fail_after(GUARD_S):
        death = await runtime.run(evolve(spec, packages=GREETING, command=("/usr/bin/python3", "-c", SCRIPT)))
    assert death.orderly, death.reason
    found = json.loads((spec.workspace / "found").read_text())
    assert found == ["1.0", "1.0\nRead-only file system"]


async def test_the_state_says_why_packages_are_missing(tmp_path: Path, wheels: Path) -> None:  # noqa: ARG001 -- an empty one
    need_bubblewrap()
    runtime, spec = BubblewrapRuntime(grace_s=0.5), await make_session(tmp_path / "home")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runtime.serve, "install-1")
        with trio.fail_after(GUARD_S):
            death = await runtime.run(evolve(spec, packages=GREETING, command=("/bin/true",)))
            await runtime.packages.idle()
        nursery.cancel_scope.cancel()
    assert death.orderly, death.reason
    assert runtime.state.ready
    assert "No matching distribution found for greeting" in runtime.state.text
