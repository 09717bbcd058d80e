"""An append-only file of JSON lines, each on disk when it is written."""

import json
import os
from pathlib import Path
from typing import Any

from attrs import frozen


@frozen
class Journal:
    """One such file; it may be missing."""

    file: Path

    def note(self, event: str, **values: Any) -> None:
        """Append a line; it survives a crash of the process and the machine."""
        line = json.dumps({"event": event, **values}).encode() + b"\n"
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, *events: str) -> list[dict[str, Any]]:
        """Return the lines of these events (default: all), in order."""
        if not self.file.exists():
            return []
        lines = [json.loads(line) for line in self.file.read_text().splitlines()]
        return [line for line in lines if not events or line["event"] in events]
