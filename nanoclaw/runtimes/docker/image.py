"""The image of a runner's container."""

from nanoclaw.runtimes.images import Recipe, base_context, base_image
from nanoclaw.runtimes.protocol import RunnerSpec


def image_for(spec: RunnerSpec, default: str) -> str:
    """Return the image of a specification: that of its agent, else the default."""
    return spec.image or default


def own_image(recipe: Recipe) -> str:
    """Return the image that `nanoclaw image build` makes of this installation. Blocking: it reads files.

    Raises:
        ResourceMissing: the installation is incomplete.
        OSError: a file cannot be read.
    """
    return base_image(base_context(recipe))
