"""Which NanoClaw this is."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version of the installed package; a checkout that is not installed has none."""
    try:
        return version("nanoclaw")
    except PackageNotFoundError:
        return "(not installed)"
