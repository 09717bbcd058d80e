"""The import of the SDK, which is an extra."""

from collections.abc import Iterator
from contextlib import contextmanager

from nanoclaw.channels.extras import install_command
from nanoclaw.channels.protocol import ChannelUnavailable


@contextmanager
def needs_sdk(extra: str = "telegram") -> Iterator[None]:
    """Import what an extra brings.

    Raises:
        ChannelUnavailable: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ChannelUnavailable(
            f"the package {error.name} is missing: install it with {install_command(extra)}"
        ) from error
