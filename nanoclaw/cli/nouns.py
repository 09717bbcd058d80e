"""The commands of the nouns, generated from the list of operations: `nanoclaw NOUN VERB`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

import click
import trio

from nanoclaw.cli.asking_commands import AS_JSON
from nanoclaw.cli.client import until_signal
from nanoclaw.cli.completion import completed, completed_from_list
from nanoclaw.cli.output import show, tell
from nanoclaw.cli.parsing import Command, DescribedArgument, Group, SectionOption
from nanoclaw.cli.performing import Call, perform
from nanoclaw.cli.places import Places, options, with_places
from nanoclaw.cli.tables import shown
from nanoclaw.config import Config, ConfigError, load_config
from nanoclaw.operations import BadNoun, Catalogue, Operation, Parameter
from nanoclaw.operations.references import KINDS

OWN = {"channels": "nanoclaw.cli.channels_commands"}
"""The modules with commands of their own for a noun, besides its operations."""
REFUSED = 1
"""Exit code: the operation was refused, and nothing was changed."""
CODES = (
    "Works through the running host, and on the files when none runs. Exit codes: 0 done; 1 refused, and "
    "stderr says why; 2 the arguments, the configuration or the data cannot be used."
)


@cache
def catalogue() -> Catalogue:
    """Return the list of operations. Raises UsageError: an installed package offers a bad one."""
    try:
        return Catalogue.installed()
    except BadNoun as error:
        raise click.UsageError(str(error)) from error


def noun_names() -> list[str]:
    """Return the nouns, in the order of the documentation."""
    return [name.replace("_", "-") for name in catalogue().nouns]


def noun_group(name: str) -> click.Group | None:
    """Return the group of a noun; None if there is none with that name."""
    name = name.replace("-", "_")
    noun = catalogue().nouns.get(name)
    if noun is None:
        return None
    commands = {each.verb: _command(each) for each in catalogue().of_noun(name)} | own_commands(name)
    group = Group(
        name.replace("_", "-"), commands=commands, help=_sentence(noun.summary), no_args_is_help=False
    )
    group.short_help = noun.summary
    group.params = list(options())
    group.callback = with_places(_nothing)
    alone = catalogue().operations.get(f"{name}.{noun.alone}")
    if alone is not None:
        group.invoke_without_command = True
        group.params = commands[alone.verb].params
        group.callback = with_places(partial(_alone, alone))
    return group


def own_commands(noun: str) -> dict[str, click.Command]:
    """Return the commands of a noun that are more than one operation, by verb. They take the place of it."""
    module = OWN.get(noun)
    return {} if module is None else dict(import_module(module).commands())


def _alone(operation: Operation, places: Places, **values: Any) -> int:
    """Perform the operation that the noun alone stands for, unless a verb is named."""
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    return _performed(operation, places, **values)


def _nothing(places: Places) -> int:  # noqa: ARG001 -- remembered for the command that follows
    return 0


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(("?", ".")) else ".")


# -- parameters ----------------------------------------------------------------


class JsonObject(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on only
    """A JSON object."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse a text into an object."""
        if isinstance(value, dict):
            return value
        try:
            found = json.loads(value)
        except (ValueError, RecursionError) as error:
            self.fail(f"must be a JSON object, got {value!r:.60}: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail(f"must be a JSON object, got {value!r:.60}", param, ctx)
        return found


class Choice(click.Choice[str]):
    """A choice from a closed set; an error suggests the nearest value."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:  # noqa: ARG002 -- click's
        """Return the text of the error."""
        from nanoclaw.config.nearest import nearest  # noqa: PLC0415 -- only for errors

        near = nearest(str(value), map(str, self.choices))
        return f"must be one of {', '.join(map(str, self.choices))}, got {value!r:.60}{near}"


def _type(parameter: Parameter) -> Any:
    if parameter.choices:
        return Choice(parameter.choices)
    if parameter.is_json:
        return JsonObject()
    return int if parameter.base is int else str


def _complete(parameter: Parameter) -> Any:
    reference, listed = parameter.reference, parameter.listed
    if listed is not None:
        return lambda context, _param, incomplete: completed_from_list(context, listed, incomplete)
    if reference is None or reference.kind not in KINDS:
        return None
    return lambda context, _param, incomplete: completed(context, reference.kind, incomplete)


def _click_parameter(parameter: Parameter) -> click.Parameter:
    if parameter.argument:
        return DescribedArgument(
            [parameter.label],
            type=_type(parameter),
            required=parameter.required,
            help=parameter.help,
            shell_complete=_complete(parameter),
        )
    if parameter.base is bool:
        names = f"{parameter.flag}/--no-{parameter.label}" if parameter.default is None else parameter.flag
        return SectionOption([parameter.label, names], is_flag=True, default=None, help=parameter.help)
    return SectionOption(
        [parameter.label, parameter.flag],
        type=_type(parameter),
        required=parameter.required,
        help=parameter.help + _default(parameter),
        metavar=_metavar(parameter),
        shell_complete=_complete(parameter),
    )


def _default(parameter: Parameter) -> str:
    return "" if parameter.default is None else f"; default: {parameter.default}"


def _metavar(parameter: Parameter) -> str | None:
    if parameter.choices:
        return None
    if parameter.is_json:
        return "JSON"
    return "N" if parameter.base is int else parameter.label.rpartition("_")[2].upper()


# -- commands ------------------------------------------------------------------


def _command(operation: Operation) -> click.Command:
    details = f" {operation.details}" if operation.details else ""
    command = Command(
        operation.verb,
        help=f"{operation.summary}{details}",
        short_help=operation.summary.removesuffix("."),
        epilog=CODES,
        callback=with_places(partial(_performed, operation)),
        params=[_click_parameter(each) for each in operation.parameters],
    )
    command.params += [SectionOption(["--json", "as_json"], is_flag=True, help=AS_JSON)]
    if operation.declared.asks:
        command.params += [SectionOption(["--yes"], is_flag=True, help="do not ask whether it is meant")]
    command.params += options()
    return command


def _performed(
    operation: Operation, places: Places, *, as_json: bool, yes: bool = False, **values: object
) -> int:
    """Perform an operation and print its result; returns the exit code."""
    params = {label: value for label, value in values.items() if value is not None}
    config = load_config(home=places.home, file=places.config, flags=places.flags)
    call = partial(_call, config)
    if operation.declared.asks and not yes:
        code, question = call(Call(operation, params, asks=True))
        if code:
            return code
        if not _meant(str(question)):
            tell("nanoclaw: nothing was changed")
            return REFUSED
    code, result = call(Call(operation, params))
    if code == 0:
        with _done_all_the_same(operation):
            _show(operation, result, ZoneInfo(config.timezone), as_json=as_json)
    return code


@contextmanager
def _done_all_the_same(operation: Operation) -> Iterator[None]:
    """Say in the error of an unwritable output that the change was made."""
    try:
        yield
    except ConfigError as error:
        if operation.declared.reads:
            raise
        raise ConfigError(f"{error}; {operation.words} is done all the same") from error


def _call(config: Config, call: Call) -> tuple[int, Any]:
    """Make a call; return the exit code, and the result if that is 0."""
    result = list[Any]()

    async def main() -> int:
        return await perform(config, catalogue(), call, result)

    code = trio.run(until_signal, main)
    return (code, result[0]) if result else (code or REFUSED, None)


def _meant(question: str) -> bool:
    """Ask a person to confirm. Raises UsageError if there is no terminal to ask at."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(
            f"{question} There is no terminal to ask at. Say --yes to do it", click.get_current_context()
        )
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        return False


def _show(operation: Operation, result: Any, zone: ZoneInfo, *, as_json: bool) -> None:
    if as_json:
        show(json.dumps(result, indent=2, ensure_ascii=False))
        return
    if isinstance(result, list) and not result:
        show("none")
        return
    columns = _columns(operation)
    if isinstance(result, dict) and not result.keys() >= set(columns):
        columns = ()  # it is no row of the list
    show(shown(result, columns, zone))


def _columns(operation: Operation) -> tuple[str, ...]:
    """Return the columns of a table. The result of a change is shown like its noun's list."""
    declared = operation.declared
    if declared.columns or declared.reads:
        return declared.columns
    listing = catalogue().operations.get(f"{operation.noun}.list")
    return listing.declared.columns if listing else ()
