"""Keeps the transcript of a conversation before Claude Code shortens it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from agent_runner.clock import Clock
from agent_runner.loop.compaction import archive
from agent_runner.loop.conversation import Asked, Message, Said, Text, ToolCall
from agent_runner.loop.history import PastTurn

LARGEST = 20 * 1024 * 1024
"""Bytes of a transcript that are read: its end."""


@frozen
class Archive:
    """The transcripts in a workspace."""

    workspace: Path
    clock: Clock

    async def before_compaction(self, event: Any, _tool_use_id: str | None, _context: Any) -> Any:
        """Write the transcript. Claude Code calls this as its hook `PreCompact`. It never fails."""
        await trio.lowlevel.checkpoint()
        with suppress(OSError):
            messages = tuple(since_compaction(Path(str(event["transcript_path"]))))
            archive(self.workspace, [PastTurn(1, messages)], self.clock.now().date())
        return {}


def since_compaction(transcript: Path) -> Sequence[Message]:
    """Return what was said since Claude Code has shortened the conversation before. Raises OSError."""
    messages: list[Message] = []
    with transcript.open("rb") as file:
        file.seek(max(0, transcript.stat().st_size - LARGEST))
        for line in file:
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("subtype") == "compact_boundary":
                    messages.clear()
                messages.extend(_said(entry))
    return messages


def _said(entry: object) -> Iterator[Message]:
    match entry:
        case {"type": "user", "message": {"content": content}}:
            yield Asked(tuple(Text(text) for text in _texts(content)))
        case {"type": "assistant", "message": {"content": content}}:
            yield Said("\n".join(_texts(content)), tuple(_calls(content)))


def _texts(content: object) -> Iterator[str]:
    match content:
        case str():
            yield content
        case list():
            yield from (str(part["text"]) for part in content if _is(part, "text") and "text" in part)


def _calls(content: object) -> Iterator[ToolCall]:
    for part in content if isinstance(content, list) else ():
        match part:
            case {"type": "tool_use", "id": str(id_), "name": str(name), "input": {**arguments}}:
                yield ToolCall(id_, name, {str(key): value for key, value in arguments.items()})


def _is(part: object, kind: str) -> bool:
    return isinstance(part, dict) and part.get("type") == kind
