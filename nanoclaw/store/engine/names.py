"""Names that become one component of a path (contract 1)."""

import re

_COMPONENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_OTHER = re.compile(r"[^A-Za-z0-9._-]+")


def is_component(name: str) -> bool:
    """Return whether the name may be used in a path unchanged."""
    return _COMPONENT.fullmatch(name) is not None


def as_component(name: str) -> str:
    """Return the name with forbidden characters replaced by `_`. The result is never empty or hidden."""
    cleaned = _OTHER.sub("_", name)[:128]
    return cleaned if is_component(cleaned) else f"_{cleaned}"[:128]
