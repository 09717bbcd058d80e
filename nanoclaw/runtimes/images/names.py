"""The names of images: one repository, a tag for each build."""

import re
from hashlib import sha256

from nanoclaw.runtimes.images.context import BuildContext

REPOSITORY = "nanoclaw-agent"
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_PART = 40


def base_image(context: BuildContext) -> str:
    """Return the name of the image of all agents. Blocking: it reads all files of the context."""
    return f"{REPOSITORY}:{context.digest}"


def is_base(image: str) -> bool:
    """Return True for the name of an image of all agents, of this version or another."""
    return re.fullmatch(rf"{REPOSITORY}:[0-9a-f]{{12}}", image) is not None


def agent_image(install_id: str, folder: str, context: BuildContext) -> str:
    """Return the name of an agent's own image. Blocking if the context has files."""
    return f"{_beginning(install_id, folder)}{context.digest}"


def is_of_agent(image: str, install_id: str, folder: str) -> bool:
    """Return True for the name of an image of an agent, an old one too."""
    return re.fullmatch(rf"{re.escape(_beginning(install_id, folder))}[0-9a-f]{{12}}", image) is not None


def is_of_installation(image: str, install_id: str) -> bool:
    """Return True for the name of an image of any agent of an installation."""
    return image.startswith(f"{REPOSITORY}:{_part(install_id)}-")


def _beginning(install_id: str, folder: str) -> str:
    return f"{REPOSITORY}:{_part(install_id)}-{_part(folder)}-"


def _part(text: str) -> str:
    """Return a text as a part of a tag: different texts give different parts."""
    part = _NOT_IN_TAGS.sub("_", text)
    if part == text and len(part) <= _LONGEST_PART:
        return part
    return f"{part[:_LONGEST_PART]}_{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
