"""Factories of installed packages. Each is found by its entry point when the configuration names it."""

from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from nanoclaw.config.errors import ConfigError
from nanoclaw.config.structure import nearest

T = TypeVar("T")


def installed(group: str) -> list[str]:
    """Return the names that installed packages have in a group."""
    return sorted({point.name for point in entry_points(group=group)})


def load(group: str, name: str, expected: type[T], *, where: str) -> T:
    """Return the factory of that name.

    `where` begins each error. It is the place in the configuration that names the factory.

    Raises:
        ConfigError: no or several packages provide it, it cannot be imported, or it is not an `expected`.
    """
    points = list(entry_points(group=group, name=name))
    if not points:
        raise ConfigError(f"{where}: {_unknown(group, name)}")
    if len({point.value for point in points}) > 1:
        packages = ", ".join(sorted(map(_package, points)))
        raise ConfigError(f"{where}: several packages provide {name!r}: {packages}; uninstall all but one")
    return _loaded(points[0], expected, where)


def _loaded(point: EntryPoint, expected: type[T], where: str) -> T:
    try:
        found = point.load()
    except Exception as error:  # the import of a foreign package may raise anything
        reason = f"{type(error).__name__}: {_one_line(error)}"
        raise ConfigError(
            f"{where}: {point.name!r} of {_package(point)} cannot be imported from {point.value}: {reason}; "
            "install that package again with its dependencies"
        ) from error
    if not isinstance(found, expected):
        raise ConfigError(
            f"{where}: {point.name!r} of {_package(point)} is wrong: {point.value} must be a "
            f"{expected.__name__}, got a {type(found).__name__}; "
            "install a version of the package that fits"
        )
    return found


def _unknown(group: str, name: str) -> str:
    known = installed(group)
    advice = nearest(name, known) if known else "no installed package provides any"
    return (
        f"{name!r} is not installed; {advice}. Install the package that provides it, beside NanoClaw: one "
        f"with an entry point {name!r} in the group {group}"
    )


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
