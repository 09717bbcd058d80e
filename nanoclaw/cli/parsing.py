"""Parsing with click: usage errors in one line, options in sections, and suggestions of near names."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from nanoclaw.cli.output import show
from nanoclaw.config.nearest import nearest

LAST_SECTION = "Where things are"
BAD_USAGE = 2
"""Exit code: the arguments cannot be used."""


# -- types of options ----------------------------------------------------------


class Number(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on only
    """A number within bounds."""

    name = "number"

    def __init__(self, kind: type[int] | type[float], least: float, most: float, wanted: str) -> None:
        self._kind = kind
        self._least = least
        self._most = most
        self._wanted = wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse a text into a number."""
        try:
            found = self._kind(value)
        except ValueError:
            self.fail(f"must be {self._wanted}, got {value!r:.40}", param, ctx)
        if not self._least <= found <= self._most:
            self.fail(f"must be {self._wanted}", param, ctx)
        return found


class Folder(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on only
    """A non-empty path. It need not exist."""

    name = "directory"

    def __init__(self, wanted: str = "must be a directory") -> None:
        self._wanted = wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Parse a text into a path."""
        if not str(value):
            self.fail(self._wanted, param, ctx)
        return Path(value)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 -- click's
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Make the shell complete directories."""
        return [CompletionItem(incomplete, type="dir")]


_ALL_S = 1e12
SECONDS = Number(float, 0, _ALL_S, "seconds of at least 0")
COUNT = Number(int, 0, _ALL_S, "a number of at least 0")
FILE = click.Path(path_type=Path)


# -- commands ------------------------------------------------------------------


class SectionOption(click.Option):
    """An option that the help lists under its own heading."""

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class _Helpful(click.Command):
    """A command that prints its help like any other result."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return click's option, which prints through our own output."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(ctx: click.Context, _param: click.Parameter, wanted: object) -> None:
    if wanted and not ctx.resilient_parsing:
        show(ctx.get_help())
        ctx.exit()


class Command(_Helpful):
    """A command whose help has its options in sections."""

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: click has its own section for arguments from 8.5 on, and none before."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments and options, one section after the other; the places come last."""
        sections = dict[str, list[tuple[str, str]]]()
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(param, "section", "Options"), []).append(record)
        for section, records in sorted(sections.items(), key=lambda each: each[0] == LAST_SECTION):
            with formatter.section(section):
                formatter.write_dl(records)


class DescribedArgument(click.Argument):
    """An argument with a help text, which click's own arguments lack."""

    section = "Arguments"

    def __init__(self, *args: Any, help: str = "", **kwargs: Any) -> None:  # noqa: A002 -- as options call it
        super().__init__(*args, **kwargs)
        self.words = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Return the argument's line of the help."""
        return self.make_metavar(ctx), self.words


class Group(_Helpful, click.Group):
    """A group that suggests the nearest command for an unknown one."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names."""
        name = str(args[0])
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            near = nearest(name, known) or f"; known are {', '.join(known)}"
            ctx.fail(f"there is no command {name!r:.80}{near}")
        return super().resolve_command(ctx, args)


# -- errors --------------------------------------------------------------------


def usage_error(error: click.UsageError) -> str:
    """Return a usage error as one line."""
    path = error.ctx.command_path if error.ctx else "nanoclaw"
    words = " ".join(_words(error).split()).removesuffix(".")
    return f"{path}: error: {words}; see `{path} --help`"


def _words(error: click.UsageError) -> str:
    match error:
        case click.MissingParameter(param=click.Parameter() as param):
            return f"{_name(param)} is missing"
        case click.BadParameter(param=click.Parameter() as param):
            return f"argument {_name(param)}: {error.message}"
        case click.NoSuchOption():
            near = nearest(error.option_name, error.possibilities or ())
            return f"there is no option {error.option_name:.80}{near}"
        case _ if error.message.startswith("Missing command"):
            return "a command is missing"
        case _:
            message = error.format_message()
            return message[:1].lower() + message[1:]


def _name(param: click.Parameter) -> str:
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name
