"""The version of the installed NanoClaw."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """Return the version of the installed package, or a note that it is not installed."""
    try:
        return version("nanoclaw")
    except PackageNotFoundError:
        return "(not installed)"
