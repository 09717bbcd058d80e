"""The errors of an engine's answers, and the words for those that the owner can do something about."""

import errno
import grp
import os
import re
from contextlib import suppress
from pathlib import Path

from nanoclaw.runtimes.protocol import NothingLeft, NotNow, StartFailed

FULL = re.compile(
    r"no space left|disk quota exceeded|cannot allocate memory|out of memory|too many open files|"
    r"resource temporarily unavailable|no free (?:private )?\w+ pool|too many (?:containers|links|processes)",
    re.IGNORECASE,
)
"""The words with which engines and the kernel say that they lack something for now."""
MAX_TEXT = 600
"""Characters of an engine's own words that are shown."""


class EngineError(Exception):
    """The engine refused a request. The text has its words."""


class EngineAway(EngineError):
    """The engine cannot be reached, or does not answer in time. The text says what to do."""


class EngineFull(EngineError):
    """The engine lacks disk, memory or processes for now."""


class EngineBusy(EngineError):
    """The engine is doing something else with the container, such as removing it."""


class NotThere(EngineError):
    """The engine has no such container or image."""


class NameTaken(EngineError):
    """A container has that name already."""


class ImageMissing(NotThere):
    """The engine has no such image."""


_NAME_TAKEN = re.compile(r"the container name .* is already in use")
"""The words of podman, which answers with the status 500 to a name that a container has already."""


def start_failed(error: EngineError) -> StartFailed:
    """Return an engine's error as that of a start. Messages wait while an engine is away or full."""
    match error:
        case EngineFull():
            return NothingLeft(f"the container engine lacks something for now: {error}")
        case EngineAway() | EngineBusy() | ImageMissing():
            return NotNow(str(error))
        case _:
            return StartFailed(f"the container engine refused the container: {error}")


def refused(status: int, text: str, *, what: str) -> EngineError:
    """Return the error of an answer with a status from 400 up."""
    words = " ".join(text.split())[:MAX_TEXT]
    if FULL.search(words):
        return EngineFull(words)
    if status == 404:  # noqa: PLR2004 -- HTTP: Not Found
        return ImageMissing(missing_image(what)) if "image" in words.lower() else NotThere(words)
    if (status == 409 and "in use" in words.lower()) or _NAME_TAKEN.search(words):  # noqa: PLR2004 -- HTTP: Conflict
        return NameTaken(words)
    if status == 409 and "in progress" in words.lower():  # noqa: PLR2004 -- HTTP: Conflict
        return EngineBusy(f"the container engine is busy: {words}")
    return EngineError(words)


def missing_image(image: str) -> str:
    """Return what to do without an image."""
    return f"the image {image} is missing: run `nanoclaw image build`"


def unreachable(socket: Path, error: OSError | None) -> EngineAway:
    """Return why an engine's socket cannot be used, and what to do."""
    reason = (
        error.strerror if error is not None and error.strerror else str(error or "it closed the connection")
    )
    return EngineAway(
        f"the container engine at {socket} cannot be reached ({reason}): {_advice(socket, error)}"
    )


def _advice(socket: Path, error: OSError | None) -> str:
    match error.errno if error is not None else None:
        case errno.EACCES | errno.EPERM:
            group = _group_of(socket)
            member = (
                f"add yourself to the group {group} and log in again"
                if group
                else "give yourself access to it"
            )
            return f"{member}, or use a rootless engine"
        case errno.ENOENT:
            return "start it, or set [runtimes.docker] socket to its path"
        case _:
            return "start it"


def _group_of(socket: Path) -> str | None:
    with suppress(OSError, KeyError):
        return grp.getgrgid(os.stat(socket).st_gid).gr_name  # noqa: PTH116 -- one call
    return None


def silent(socket: Path, within_s: float) -> EngineAway:
    """Return the error of an engine that takes requests and does not answer."""
    return EngineAway(
        f"the container engine at {socket} has not answered for {within_s:g} s: it is overloaded or hangs; "
        "restart it if that lasts"
    )
