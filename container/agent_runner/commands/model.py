"""The command /model: show the session's model, or choose one."""

import re

from agent_runner.commands.base import Answered, CommandContext, SlashCommand
from agent_runner.session_state import MODEL
from agent_runner.status import ModelInUse, model_in_use

DEFAULT = "default"
_NAME = re.compile(r"[!-~]{1,200}")


async def run(context: CommandContext) -> Answered:
    """Show the model, or choose one from the next message on. The name is not checked with its server."""
    now = await model_in_use(context.session)
    if not context.arguments:
        return Answered(f"Provider {now.provider}, model {now.described}.")
    if not _NAME.fullmatch(context.arguments):
        return Answered("A model's name is one word, such as /model small-2. /model default goes back.")
    chosen = None if context.arguments.lower() == DEFAULT else context.arguments
    then = ModelInUse(now.provider, now.configured, chosen)
    return Answered(f"Model from now on: {then.described}. Before: {now.described}.", state={MODEL: chosen})


COMMAND = SlashCommand(
    "model",
    "/model [NAME or default]",
    "show the model, or choose one for this conversation",
    run,
    is_for_admins=bool,
)
