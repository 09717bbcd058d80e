"""Copies the files that arrive with messages into a folder: at their session, or while they wait."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path

from attrs import evolve, frozen

from nanoclaw.records import Attachment
from nanoclaw.records.files import MAX_BYTES, MAX_FILES, decoded
from nanoclaw.store.engine.errors import translated_os, translating
from nanoclaw.store.engine.names import as_component
from nanoclaw.system.obstacles import Obstacle, kind_of, passes
from nanoclaw.system.streaming import TooLarge, opened, parts, write


@frozen
class LostFile:
    """A file that could not be stored. Its message matters more, and is stored without it."""

    name: str
    reason: str
    """A sentence without its end, such as `its base64 is invalid`."""


class _Lost(Exception):
    """A file cannot be had. The text is the reason."""


def copy_files(
    attachments: Sequence[Attachment],
    folder: Path,
    *,
    base: Path,
    mode: int = 0o600,
    make: Callable[[Path], object] = lambda folder: folder.mkdir(exist_ok=True),
) -> list[Path | LostFile | None]:
    """Copy the files of a message. An earlier copy is replaced.

    Relative paths are below `base`. `make` makes the folder before the first file is written.

    Returns:
        The copy of each attachment, or why there is none. None: it came without its content.

    Raises:
        StoreError: the disk is full or fails, or a file cannot be read now.
    """
    names = _distinct([as_component(attachment.name) for attachment in attachments])
    copies, left = list[Path | LostFile | None](), MAX_BYTES
    for n, (name, each) in enumerate(zip(names, attachments, strict=True)):
        if not each.has_content:
            copies.append(None)
            continue
        placed = evolve(each, path=None if each.path is None else base / each.path)
        try:
            if n >= MAX_FILES:
                raise _Lost(f"a message has at most {MAX_FILES} files")  # noqa: TRY301 -- as the others
            left -= _copy(placed, folder / name, left, mode, make)
            copies.append(folder / name)
        except _Lost as error:
            copies.append(LostFile(each.name, str(error)))
    return copies


def with_lost_files(text: str, lost: Sequence[LostFile]) -> str:
    """Return a message's text with a line for each lost file, so that its reader knows of it."""
    lines = [f"[The file {each.name!r:.140} of this message is lost: {each.reason}.]" for each in lost]
    return "\n".join([text, *lines] if text else lines)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, made unique by a number in front. Case is ignored, as in some file systems."""
    taken, chosen = set[str](), list[str]()
    for name in names:
        numbered = (f"{n}-{name}"[:128] for n in count(2))
        free = next(each for each in chain([name], numbered) if each.casefold() not in taken)
        taken.add(free.casefold())
        chosen.append(free)
    return chosen


def _copy(attachment: Attachment, target: Path, limit: int, mode: int, make: Callable[[Path], object]) -> int:
    """Write one file and return its size. Raises _Lost."""

    def written(content: Iterator[bytes]) -> int:
        with translating(target):
            make(target.parent)
            return write(target, content, mode=mode)

    try:
        if attachment.path is None:
            return written(iter([_decoded(attachment.data or "", limit)]))
        with opened(attachment.path) as descriptor:
            return written(_readable(attachment.path, parts(descriptor, limit)))
    except TooLarge:
        raise _Lost(f"the files of a message have at most {MAX_BYTES >> 20} MiB together") from None
    except OSError as error:
        raise _unreadable(attachment.path or target, error) from error


def _decoded(data: str, limit: int) -> bytes:
    try:
        found = decoded(data)
    except ValueError:
        raise _Lost("its base64 is invalid") from None
    if len(found) > limit:
        raise TooLarge
    return found


def _readable(source: Path, content: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content. Its errors are those of the source, not of the copy."""
    try:
        yield from content
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Path, error: OSError) -> Exception:
    """Return the error for a file of a channel: one that may pass is no loss."""
    if error.errno is not None and passes(error) and kind_of(error) is not Obstacle.DENIED:
        return translated_os(error, source)
    return _Lost(f"it cannot be read: {error.strerror or error}")
