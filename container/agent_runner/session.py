"""What a turn and its tools work with: one open session."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from attrs import frozen

from agent_runner import events
from agent_runner.changes import Changes
from agent_runner.config import RunnerConfig
from agent_runner.heartbeat import Heart, hearts
from agent_runner.lock import own
from agent_runner.migrate import migrate
from agent_runner.outbox import Outbox
from agent_runner.seams import Seams
from agent_runner.store import Reader, Writer, open_inbound, open_outbound


@frozen
class Session:
    """The files of a session in the hands of its one runner."""

    config: RunnerConfig
    seams: Seams
    host: Reader
    own: Writer
    outbox: Outbox
    changes: Changes
    heart: Heart


@asynccontextmanager
async def open_session(config: RunnerConfig, seams: Seams) -> AsyncGenerator[Session]:
    """Take the lock, open both databases, migrate. Raises RunnerError, OSError."""
    async with (
        own(config.owner_lock),
        open_outbound(config.outbound_db, seams.executor) as writer,
        open_inbound(config.inbound_db, seams.executor) as reader,
    ):
        await migrate(writer, config.schema_dir)
        if await writer.read(events.tool_shown):
            await writer.write(lambda connection: events.show_tool(connection, None))
        outbox = Outbox(config.outbox, seams.executor)
        await outbox.adopt(writer)
        changes = Changes()
        async with (
            seams.wakeups.watch(config.inbound_db.parent, changes.note),
            hearts(config, seams) as heart,
        ):
            yield Session(config, seams, reader, writer, outbox, changes, heart)
