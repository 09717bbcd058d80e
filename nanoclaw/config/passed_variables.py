"""The host's environment variables that runners are given: the setting `[runtime] pass_env`."""

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from nanoclaw.config.kinds import Unfit

CONTRACT = frozenset(
    {
        "AGENT_PROVIDER",
        "TZ",
        "PYTHONPATH",
        "SESSION_INBOUND_DB_PATH",
        "SESSION_OUTBOUND_DB_PATH",
        "SESSION_HEARTBEAT_PATH",
    }
)
"""Variables that the host sets for each runner, besides `NANOCLAW_…`."""
_FORM = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?")


def is_reserved(name: str) -> bool:
    """Return True for a variable that a runner must not get from the host's environment.

    The host sets it, or it decides which programs and modules the runner finds.
    """
    return name in CONTRACT or name == "PATH" or name.startswith(("NANOCLAW_", "PYTHON"))


@frozen
class PassedVariable:
    """The name of a variable, or the beginning of names with `*`."""

    wanted: str = "the name of a variable, or the beginning of names and *"

    def read(self, value: object) -> str:
        """Return the name."""
        if not isinstance(value, str) or not _FORM.fullmatch(value):
            raise Unfit(self.wanted, value)
        if is_reserved(value.removesuffix("*")):
            raise Unfit(f"{self.wanted}, which the host does not set itself", value)
        return value


def passed(names: Iterable[str], environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables of an environment that these names admit."""
    names = frozenset(names)
    beginnings = tuple(name[:-1] for name in names if name.endswith("*"))
    return {
        name: value
        for name, value in environ.items()
        if (name in names or name.startswith(beginnings)) and not is_reserved(name)
    }


def missing(names: Iterable[str], environ: Mapping[str, str]) -> Sequence[str]:
    """Return the names without `*` that are not set in an environment."""
    return [name for name in names if not name.endswith("*") and name not in environ]
