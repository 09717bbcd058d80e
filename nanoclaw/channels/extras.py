"""The packages that a channel of NanoClaw needs besides NanoClaw, as its extras name them."""

import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_BELOW = re.compile(r"python_version\s*<\s*[\"'](\d+)\.(\d+)")


def missing_packages(type_: str) -> tuple[str, ...]:
    """Return the packages of the extra of this name that are not installed here."""
    try:
        wanted = requires("nanoclaw") or []
    except PackageNotFoundError:
        return ()
    named = (each for each in wanted if re.search(rf"extra\s*==\s*[\"']{re.escape(type_)}[\"']", each))
    names = (found[0] for each in named if _is_wanted(each) and (found := _NAME.match(each)))
    return tuple(name for name in names if not _is_installed(name))


def install_command(type_: str) -> str:
    """Return the command that installs the packages of a type."""
    return f"{sys.executable} -m pip install 'nanoclaw[{type_}]'"


def _is_wanted(requirement: str) -> bool:
    below = _BELOW.search(requirement)
    return below is None or sys.version_info[:2] < (int(below[1]), int(below[2]))


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
