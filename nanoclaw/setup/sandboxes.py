"""Finds out where agents can run on this machine: in a container engine, under bubblewrap, or as processes.

It is fast, because each first run waits for it: an engine is asked by a raw request, and no SDK is imported.
"""

import os
import socket
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen

from nanoclaw.config.entry_points import installed
from nanoclaw.runtimes.docker.address import NoSocket, engine_socket
from nanoclaw.runtimes.factory import GROUP

ENGINE_S = 0.1
"""Seconds within which an engine must answer."""
EXTRA = "install NanoClaw with it: `pip install 'nanoclaw[docker]'`"
SAFER = "`nanoclaw setup` changes it"


@frozen
class Found:
    """The result of a look for one runtime."""

    runtime: str
    works: bool
    words: str
    """What was found, or why it does not work."""
    advice: str = ""
    """What to do where it does not work; empty if the words say it."""

    @property
    def sentence(self) -> str:
        """The words, with the advice."""
        return f"{self.words}; {self.advice}" if self.advice else self.words


@frozen
class Choice:
    """The runtime that fits this machine best, and the looks that led to it."""

    runtime: str
    looks: tuple[Found, ...] = ()

    @property
    def sentence(self) -> str:
        """The choice with its reason, for the user; if nothing isolates agents, with a line for each look."""
        reason = next((each.words for each in self.looks if each.works), "")
        if self.runtime != "process":
            return f"agents run in sandboxes of {self.runtime} ({reason}); {SAFER}"
        words = f"agents run as processes of yours, with chat tools only: nothing isolates them; {SAFER}"
        return "\n".join([words, *(f"  {each.runtime}: {each.sentence}" for each in self.looks)])


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


def engine(environ: Mapping[str, str], configured: str | None = None) -> Found:
    """Look for an engine that answers. `configured` is `[runtimes.docker] socket`."""
    if find_spec("docker") is None:
        return _no_engine("the extra `docker` is not installed", EXTRA)
    try:
        path = engine_socket(configured, environ)
    except NoSocket as error:
        return _no_engine(str(error), "correct it")
    try:
        if ping(path):
            return Found("docker", works=True, words=f"a container engine answers at {path}")
    except OSError as error:
        return _silent_engine(path, error)
    return _no_engine(f"what listens at {path} is no container engine", "correct DOCKER_HOST")


def _silent_engine(path: Path, error: OSError) -> Found:
    if isinstance(error, FileNotFoundError):
        return _no_engine("no container engine was found", "install Docker or Podman, and start it")
    if isinstance(error, PermissionError):
        join = "join its group (`sudo usermod -aG docker $USER`), and log in again"
        return _no_engine(f"you may not use the engine at {path}", join)
    return _no_engine(f"the engine at {path} does not answer ({error.strerror or error})", "start it")


def _no_engine(words: str, advice: str) -> Found:
    return Found("docker", works=False, words=words, advice=advice)


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


def bubblewrap(_environ: Mapping[str, str], program: str = "bwrap") -> Found:
    """Look whether bubblewrap can make a sandbox, by a trial."""
    from nanoclaw.runtimes.bubblewrap import why_not  # noqa: PLC0415 -- costly, and rarely needed

    if (words := why_not(program)) is not None:
        return Found("bubblewrap", works=False, words=words)
    return Found("bubblewrap", works=True, words="a trial sandbox works")


LOOKS: Mapping[str, Look] = {"docker": engine, "bubblewrap": bubblewrap}
"""The runtimes that isolate, the best first."""
