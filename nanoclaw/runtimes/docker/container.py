"""A runner's container as an engine is asked for it. Everything that isolates it is here."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from attrs import evolve, frozen

from nanoclaw.runtimes.docker.seccomp import profile
from nanoclaw.runtimes.protocol import NO_CORE, WORKSPACE, Limits, Mount, RunnerSpec
from nanoclaw.system.sandbox_user import sandbox_owner

INSTALL, SESSION, SPEC = "nanoclaw.install", "nanoclaw.session", "nanoclaw.spec"
"""The labels of a container (contract 1)."""
LIFELINE = "lifeline"
"""The file in the session's gateway folder that shows the container that its host lives."""
HOME = "/home/agent"
TMPFS_SHARE = 4
"""A folder in memory may take this part of the container's memory, which it counts against."""
SMALLEST_TMPFS = 64 << 20
UNBOUNDED_TMPFS = 512 << 20
FILES = 4096
"""Descriptors of one process."""
PROCESSES = 4096
"""Processes of the user of a podman. The limit of a container is apart from it."""
LOG = {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
"""The engine keeps at most this much of what a runner has written to stdout and stderr."""
PERIOD_US = 100_000

Json = dict[str, Any]


@frozen
class EngineKind:
    """The kind of an engine, which decides the user of containers and the form of their filter."""

    rootless: bool = False
    """True if it runs without root. Then its containers' root is the user who runs it."""
    podman: bool = False

    @classmethod
    def of(cls, info: Json, version: Json) -> "EngineKind":
        """Return the kind from the engine's answers to `/info` and `/version`."""
        options = [str(each) for each in info.get("SecurityOptions") or ()]
        parts = [str(each.get("Name")) for each in version.get("Components") or ()]
        return cls(any("rootless" in each for each in options), any("Podman" in each for each in parts))


@frozen
class ContainerSpec:
    """A specification with what this runtime adds: all that decides if a survivor is adopted."""

    install_id: str
    spec: RunnerSpec
    """With its image and its user resolved."""
    lifeline_s: float
    """Seconds without its host after which a runner ends."""
    engine: EngineKind = EngineKind()

    @property
    def name(self) -> str:
        """The container's name, of which an engine has one."""
        return container_name(self.install_id, self.spec.session_id)

    @property
    def labels(self) -> Mapping[str, str]:
        """The container's labels."""
        spec = self.spec
        return {INSTALL: self.install_id, SESSION: spec.session_id, SPEC: spec.fingerprint}

    @property
    def lifeline(self) -> Path:
        """The lifeline's path on the host."""
        return self.spec.paths.gateway_dir / LIFELINE

    @property
    def filter_file(self) -> Path:
        """The file with the filter of system calls, for an engine that wants one. No container sees it."""
        return self.spec.paths.root / "seccomp.json"

    def request(self, arguments: Sequence[str] = ()) -> Json:
        """Return the body of the request that creates the container."""
        spec = self.spec
        return {
            "Image": spec.image,
            "User": self._user(),
            "Env": [f"{name}={value}" for name, value in self._environment().items()],
            **({"Entrypoint": list(spec.command)} if spec.command else {}),
            "Cmd": list(arguments),
            "WorkingDir": str(WORKSPACE / "agent"),
            "Labels": dict(self.labels),
            "NetworkDisabled": True,
            "OpenStdin": False,
            "Tty": False,
            "HostConfig": {**_isolation(spec), **self._namespace(), **self._security()},
        }

    def _user(self) -> str:
        """Return the user and group, as the engine counts them.

        In a rootless docker root is the host's user, without further rights. Others could not read the
        session's files. Podman can keep the numbers instead.
        """
        spec = self.spec
        if self.engine.rootless and not self.engine.podman and spec.user == os.geteuid():
            return "0:0"
        return f"{spec.user}:{_group(spec)}"

    def _namespace(self) -> Json:
        return {"UsernsMode": "keep-id"} if self.engine.rootless and self.engine.podman else {}

    def _security(self) -> Json:
        """Return the filter of system calls, which podman takes from a file, and the limits of a process.

        Podman would set a limit of processes that it may not set. It counts all processes of the user.
        """
        podman = self.engine.podman
        limits = {"nofile": FILES, "core": NO_CORE, **({"nproc": PROCESSES} if podman else {})}
        return {
            "SecurityOpt": ["no-new-privileges", f"seccomp={self.filter_file if podman else profile()}"],
            "Ulimits": [{"Name": name, "Soft": n, "Hard": n} for name, n in limits.items()],
        }

    def _environment(self) -> Mapping[str, str]:
        spec, gateway = self.spec, WORKSPACE / "gateway"
        return {
            **spec.environment,
            "HOME": HOME,
            "NANOCLAW_SANDBOX": "1",
            "NANOCLAW_LIFELINE": str(gateway / LIFELINE),
            "NANOCLAW_LIFELINE_S": f"{self.lifeline_s:g}",
            **({"NANOCLAW_MODEL_SOCKET": str(gateway / "model.sock")} if spec.gateway else {}),
            **({"NANOCLAW_WEB_SOCKET": str(gateway / "web.sock")} if spec.web else {}),
        }


def container_name(install_id: str, session_id: str) -> str:
    """Return the name of a session's container."""
    return f"nanoclaw-{install_id}-{session_id}"


def mount_points(spec: RunnerSpec) -> Sequence[str]:
    """Return the names of the folders in `outbound` over which others are mounted."""
    return [each.target.name for each in spec.all_mounts if each.target.parent == WORKSPACE]


def resolved(spec: RunnerSpec, image: str) -> RunnerSpec:
    """Return a specification with its image and its user. Both count for its fingerprint."""
    owner = sandbox_owner()
    default = os.geteuid() if owner is None else owner[0]
    return evolve(spec, image=image, user=default if spec.user is None else spec.user)


def _group(spec: RunnerSpec) -> int:
    owner = sandbox_owner()
    if spec.user == os.geteuid():
        return os.getegid()
    return owner[1] if owner is not None and spec.user == owner[0] else spec.user or 0


def _isolation(spec: RunnerSpec) -> Json:
    tmpfs = _tmpfs(spec.limits)
    return {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "Privileged": False,
        "IpcMode": "private",
        "Mounts": [_mount(each) for each in spec.all_mounts],
        "Tmpfs": {"/tmp": tmpfs, HOME: tmpfs},  # noqa: S108 -- a path in the container
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "LogConfig": LOG,
        **_bounds(spec.limits),
    }


def _bounds(limits: Limits) -> Json:
    bounds: Json = {}
    if limits.memory_bytes is not None:
        bounds |= {"Memory": limits.memory_bytes, "MemorySwap": limits.memory_bytes}  # the sum: no swap
    if limits.processes is not None:
        bounds["PidsLimit"] = limits.processes
    if limits.cpus is not None:
        bounds |= {"CpuPeriod": PERIOD_US, "CpuQuota": max(1000, round(limits.cpus * PERIOD_US))}
    return bounds


def _tmpfs(limits: Limits) -> str:
    memory = limits.memory_bytes
    size = UNBOUNDED_TMPFS if memory is None else max(SMALLEST_TMPFS, memory // TMPFS_SHARE)
    return f"rw,exec,nosuid,nodev,mode=1777,size={size}"


def _mount(mount: Mount) -> Json:
    return {
        "Type": "bind",
        "Source": str(mount.source),
        "Target": str(PurePosixPath(mount.target)),
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }
