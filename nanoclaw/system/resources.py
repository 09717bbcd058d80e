"""Finds the folders `schema/` and `container/`, in a checkout and in an installed package."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


class ResourceMissing(Exception):
    """A folder of NanoClaw is neither in the checkout nor in the installed package."""


def schema_dir() -> Path:
    """Return the folder of the migrations: `central/`, `inbound/`, `outbound/`.

    Raises:
        ResourceMissing: the installation is incomplete.
    """
    return _find("schema")


def container_dir() -> Path:
    """Return the folder of the image's `Dockerfile` and `requirements.txt`.

    Raises:
        ResourceMissing: the installation is incomplete.
    """
    return _find("container")


def runner_dir() -> Path:
    """Return the folder of the package `agent_runner`: `container/` in a checkout, else beside `nanoclaw`.

    Raises:
        ResourceMissing: the installation is incomplete.
    """
    checkout = PACKAGE.parent / "container"
    return checkout if (checkout / "agent_runner").is_dir() else _find("agent_runner").parent


def _find(name: str) -> Path:
    places = (PACKAGE / "_resources" / name, PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place
    looked = " nor ".join(str(place) for place in places)
    raise ResourceMissing(f"NanoClaw's {name!r} folder is missing (neither {looked}): install NanoClaw again")
