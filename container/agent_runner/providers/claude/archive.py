"""Keeps the transcript of a conversation before Claude Code shortens it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from agent_runner.clock import Clock

LARGEST = 20 * 1024 * 1024
"""Bytes of a transcript that are read: its end."""


@frozen
class Archive:
    """The folder `conversations` of the workspace."""

    folder: Path
    clock: Clock

    async def before_compaction(self, event: Any, _tool_use_id: str | None, _context: Any) -> Any:
        """Write the transcript. The hook `PreCompact` of Claude Code calls this. It never fails."""
        await trio.lowlevel.checkpoint()
        with suppress(OSError):
            self._write(Path(str(event["transcript_path"])), str(event["session_id"]))
        return {}

    def _write(self, transcript: Path, session: str) -> None:
        lines = list(_lines(transcript))
        name = f"{self.clock.now():%Y-%m-%d-%H%M%S}-claude-{session[:8]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        written = self.folder / f".{name}.tmp"
        written.write_text("\n\n".join(lines) + "\n", encoding="utf-8", errors="replace")
        written.replace(self.folder / f"{name}.md")


def _lines(transcript: Path) -> Iterator[str]:
    with transcript.open("rb") as file:
        file.seek(max(0, transcript.stat().st_size - LARGEST))
        for line in file:
            with suppress(ValueError, RecursionError):
                yield from _said(json.loads(line))


def _said(entry: object) -> Iterator[str]:
    match entry:
        case {"type": "user" | "assistant" as who, "message": {"content": str(text)}}:
            yield f"**{who}**: {text}"
        case {"type": "user" | "assistant" as who, "message": {"content": [*parts]}}:
            texts = [_text(part) for part in parts if isinstance(part, dict)]
            if said := "\n".join(filter(None, texts)):
                yield f"**{who}**: {said}"


def _text(part: Mapping[str, Any]) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "tool_use", "name": str(name), "input": arguments}:
            return f"[{name} {json.dumps(arguments, ensure_ascii=False)}]"
        case _:
            return ""
