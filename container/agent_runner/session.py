"""The open files of one session, for the loop, turns and tools."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from attrs import field, frozen

from agent_runner import events
from agent_runner.changes import Changes
from agent_runner.config import RunnerConfig
from agent_runner.drafts import Drafts, open_drafts
from agent_runner.heartbeat import Heartbeat, open_heartbeat
from agent_runner.knowledge.files import TextFiles
from agent_runner.knowledge.notes import Notes
from agent_runner.lock import hold_lock
from agent_runner.log import Log
from agent_runner.migrate import migrate
from agent_runner.other_hosts import show_complete
from agent_runner.outbox import Outbox
from agent_runner.seams import Seams
from agent_runner.store import Reader, Refused, Writer, open_inbound, open_outbound


@frozen
class Session:
    """The files of a session, held by its one runner."""

    config: RunnerConfig
    seams: Seams
    inbound: Reader
    outbound: Writer
    outbox: Outbox
    changes: Changes
    heartbeat: Heartbeat
    drafts: Drafts
    notes: Notes
    files: TextFiles
    """Reads files that people and agents wrote."""
    tool_servers: dict[str, str] = field(factory=dict)
    """The state of each MCP server by its name, in words. Tools and commands read it while it changes."""
    usage: events.TurnUsage = field(factory=events.TurnUsage)


@asynccontextmanager
async def open_session(config: RunnerConfig, seams: Seams) -> AsyncGenerator[Session]:
    """Take the lock, open both databases, migrate. Raises RunnerError, OSError."""
    async with (
        hold_lock(config.owner_lock),
        open_outbound(config.outbound_db, seams.executor, refused=_reporting(seams.log)) as outbound,
        open_inbound(config.inbound_db, seams.executor, show_complete) as inbound,
    ):
        await migrate(outbound, config.schema_dir)
        if await outbound.read(events.is_tool_shown):
            await outbound.write(events.hide_tool)
        outbox = Outbox(config.outbox, seams.executor)
        await outbox.adopt(outbound)
        changes = Changes()
        async with (
            seams.wakeups.watch(config.inbound_db.parent, changes.note),
            open_heartbeat(config, seams) as heartbeat,
            open_drafts(config, seams) as drafts,
        ):
            notes = Notes(config.workspace, config.schema_dir, seams.executor, seams.clock, seams.log)
            yield Session(
                config, seams, inbound, outbound, outbox, changes, heartbeat, drafts, notes, TextFiles()
            )


def _reporting(log: Log) -> Refused:
    """Return a function that logs a write that the system refuses, ever more rarely."""

    def report(reason: str, tries: int) -> None:
        if tries & (tries - 1) == 0:  # 1, 2, 4, 8 …
            log("outbound.unavailable", level="warning", reason=reason, tries=tries)

    return report
