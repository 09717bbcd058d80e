"""Deletes what is older than the channel keeps it."""

from datetime import datetime, timedelta

import structlog
import trio

from nanoclaw.channels.http.application import HttpServer
from nanoclaw.store import Connection, StoreError
from nanoclaw.store.transcript import callbacks, entries, kept_files, requests

EVERY_S = 3600.0
REPEATED_FOR = timedelta(days=7)
"""Time for which a request may be repeated under its idempotency key."""

_log = structlog.get_logger()


async def keep_in_bounds(server: HttpServer) -> None:
    """Delete old messages, files and requests, now and every hour, until cancelled."""
    while True:
        try:
            await _prune(server)
        except (StoreError, OSError) as error:
            _log.warning("http.not_pruned", reason=str(error), again_in_s=EVERY_S)
        await trio.sleep(EVERY_S)


async def _prune(server: HttpServer) -> None:
    now = server.clock.now()
    older = now - timedelta(seconds=server.config.keep_s)
    gone = await server.rooms.transcript.writer.run(_delete, older, now - REPEATED_FOR)
    await server.files.remove(gone)


def _delete(connection: Connection, older: datetime, repeated: datetime) -> list[str]:
    entries.prune(connection, older)
    callbacks.prune(connection, older)
    requests.prune(connection, repeated)
    return kept_files.prune(connection, older)
