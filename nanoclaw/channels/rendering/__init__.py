"""Rendering: agents' Markdown in the dialects of networks, in pieces of a network's length."""

from nanoclaw.channels.rendering.pieces import pieces

__all__ = ["pieces"]
