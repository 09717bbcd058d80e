"""The sources of a sandbox, as the outer bubblewrap of a root host shows them to the user of the inner one.

Each view is a mount, which takes time at each start. So sources of the same folder share one view of it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from nanoclaw.runtimes.bubblewrap.layout import Bind

VIEW = "/src"
"""The folder of the views."""
SEEN, ETC = "/usr", "/etc"
"""Folders whose files share a view. The outer bubblewrap has the first one anyway."""
_ENTER = 0o001


@frozen
class Views:
    """Views of sources."""

    shown: Sequence[Bind]
    """The mounts of the outer bubblewrap."""
    binds: Sequence[Bind]
    """The mounts of the inner one. Their sources are in the views."""


def views_of(binds: Sequence[Bind]) -> Views:
    """Return the views for these mounts."""
    paths = [os.path.realpath(each.source) if each.common else str(each.source) for each in binds]
    folders = [_folder(path) if bind.common else None for bind, path in zip(binds, paths, strict=True)]
    shown, inner = dict[tuple[str, bool], str](), list[Bind]()
    for bind, path, folder in zip(binds, paths, folders, strict=True):
        if folder == SEEN:
            inner.append(evolve(bind, source=Path(path)))
            continue
        place = folder if folder is not None and folders.count(folder) > 1 else path
        view = shown.setdefault((place, bind.read_only), f"{VIEW}/{len(shown)}")
        inner.append(evolve(bind, source=Path(view + path.removeprefix(place))))
    return Views([Bind(Path(place), view, only) for (place, only), view in shown.items()], inner)


def is_seen(path: str) -> bool:
    """Return whether the inner bubblewrap finds a file without a view."""
    return os.path.realpath(path) == path and _folder(path) == SEEN


def _folder(path: str) -> str | None:
    """Return the folder that may show a path together with others: all users find the path from there."""
    above = os.path.dirname(path)  # noqa: PTH120 -- pathlib takes 1 ms more for each start
    top = next((each for each in (SEEN, ETC) if path.startswith(f"{each}/")), above)
    return top if top != "/" and _all_enter(above, top) else None


def _all_enter(folder: str, top: str) -> bool:
    """Return whether all users may enter a folder and those above it, up to `top`."""
    while os.stat(folder).st_mode & _ENTER:  # noqa: PTH116 -- see above
        if folder == top:
            return True
        folder = os.path.dirname(folder)  # noqa: PTH120 -- see above
    return False
