"""The images of sandboxes: what they are built from, their names, and their build."""

from nanoclaw.runtimes.images.building import Build, BuildFailed, Progress, build
from nanoclaw.runtimes.images.builds import AGENT_LABEL, BASE_LABEL, ImageMissing, Images, Order
from nanoclaw.runtimes.images.context import BuildContext, agent_context, base_context
from nanoclaw.runtimes.images.names import REPOSITORY, agent_image, base_image
from nanoclaw.runtimes.images.recipe import Recipe

__all__ = [
    "AGENT_LABEL",
    "BASE_LABEL",
    "REPOSITORY",
    "Build",
    "BuildContext",
    "BuildFailed",
    "ImageMissing",
    "Images",
    "Order",
    "Progress",
    "Recipe",
    "agent_context",
    "agent_image",
    "base_context",
    "base_image",
    "build",
]
