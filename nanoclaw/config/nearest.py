"""Near names for errors."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 80
"""Characters of a name that are compared."""


def nearest(text: str, known: Iterable[str]) -> str:
    """Words for an error: the known name that is nearest, or nothing."""
    found = get_close_matches(text[:LONGEST], list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""
