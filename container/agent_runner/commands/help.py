"""The command /help: list the commands."""

from collections.abc import Callable, Sequence

from agent_runner.commands.base import Answered, CommandContext, SlashCommand, for_everybody

INTRODUCTION = "I answer these commands myself, without a model:"
NOTE = "* for administrators only"


def help_command(others: Callable[[], Sequence[SlashCommand]]) -> SlashCommand:
    """Return the command. `others` returns all commands; it is called at each call of the command."""

    async def run(context: CommandContext) -> Answered:
        del context
        return Answered("\n".join([INTRODUCTION, *map(_line, others()), NOTE]))

    return SlashCommand("help", "/help", "list these commands", run, for_everybody)


def _line(command: SlashCommand) -> str:
    star = "*" if command.is_for_admins("x") else ""
    return f"{command.usage}{star} - {command.summary}"
