"""The terminal's front end when a person sits at it: a prompt with history, replies above it as they come.

prompt_toolkit runs its own asyncio loop, so it runs in a thread of its own; nothing asyncio leaves this module.
"""

from pathlib import Path
from typing import Any

from attrs import define

from nanoclaw.channels.terminal import Terminal


@define(eq=False)
class Prompt:
    """A prompt on the terminal; `history` is the file that keeps what was typed."""

    assistant: str
    history: Path
    _session: Any = None

    async def read(self, terminal: Terminal) -> None:
        """To be written."""

    async def show(self, text: str) -> None:
        """To be written."""

    def typing(self, *, on: bool) -> None:
        """To be written."""
