"""Builds an image by a container engine, and reports its progress. It blocks, so it runs in a thread.

The engine's answer is a stream of JSON values (Docker Engine API, `POST /build`).
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from tempfile import SpooledTemporaryFile
from typing import Any, Protocol

from attrs import frozen

from nanoclaw.config.kinds import printable
from nanoclaw.runtimes.backlog import WorkFailed
from nanoclaw.runtimes.images.context import SPOOL, BuildContext

LAST_LINES = 12
"""Lines of the engine's output that the reason of a failure has."""
LONGEST_LINE = 300
_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_CHATTER = re.compile(r"---> .*|Removing intermediate container .*")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class BuildFailed(WorkFailed):
    """An image could not be built. The text has the engine's last lines."""


@frozen
class Progress:
    """A line of a build: a step with its number, or output of the present step."""

    text: str
    step: int | None = None
    steps: int | None = None


@frozen
class Build:
    """An image to build."""

    image: str
    """Its name, with a tag."""
    context: BuildContext
    labels: Mapping[str, str]
    network: str | None = None
    """The engine's network for the build; None for the engine's default."""


class Engine(Protocol):
    """The part of docker-py's `APIClient` that a build needs."""

    def build(self, **options: Any) -> Any:
        """Build an image, and yield the values of the engine's answer."""
        ...


ReportProgress = Callable[[Progress], None]


def build(engine: Engine, wanted: Build, report: ReportProgress) -> None:
    """Build an image. An image of that name which is there already is replaced only if the build succeeds.

    Raises:
        BuildFailed: the engine could not build it.
    """
    last = deque[str](maxlen=LAST_LINES)
    with SpooledTemporaryFile(max_size=SPOOL) as archive:
        wanted.context.write(archive)  # type: ignore[arg-type]  # it is one, but typeshed does not say so in 3.11
        archive.seek(0)
        answer = engine.build(
            fileobj=archive,
            custom_context=True,
            dockerfile=wanted.context.dockerfile,
            tag=wanted.image,
            buildargs=dict(wanted.context.arguments),
            labels=dict(wanted.labels),
            decode=True,
            rm=True,
            forcerm=True,
            **({} if wanted.network is None else {"network_mode": wanted.network}),
        )
        failure = ""
        for value in answer:  # to its end: a connection that is left on the way stays open
            failure = failure or _take(value, last, report)
    if failure:
        raise BuildFailed(failure)


def _take(value: Mapping[str, Any], last: deque[str], report: ReportProgress) -> str:
    """Report one value of the engine's answer. Return the reason if it says that the build has failed."""
    if "error" in value:
        return ": ".join(filter(None, [_clean(str(value["error"])) or "it failed", " | ".join(last)]))
    for line in str(value.get("stream") or value.get("status") or "").splitlines():
        text = _clean(line)
        if step := _STEP.fullmatch(text):
            last.clear()
            report(Progress(step[3], int(step[1]), int(step[2])))
        elif text and not _CHATTER.fullmatch(text):
            last.append(text)
            report(Progress(text))
    return ""


def _clean(line: str) -> str:
    return printable(" ".join(_COLOUR.sub("", line).split()))[:LONGEST_LINE]
