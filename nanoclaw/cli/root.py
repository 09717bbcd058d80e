"""`nanoclaw`: the group of all commands, each imported when it is asked for."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from nanoclaw.cli.output import show
from nanoclaw.cli.parsing import Group
from nanoclaw.cli.places import options, taken
from nanoclaw.version import installed_version

COMMANDS = {
    "run": "nanoclaw.cli.run_command",
    "setup": "nanoclaw.cli.setup_command",
    "doctor": "nanoclaw.cli.doctor_command",
    "chat": "nanoclaw.cli.asking_commands",
    "status": "nanoclaw.cli.asking_commands",
    "tree": "nanoclaw.cli.asking_commands",
    "logs": "nanoclaw.cli.asking_commands",
    "config": "nanoclaw.cli.config_commands",
    "image": "nanoclaw.cli.image_command",
    "simulate": "nanoclaw.cli.simulate_command",
    "replay": "nanoclaw.cli.replay_command",
    "completion": "nanoclaw.cli.completion",
}
"""The module of each command. Commands of nouns are generated from the list of operations."""


class Root(Group):
    """All commands, and a group for each noun."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's
        """Return the names: first the commands of the host, then the nouns."""
        from nanoclaw.cli.nouns import noun_names  # noqa: PLC0415 -- costs what the other commands need not pay

        return [*(name for name, module in COMMANDS.items() if find_spec(module)), *noun_names()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command, or make the group of a noun."""
        module = COMMANDS.get(cmd_name)
        if module is not None:
            if find_spec(module) is None:
                return None
            command: click.Command = getattr(import_module(module), cmd_name)
            return command
        from nanoclaw.cli.nouns import noun_group  # noqa: PLC0415 -- as above

        return noun_group(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of the host, then the nouns."""
        names = self.list_commands(ctx)
        sections = {
            "Commands": [name for name in names if name in COMMANDS],
            "Administration (nanoclaw NOUN --help)": [name for name in names if name not in COMMANDS],
        }
        for title, its in sections.items():
            with formatter.section(title):
                found = [(name, self.get_command(ctx, name)) for name in its]
                formatter.write_dl([(name, each.get_short_help_str(80)) for name, each in found if each])


def _places(**values: Any) -> None:
    """Keep the places for the command that follows."""
    taken(click.get_current_context(), values)


def _show_version(ctx: click.Context, _param: click.Parameter, wanted: object) -> None:
    if wanted and not ctx.resilient_parsing:
        show(f"nanoclaw {installed_version()}")
        ctx.exit()


_VERSION = click.Option(
    ["--version"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)

nanoclaw = Root(
    "nanoclaw",
    help="A personal assistant on your own machine.",
    callback=_places,
    params=[*options(), _VERSION],
    no_args_is_help=False,
)
