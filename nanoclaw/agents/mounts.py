"""Decides which mounts of a `container.json` an agent is given.

A mount is allowed by name in `mounts.toml`, and is no place that is blocked. Links are resolved first, and
what was checked is what is mounted.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from nanoclaw.agents.blocked_places import NAMES, Blocked
from nanoclaw.agents.container_json import ContainerConfig, Grant
from nanoclaw.agents.mount_list import (
    AllowedFolder,
    BadMountList,
    MountList,
    mount_list_file,
    read_mount_list,
)
from nanoclaw.config import Config


class MountRefused(Exception):
    """An agent's mounts are not allowed; each of `problems` is one line that says what to do."""

    def __init__(self, *problems: str) -> None:
        self.problems: Sequence[str] = problems
        super().__init__("; ".join(problems))


@frozen
class MountPolicy:
    """The rules for mounts of all agents, as the files say now."""

    listed: MountList
    blocked: Blocked

    @classmethod
    def read(cls, config: Config, environ: Mapping[str, str]) -> "MountPolicy":
        """Read the rules. Blocking.

        Raises:
            BadMountList: `mounts.toml` cannot be used.
        """
        own = (config.home, config.data, config.groups)
        file = mount_list_file(config.sandbox.mount_allowlist, environ)
        listed = read_mount_list(file, own)
        return cls(listed, Blocked((*own, file), (*NAMES, *listed.blocked)))

    def lists(self, agent: str, source: Path) -> bool:
        """Return True if the owner lets the agent have a folder that contains this source. Blocking."""
        return any(self._allowing(agent, _real(source)))

    def granted(
        self, agent: str, container: ContainerConfig, writable: Sequence[Path] = ()
    ) -> tuple[Grant, ...]:
        """Return the mounts of an agent, with the links of their sources resolved. Blocking.

        Args:
            agent: the folder of the agent.
            container: its `container.json`.
            writable: places that agents may write. Nothing below one is mounted, since they could put a link
                in its place after this check.

        Raises:
            MountRefused: a mount is not allowed.
        """
        found, problems = list[Grant](), list[str]()
        for index, grant in enumerate(container.mounts):
            try:
                found.append(self._granted(agent, grant, writable))
            except _Refused as refused:
                label = container.origins.label(("mounts", index, "source"))
                problems.append(f"{label}: {grant.source} may not be mounted: {refused}")
        if problems:
            raise MountRefused(*problems)
        return tuple(found)

    def writable(self, agents: Mapping[str, ContainerConfig]) -> tuple[Path, ...]:
        """Return the places outside of the project that the mounts of agents let them write. Blocking."""
        return tuple(
            real
            for agent, container in agents.items()
            for grant in container.mounts
            if not grant.read_only
            for real in [_real(grant.source)]
            if any(not each.read_only for each in self._allowing(agent, real))
        )

    def _granted(self, agent: str, grant: Grant, writable: Sequence[Path]) -> Grant:
        real = _real(grant.source)
        _require_kind(real)
        allowing = list(self._allowing(agent, real))
        unblocked = [pattern for each in allowing for pattern in each.unblocked]
        if (reason := self.blocked.reason(grant.source, real, unblocked)) is not None:
            raise _Refused(f"{reason}; mount another folder, or one below that has no such thing")
        if not allowing:
            raise _Refused(self._advice(agent, real))
        for folder in writable:
            if real != folder and real.is_relative_to(folder):
                raise _Refused(f"it is in {folder}, which an agent may write; mount that folder itself")
        read_only = grant.read_only or all(each.read_only for each in allowing)
        return evolve(grant, source=real, read_only=read_only)

    def _allowing(self, agent: str, real: Path) -> Iterator[AllowedFolder]:
        for each in self.listed.allow:
            if (not each.agents or agent in each.agents) and real.is_relative_to(_real(each.path)):
                yield each

    def _advice(self, agent: str, real: Path) -> str:
        listed = self.listed
        add = f'the lines `[[allow]]` and `path = "{real}"`'
        if listed.missing:
            return f"{listed.file} is missing, so nothing is allowed; make that file, with {add}"
        others = [each for each in listed.allow if real.is_relative_to(_real(each.path))]
        if others:
            label = listed.origins.label(("allow", listed.allow.index(others[0]), "agents"))
            return f"the agent {agent} is not in {label}; add it there"
        return f"no folder of {listed.file} contains it; add {add} there"


def granted_mounts(
    config: Config, environ: Mapping[str, str], agent: str, agents: Mapping[str, ContainerConfig]
) -> tuple[Grant, ...]:
    """Return the mounts that one of the agents is given, by the rules of this moment. Blocking.

    Raises:
        MountRefused: a mount is not allowed, or `mounts.toml` cannot be used.
    """
    container = agents[agent]
    if not container.mounts:
        return ()
    try:
        policy = MountPolicy.read(config, environ)
    except (BadMountList, OSError) as error:
        raise MountRefused(str(error)) from error
    return policy.granted(agent, container, policy.writable(agents))


class _Refused(Exception):
    """The reason why one mount is refused."""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _require_kind(real: Path) -> None:
    """Require a folder or a regular file: a socket or a device leads elsewhere."""
    try:
        mode = real.lstat().st_mode
    except OSError as error:
        raise _Refused(f"{real}: {error.strerror}; make it, or correct the path") from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise _Refused(f"it is neither a folder nor a regular file ({stat.filemode(mode)})")
