"""Names that become part of a path (contract 1): one component, of a small alphabet."""

import re

_COMPONENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_OTHER = re.compile(r"[^A-Za-z0-9._-]+")


def is_component(name: str) -> bool:
    """Whether a name may stand in a path as it is."""
    return _COMPONENT.fullmatch(name) is not None


def as_component(name: str) -> str:
    """A name made fit for a path: other characters become `_`; never empty, never hidden."""
    cleaned = _OTHER.sub("_", name)[:128]
    return cleaned if is_component(cleaned) else f"_{cleaned}"[:128]
