"""Messages as blocks of Anthropic's API: the text, then the pictures and PDFs that users sent."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

from agent_runner.prompt import Attachment, attachments
from agent_runner.providers.context import ProviderContext
from agent_runner.records import Inbound

PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
PDF = "application/pdf"
LARGEST_PICTURE = 5 * 1024 * 1024 * 3 // 4
"""Bytes. The API takes 5 MiB of base64."""
LARGEST = 20 * 1024 * 1024
"""Bytes of all files of a turn. The others are named in the text, with their paths."""


def blocks(context: ProviderContext, text: str, messages: Sequence[Inbound]) -> list[dict[str, Any]]:
    """Return a text and the files of its messages. Files that are too large or gone stay out."""
    files = (file for message in messages for file in attachments(context, message))
    return [{"type": "text", "text": text}, *_within(LARGEST, files)]


def _within(left: int, files: Iterator[Attachment]) -> Iterator[dict[str, Any]]:
    for file in files:
        kind = "image" if file.media_type in PICTURES else "document" if file.media_type == PDF else None
        data = _data(file, min(left, LARGEST_PICTURE if kind == "image" else LARGEST)) if kind else None
        if data is not None:
            left -= len(data)
            source = {"type": "base64", "media_type": file.media_type, "data": b64encode(data).decode()}
            yield {"type": kind, "source": source}


def _data(file: Attachment, most: int) -> bytes | None:
    try:
        with file.path.open("rb") as opened:
            data = opened.read(most + 1)
    except OSError:
        return None
    return data if 0 < len(data) <= most else None
