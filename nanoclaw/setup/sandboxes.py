"""Finds out where agents can run on this machine: in a container engine, under bubblewrap, or as processes.

It is fast, because each first run waits for it: an engine is asked by a raw request, and no SDK is imported.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, PIPE

from attrs import frozen

from nanoclaw.config.entry_points import installed
from nanoclaw.runtimes.factory import GROUP

ENGINE_S = 0.1
"""Seconds within which an engine must answer."""
TRIAL_S = 2.0
"""Seconds within which a trial sandbox must run. It takes some milliseconds."""
SAFER = "`nanoclaw setup` changes it"


@frozen
class Found:
    """The result of a look for one runtime."""

    runtime: str
    works: bool
    words: str
    """What was found, or why it does not work."""
    advice: str = ""
    """What to do where it does not work."""


@frozen
class Choice:
    """The runtime that fits this machine best, and the looks that led to it."""

    runtime: str
    looks: tuple[Found, ...] = ()

    @property
    def sentence(self) -> str:
        """The choice with its reason, for the user."""
        reason = next((each.words for each in self.looks if each.works), "")
        if self.runtime != "process":
            return f"agents run in {self.runtime}: {reason}; {SAFER}"
        missing = "; ".join(f"{each.runtime}: {each.words}, {each.advice}" for each in self.looks)
        return f"agents run as processes of yours, with chat tools only: nothing isolates them. {missing}"


Look = Callable[[Mapping[str, str]], Found]


def choose(environ: Mapping[str, str]) -> Choice:
    """Choose the best runtime that is installed and works here. Blocking, for a fraction of a second."""
    known, looks = set(installed(GROUP)), list[Found]()
    for name, look in LOOKS.items():
        if name not in known:
            continue
        looks.append(look(environ))
        if looks[-1].works:
            return Choice(name, tuple(looks))
    return Choice("process", tuple(looks))


# -- a container engine ----------------------------------------------------------


def engine(environ: Mapping[str, str]) -> Found:
    """Look for an engine that answers."""
    advice = "install Docker or Podman, and start it"
    if find_spec("docker") is None:
        extra = "install NanoClaw with it: `pip install 'nanoclaw[docker]'`"
        return Found("docker", works=False, words="the extra `docker` is not installed", advice=extra)
    silent = "no container engine was found"
    for path in engine_sockets(environ):
        try:
            if ping(path):
                return Found("docker", works=True, words=f"a container engine answers at {path}")
            silent = f"the engine at {path} does not answer as one"
        except PermissionError:
            silent = f"you may not use the engine at {path}"
            advice = "join its group (`sudo usermod -aG docker $USER`), and log in again"
        except OSError as error:
            silent = f"the engine at {path} does not answer ({error.strerror or error})"
            advice = "start it"
    return Found("docker", works=False, words=silent, advice=advice)


def engine_sockets(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the sockets at which engines may answer, those that are there."""
    if given := environ.get("DOCKER_HOST"):
        path = Path(given.removeprefix("unix://"))
        if path.is_absolute():
            yield path
        return
    folder = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    usual = (
        Path("/run/docker.sock"),
        folder / "docker.sock",
        folder / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    )
    yield from (path for path in usual if path.exists())


def ping(path: Path) -> bool:
    """Return True if an engine answers at a socket.

    Raises:
        OSError: nothing answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ENGINE_S)
        connection.connect(os.fspath(path))
        connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        answer = connection.recv(64)
    return answer.startswith(b"HTTP/1.") and answer[8:12] == b" 200"


# -- bubblewrap ------------------------------------------------------------------


def bubblewrap(_environ: Mapping[str, str]) -> Found:
    """Look whether bubblewrap can make a sandbox, by a trial."""
    path = shutil.which("bwrap")
    if path is None:
        return Found(
            "bubblewrap",
            works=False,
            words="it is not installed",
            advice="install it (`apt install bubblewrap`)",
        )
    command = [path, "--unshare-all", "--ro-bind", "/", "/", "true"]
    try:
        ran = subprocess.run(
            command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, check=False, timeout=TRIAL_S
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        return Found(
            "bubblewrap", works=False, words=f"it cannot be started: {error}", advice="install it again"
        )
    if ran.returncode == 0:
        return Found("bubblewrap", works=True, words="a trial sandbox works, and needs no container engine")
    said = " ".join(ran.stderr.decode("utf-8", "replace").split())
    return Found(
        "bubblewrap", works=False, words=f"it cannot make a sandbox: {said}", advice="allow user namespaces"
    )


LOOKS: Mapping[str, Look] = {"docker": engine, "bubblewrap": bubblewrap}
"""The runtimes that isolate, the best first."""
