"""Rendering: agents' Markdown in the dialects of networks, in pieces of a network's length."""

from nanoclaw.channels.rendering.pieces import pieces, plain_pieces, utf16_units

__all__ = ["pieces", "plain_pieces", "utf16_units"]
