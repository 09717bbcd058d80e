"""Rendering: agents' Markdown in the dialects of networks, in pieces of a network's length."""

from nanoclaw.channels.rendering.images import images_as_links
from nanoclaw.channels.rendering.pieces import pieces, plain_pieces, utf16_units
from nanoclaw.channels.rendering.tables import tables_as_code

__all__ = ["images_as_links", "pieces", "plain_pieces", "tables_as_code", "utf16_units"]
