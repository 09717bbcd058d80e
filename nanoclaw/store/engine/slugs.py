"""Names of destinations (contract 3)."""

import re
from collections.abc import Container
from itertools import count

_RUN = re.compile(r"[^a-z0-9]+")
FALLBACK = "chat"


def slug(text: str) -> str:
    """Return the text in lower case. Each run of other characters than a-z and 0-9 becomes one `-`.

    The result does not begin or end with `-`, and may be empty.
    """
    return _RUN.sub("-", text.lower()).strip("-")


def name_of_chat(name: str | None, channel_type: str, platform_id: str) -> str:
    """Return a chat's name as a slug. A chat without a name gets one from its channel and platform id."""
    return slug(name or "") or slug(f"{channel_type}-{platform_id}") or FALLBACK


def distinct(base: str, taken: Container[str]) -> str:
    """Return `base`, or the first of `base-2`, `base-3` … that is not taken."""
    if base not in taken:
        return base
    return next(name for n in count(2) if (name := f"{base}-{n}") not in taken)
