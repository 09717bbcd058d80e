"""`nanoclaw logs`: the latest log events of the running host, and those that follow."""

import json
from datetime import datetime
from typing import Any

import structlog

from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.cli.client import connect
from nanoclaw.cli.output import show, stdout
from nanoclaw.config import Config


async def logs(config: Config, session: str | None, last: int, *, follow: bool, as_json: bool) -> int:
    """Print log events, all or those of a session. Raises NoHost, RequestFailed."""
    renderer = structlog.dev.ConsoleRenderer(colors=stdout().isatty())
    async with connect(config.data) as client:
        async for event in client.results("logs", last=last, session=session, follow=follow):
            if event:  # the result is empty
                show(json.dumps(event) if as_json else _for_people(event, renderer))
    return 0


def _for_people(event: dict[str, Any], renderer: structlog.dev.ConsoleRenderer) -> str:
    fields = {key: harmless(value) if isinstance(value, str) else value for key, value in event.items()}
    if "timestamp" in event:
        at = datetime.fromisoformat(event["timestamp"]).astimezone()
        fields["timestamp"] = at.strftime("%Y-%m-%d %H:%M:%S")
    return str(renderer(None, event.get("level", "info"), fields))
