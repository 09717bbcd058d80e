"""Finds the socket of the container engine."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

UNIX = "unix://"
SYSTEM = (Path("/run/docker.sock"), Path("/var/run/docker.sock"))
PODMAN = Path("/run/podman/podman.sock")


class NoSocket(Exception):
    """The configured engine is not on this machine. The text says what to do."""


def engine_socket(configured: str | None, environment: Mapping[str, str]) -> Path:
    """Return the configured socket, else that of DOCKER_HOST, else the first of the usual ones that is there.

    If none is there, the first usual one is returned: it may come later.

    Raises:
        NoSocket: an address of another kind is configured.
    """
    if configured is not None:
        return _path(configured, "[runtimes.docker] socket")
    if given := environment.get("DOCKER_HOST"):
        return _path(given, "DOCKER_HOST")
    places = list(_usual(environment))
    there = [place for place in places if place.exists()]
    usable = [place for place in there if os.access(place, os.W_OK)]
    return next(iter((*usable, *there, *places)))


def _usual(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the usual sockets: docker's, then podman's, of this user and of the system."""
    folder = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    yield from SYSTEM
    yield folder / "docker.sock"
    yield folder / "podman" / "podman.sock"
    yield PODMAN


def _path(address: str, where: str) -> Path:
    path = Path(address.removeprefix(UNIX)).expanduser()
    if not path.is_absolute():
        raise NoSocket(
            f"{where} is {address!r}, which is no path: the engine must run on this machine, because it "
            "mounts the host's folders; give the path of its unix socket"
        )
    return path
