"""The slash commands, by name."""

from collections.abc import Mapping, Sequence

from agent_runner.commands import clear, compact, model, status, stop, tasks
from agent_runner.commands.base import SlashCommand
from agent_runner.commands.call import Name
from agent_runner.commands.help import help_command


def _all() -> Sequence[SlashCommand]:
    return tuple(COMMANDS.values())


COMMANDS: Mapping[Name, SlashCommand] = {
    command.name: command
    for command in (
        help_command(_all),
        status.COMMAND,
        tasks.COMMAND,
        model.COMMAND,
        stop.COMMAND,
        compact.COMMAND,
        clear.COMMAND,
    )
}
