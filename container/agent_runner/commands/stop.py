"""The command /stop: abort the running turn. `agent_runner.turns.stopping` does so while one runs.

When the command gets a turn of its own, no other turn runs. Then it gives up what waits to be tried again.
"""

from datetime import datetime

from attrs import define, field

from agent_runner import outbound
from agent_runner.commands.base import Answered, CommandContext, SlashCommand, for_admins
from agent_runner.inbound import Candidate
from agent_runner.outbound import Ack
from agent_runner.polling import scan
from agent_runner.records import Claim
from agent_runner.store import Connection

STOPPED = "Stopped."
IDLE = "Nothing is running."


@define(eq=False)
class _Retries:
    """Takes the open messages before the command that were tried before."""

    before: int
    claims: list[Claim] = field(factory=list, init=False)
    closed: bool = field(default=False, init=False)

    def offer(self, row: Candidate) -> None:
        """Consider the next row."""
        self.closed = row.seq >= self.before
        if not self.closed and row.trigger and row.tries:
            self.claims.append(Claim(row.id, row.tries))


async def run(context: CommandContext) -> Answered:
    """Complete the messages that wait for another try: their turn was interrupted, and is not to go on."""
    retries = _Retries(context.message.seq)
    await scan(context.session, retries)

    def give_up(connection: Connection, now: datetime) -> None:
        outbound.acknowledge(connection, retries.claims, now, Ack("completed", None))

    return Answered(STOPPED if retries.claims else IDLE, also=give_up)


COMMAND = SlashCommand(
    "stop", "/stop", "stop what I am doing", run, for_admins, purpose=" to end what I am working on"
)
"""Anybody's `/stop` makes an agent leave a thread that it takes part in. The host sees to that."""
