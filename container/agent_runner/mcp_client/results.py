"""Results of MCP servers as words for a model, and their pictures as files."""

import binascii
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from mimetypes import guess_extension

import mcp_types

LONGEST_STRUCTURED = 50_000
"""Characters of structured content, which is shown if there is no text."""

Save = Callable[[bytes, str], str]
"""Stores bytes as a file with this suffix, and returns its path. Raises OSError."""


def words_of(result: mcp_types.CallToolResult, save: Save) -> str:
    """Return a result in words. Data goes into files, whose paths are in the words."""
    words = "\n".join(each for part in result.content for each in _words(part, save))
    if words or not result.structured_content:
        return words or "(no result)"
    return json.dumps(result.structured_content, ensure_ascii=False)[:LONGEST_STRUCTURED]


def _words(part: mcp_types.ContentBlock, save: Save) -> Iterator[str]:
    match part:
        case mcp_types.TextContent():
            yield part.text
        case mcp_types.ImageContent() | mcp_types.AudioContent():
            yield _saved(part.data, part.mime_type, save)
        case mcp_types.ResourceLink():
            yield f"[resource {part.uri}: {part.title or part.name}]"
        case mcp_types.EmbeddedResource():
            yield _resource(part.resource, save)


def _resource(resource: mcp_types.TextResourceContents | mcp_types.BlobResourceContents, save: Save) -> str:
    if isinstance(resource, mcp_types.TextResourceContents):
        return f"[resource {resource.uri}]\n{resource.text}"
    return f"[resource {resource.uri}] {_saved(resource.blob, resource.mime_type or '', save)}"


def _saved(data: str, media_type: str, save: Save) -> str:
    try:
        content = b64decode(data, validate=True)
        path = save(content, guess_extension(media_type) or ".bin")
    except (binascii.Error, ValueError):
        return f"[{media_type or 'data'} that cannot be decoded]"
    except OSError as error:
        return f"[{media_type or 'data'} that cannot be stored: {error.strerror}]"
    return f"[{media_type or 'data'}, {len(content):,} bytes, stored as {path}]"
