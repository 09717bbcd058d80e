"""The command /status: say how the session is."""

from agent_runner.commands.base import Answered, CommandContext, SlashCommand, for_everybody
from agent_runner.open_provider import Unopened
from agent_runner.status import describe_status


async def run(context: CommandContext) -> Answered:
    """Describe the session."""
    lines = await describe_status(context.session, without={context.message.id})
    if isinstance(context.handler, Unopened):
        lines += f"\nNo message can be answered now: {context.handler.error}"
    return Answered(lines)


COMMAND = SlashCommand(
    "status", "/status", "show agent, model, waiting messages and tasks", run, for_everybody
)
