"""The names of images: one repository, a tag for each build."""

import re

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
    """Return the name of an agent's own image. It begins as `agent_images` says."""
    return f"{agent_images(install_id, folder)}{context.digest}"


def agent_images(install_id: str, folder: str) -> str:
    """Return the beginning of the names of all images of an agent, old ones too."""
    return f"{REPOSITORY}:{_part(install_id)}-{_part(folder)}-"


def _part(text: str) -> str:
    return _NOT_IN_TAGS.sub("_", text)[:_LONGEST_PART]
