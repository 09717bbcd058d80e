"""Parts that packages bring: each is a factory, found by its entry point when the configuration names it."""

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

    `where` begins each error: the place in the configuration that names it.

    Raises:
        ConfigError: nobody brings it, several packages do, it cannot be imported, or it is no `expected`.
    """
    points = list(entry_points(group=group, name=name))
    if not points:
        raise ConfigError(f"{where}: {_unknown(group, name)}")
    if len({point.value for point in points}) > 1:
        packages = ", ".join(sorted(map(_package, points)))
        raise ConfigError(f"{where}: several packages bring {name!r}: {packages}; uninstall all but one")
    return _loaded(points[0], expected, where)


def _loaded(point: EntryPoint, expected: type[T], where: str) -> T:
    try:
        found = point.load()
    except Exception as error:  # whatever the import of a foreign package raises
        reason = f"{type(error).__name__}: {_one_line(error)}"
        raise ConfigError(
            f"{where}: {point.name!r} of {_package(point)} cannot be imported from {point.value}: {reason}; "
            "install that package again, with all it needs"
        ) from error
    if not isinstance(found, expected):
        raise ConfigError(
            f"{where}: {point.name!r} of {_package(point)} is wrong: {point.value} must be a "
            f"{expected.__name__}, and is a {type(found).__name__}; "
            "install a version of the package that fits"
        )
    return found


def _unknown(group: str, name: str) -> str:
    known = installed(group)
    advice = nearest(name, known) if known else "no package brings any"
    return (
        f"{name!r} is not installed; {advice}. A package brings it with an entry "
        f"point {name!r} in the group {group}: install that with pip, beside NanoClaw"
    )


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
