"""Changes of a `container.json` by the host: checked as a whole, then replaced as a whole."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from stat import S_IMODE

from nanoclaw.agents.container_json import FILE, BadContainerJson, ContainerConfig, container_of, parsed
from nanoclaw.config.files import Unreadable, read_text
from nanoclaw.store.engine.connections import PRIVATE_FILE, sync

Change = Callable[[dict[str, object]], None]
"""Changes the object of a `container.json` in place. It is applied again to a file that has changed."""


def changed(folder: Path, change: Change) -> tuple[str, ContainerConfig]:
    """Return the text and the meaning of a changed file. Nothing is written. Blocking.

    Raises:
        BadContainerJson: the file, or the changed one, cannot be used.
    """
    file = folder / FILE
    try:
        text = read_text(file)
        container_of(text, folder)  # the owner repairs it first, so that no key is lost
        values = parsed(text)
    except FileNotFoundError:
        values = {}
    except Unreadable as error:
        raise BadContainerJson(error.at(file)) from error
    change(values)
    text = f"{json.dumps(values, ensure_ascii=False, indent=2)}\n"
    return text, container_of(text, folder)


def change_container_json(folder: Path, change: Change) -> ContainerConfig:
    """Change the file, or make it. A reader sees the old one or the new one, also after a crash. Blocking.

    A link is followed, so that a file that the owner keeps elsewhere stays there. Only one caller at a time
    may change a file.

    Raises:
        BadContainerJson: the file, or the changed one, cannot be used. Nothing has changed.
        OSError: it cannot be written.
    """
    text, container = changed(folder, change)
    file = Path(os.path.realpath(folder / FILE))
    try:
        if read_text(file) == text:
            return container
        mode = S_IMODE(file.stat().st_mode)
    except FileNotFoundError:
        mode = PRIVATE_FILE
    _replace(file, text, mode)
    return container


def _replace(file: Path, text: str, mode: int) -> None:
    """Replace a file by one rename. A crash leaves a hidden file beside it at most."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync(file.parent)
