"""The command /compact: shorten the kept conversation."""

from agent_runner.commands.base import Answered, CommandContext, SlashCommand, for_admins
from agent_runner.errors import ProviderError, RunnerError
from agent_runner.foreign import describe, foreign_code
from agent_runner.providers import Compacting


async def run(context: CommandContext) -> Answered:
    """Ask the provider. Raises ProviderError if its model cannot be asked now."""
    if not isinstance(context.handler, Compacting):
        name = context.session.seams.provider.name
        return Answered(f"There is nothing to compact: the provider {name} keeps no conversation.")
    return Answered(await _compact(context.handler) or "The conversation is compacted.")


async def _compact(handler: Compacting) -> str:
    """Compact. Other people write providers."""
    try:
        with foreign_code(ProviderError, RunnerError, Exception):
            return str(await handler.compact())
    except (ProviderError, RunnerError):
        raise
    except Exception as error:
        raise ProviderError(describe(error)) from error


COMMAND = SlashCommand(
    "compact",
    "/compact",
    "have the model shorten the conversation that it keeps",
    run,
    for_admins,
    asks_model=True,
)
