"""What kinds of approvals read of the installation besides the central database. All of it blocks."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from attrs import evolve, field, frozen

from nanoclaw.agents import (
    BadContainerJson,
    BadMountList,
    Change,
    ContainerConfig,
    Grant,
    MountPolicy,
    MountRefused,
    changed,
    read_container_json,
)
from nanoclaw.agents.container_json import FILE
from nanoclaw.config import Config
from nanoclaw.registry import ActionRefused

NOT_LISTED = (
    "this agent may not have that path: the owner lists the folders that agents may be given in mounts.toml"
)


def _honours_all(_container: ContainerConfig) -> Mapping[str, str]:
    return {}


@frozen
class Installation:
    """The configuration of a host, its agents' folders, and what its runtime can do."""

    config: Config
    now: Callable[[], datetime]
    sandboxed: bool = True
    """True if the runtime isolates its runners."""
    unhonoured: Callable[[ContainerConfig], Mapping[str, str]] = _honours_all
    """Returns what the runtime cannot honour of a `container.json`, by key, with what to do."""
    environ: Mapping[str, str] = field(factory=lambda: os.environ, repr=False)

    def folder(self, agent: str) -> Path:
        """Return the place of an agent's folder."""
        return self.config.groups / agent

    def taken_folders(self) -> frozenset[str]:
        """Return the names in the folder of all agents, in lower case. Some may be of deleted agents."""
        with suppress(FileNotFoundError):
            return frozenset(name.lower() for name in os.listdir(self.config.groups))  # noqa: PTH208 -- names
        return frozenset()

    def container(self, agent: str) -> ContainerConfig:
        """Return the `container.json` of an agent.

        Raises:
            ActionRefused: it cannot be used.
        """
        try:
            return read_container_json(self.folder(agent))
        except (BadContainerJson, OSError) as error:
            raise _unusable(agent) from error

    def checked(self, agent: str, change: Change, *, mounts: bool = True) -> ContainerConfig:
        """Return what the `container.json` of an agent would be after a change. Nothing is written.

        `mounts` False: the caller has checked the new mounts already, which takes time.

        Raises:
            ActionRefused: the file is or would be invalid, the runtime cannot honour it, or a new mount is
                not allowed.
        """
        if not self.sandboxed:
            raise ActionRefused("this agent has no sandbox, so it cannot have this")
        before = self.container(agent)
        try:
            _, after = changed(self.folder(agent), change)
        except BadContainerJson as error:
            raise ActionRefused(_words(error, self.folder(agent))) from error
        except OSError as error:
            raise _unusable(agent) from error
        for key, advice in self.unhonoured(after).items():
            raise ActionRefused(f"the sandbox of this installation cannot honour {key}: {advice}")
        for each in after.mounts:
            if mounts and each not in before.mounts:
                self.mount(agent, each)
        return after

    def mount(self, agent: str, wanted: Grant) -> Grant:
        """Return a mount of an agent as it would be given, with the links of its source resolved.

        It searches the source, which may take a second.

        Raises:
            ActionRefused: the owner does not let the agent have it.
        """
        container = evolve(self.container(agent), mounts=(wanted,))
        policy = self.listing(agent, wanted.source)
        try:
            agents = {**dict(self._containers()), agent: container}
            [granted] = policy.granted(agent, container, policy.writable(agents))
        except MountRefused as error:
            raise ActionRefused(str(error).removeprefix("mounts[0].source: ")) from error
        return granted

    def listing(self, agent: str, source: Path) -> MountPolicy:
        """Return the rules for mounts, if the owner lists a folder with this source for the agent.

        The refusal is the same for all paths. So an agent cannot find out what is on this machine.

        Raises:
            ActionRefused: the owner lists none.
        """
        try:
            policy = MountPolicy.read(self.config, self.environ)
            if policy.lists(agent, source):
                return policy
        except (BadMountList, OSError) as error:
            raise ActionRefused(NOT_LISTED) from error
        raise ActionRefused(NOT_LISTED)

    def _containers(self) -> "list[tuple[str, ContainerConfig]]":
        """Return the files of all agents that can be read, by folder."""
        found = list[tuple[str, ContainerConfig]]()
        for file in self.config.groups.glob(f"*/{FILE}"):
            with suppress(BadContainerJson, OSError):
                found.append((file.parent.name, read_container_json(file.parent)))
        return found


def _unusable(agent: str) -> ActionRefused:
    return ActionRefused(
        f"the owner's file {agent}/{FILE} cannot be used; the owner must correct it first "
        "(`nanoclaw config check` says what is wrong)"
    )


def _words(error: BadContainerJson, folder: Path) -> str:
    """Return the problems of a changed file without its place on this machine."""
    return "; ".join(error.problems).replace(f"{folder}{os.sep}", "")
