"""The sources of a sandbox, as the outer bubblewrap of a root host shows them to the user of the inner one.

Each view is a mount, which takes time at each start. So sources of the same folder share one view of it.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from nanoclaw.runtimes.bubblewrap.layout import Bind

VIEW = "/src"
"""The folder of the views."""
SEEN = Path("/usr")
"""A folder of the system that the outer bubblewrap has anyway."""
_ETC = Path("/etc")
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
    real = [evolve(each, source=_real(each.source)) if each.common else each for each in binds]
    shared = Counter(_folder(each.source) for each in real if each.common)
    shown, inner = dict[tuple[Path, bool], Bind](), list[Bind]()
    for bind in real:
        if bind.common and is_seen(bind.source):
            inner.append(bind)
            continue
        together = bind.common and shared[_folder(bind.source)] > 1 and _may_reach(bind.source)
        place = _folder(bind.source) if together else bind.source
        view = shown.setdefault((place, bind.read_only), Bind(place, f"{VIEW}/{len(shown)}", bind.read_only))
        inner.append(evolve(bind, source=Path(view.target, bind.source.relative_to(place))))
    return Views(list(shown.values()), inner)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _folder(source: Path) -> Path:
    """Return the folder that would show a source together with others."""
    return _ETC if source.is_relative_to(_ETC) else source.parent


def is_seen(source: Path) -> bool:
    """Return whether the inner bubblewrap finds a path without a view."""
    return _real(source) == source and source.is_relative_to(SEEN) and _all_enter(source.parent, SEEN)


def _may_reach(source: Path) -> bool:
    folder = _folder(source)
    return folder != Path("/") and _all_enter(source.parent, folder)


def _all_enter(folder: Path, top: Path) -> bool:
    """Return whether all users may enter a folder and those above it, up to `top`."""
    between = [folder, *folder.parents]
    return all(os.stat(each).st_mode & _ENTER for each in between[: between.index(top) + 1])  # noqa: PTH116 -- fast
