"""The owner's choices for the image: its base, its tools, and where its Python packages come from."""

from collections.abc import Mapping
from pathlib import Path

from attrs import Factory, frozen

from nanoclaw.config.kinds import Name

BASE = "python:3.12-slim-bookworm"
FORWARDED = (
    "PIP_INDEX_URL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
"""Variables of the host that a build is given, so that it finds packages. They do not change the image."""


@frozen
class Recipe:
    """The choices that an image is built from."""

    base_image: Name = BASE
    """The image to begin with: a Debian with Python 3.11 or newer and pip."""
    tools: tuple[Name, ...] | None = None
    """Debian packages of all agents, in place of the usual ones. An empty list installs none."""
    wheels: Path | None = None
    """A folder of wheels. If it is given, builds of images ask no index of Python packages."""
    build_network: Name | None = None
    """The engine's network for builds, such as `host` or `none`. Left out, the engine's default."""
    environment: Mapping[str, str] = Factory(dict)
    """The forwarded variables, with their values."""

    @property
    def arguments(self) -> Mapping[str, str]:
        """The arguments of the Dockerfile."""
        given = {"BASE_IMAGE": self.base_image, **self.environment}
        if self.tools is not None:
            given["TOOLS"] = " ".join(self.tools)
        if self.wheels is not None:
            given["PIP_ARGS"] = "--no-index"
        return given


def forwarded(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables of the host that builds are given."""
    return {name: environ[name] for name in FORWARDED if environ.get(name)}
