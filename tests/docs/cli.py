"""docs/cli.md: the reference of the command line, made of the commands themselves.

    python -m tests.docs.cli --write

rewrites it; without `--write` it only says whether it is out of date.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from nanoclaw.cli.parsing import LAST_SECTION
from nanoclaw.cli.root import COMMANDS, nanoclaw
from nanoclaw.operations import Catalogue, Operation, Right
from nanoclaw.operations.admin import NOUNS
from tests.docs.generated import cell, write_or_compare

WIDTH = 120
PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
OWN = Catalogue.of(NOUNS)
WORDS = {Right.MEMBER: "member", Right.ADMIN: "admin", Right.OWNER: "owner"}
HEAD = """\
# The command line

The reference of every command, made by `make docs` from the commands themselves.
[The how-to pages](README.md#how-to-run-a-host) say how to use them.

Every command that works on a home takes `--home`, `--data`, `--groups` and `--config`, after its name as well
as before it: `nanoclaw --home DIR members list` and `nanoclaw members list --home DIR` are the same.
`simulate`, `replay` and `completion` need no home.
`nanoclaw COMMAND --help` shows what stands here.

## Commands
"""
NOUNS_HEAD = """\
## Administration

`nanoclaw NOUN VERB` works through the running host, and on the files when none runs. Exit codes: 0 it is
done; 1 it was refused, nothing was changed, and stderr says why in one line; 2 the arguments, the
configuration or the data cannot be used.

You know things by the names that people use:

- an **agent** by its folder, name or id;
- a **chat** by `channel:platform_id` (`cli:notes`), its name or id;
- a **user** by its whole id (`tg:123`), never by a name, which users choose themselves;
- a **session** by its id, or by its chat and thread (`cli:notes/7`);
- a **wiring** by its id, by `chat=agent`, or by its chat where only one agent listens there;
- a **task**, **message**, **question** or **approval** by its id, the first two also as `SESSION/ID`.

The first three or more characters of an id will do where only one begins so, but not for users.

`--json` prints JSON, for programs: a list of objects for a list, else one object. A command that destroys
something asks on a terminal, and needs `--yes` without one.

**Rights.** At the command line you are the owner, `cli:local`. The right below each operation is the least
that a user of a chat network needs for the same. An *owner* may do everything. An *admin* is one of the
agent that the operation concerns; where it concerns none, or all, a global admin. A *member* may talk to
the agent.

**Other ways in.** The operations are methods of the [control socket](control-protocol.md), such
as `{"v": 1, "id": 1, "method": "members.add", "params": {"user": "tg:2", "agent": "helper"}}`, and calls of
`host.admin` in Python ([how to](how-to/administer-from-a-program.md)). A package adds a noun of its own by
an entry point of the group `nanoclaw.operations`.
"""


def page() -> str:
    """Return the whole page."""
    with nanoclaw.make_context("nanoclaw", ["tree"], resilient_parsing=True) as context:
        lines = [*HEAD.splitlines(), *_commands(context), "", *NOUNS_HEAD.splitlines()]
        for name in OWN.nouns:
            lines += _noun(context, name)
    return "\n".join(lines).rstrip() + "\n"


def _commands(context: click.Context) -> Iterator[str]:
    for name in COMMANDS:
        command = nanoclaw.get_command(context, name)
        if command is None:
            continue
        yield ""
        yield from _command(context, command, f"### nanoclaw {name}")
        if isinstance(command, click.Group):
            with click.Context(command, context, name) as inner:
                for verb in command.list_commands(inner):
                    found = command.get_command(inner, verb)
                    if found is not None:
                        yield ""
                        yield from _command(inner, found, f"#### {name} {verb}")


def _noun(context: click.Context, name: str) -> Iterator[str]:
    group = nanoclaw.get_command(context, name)
    assert isinstance(group, click.Group)
    yield ""
    yield f"### nanoclaw {name}"
    yield ""
    yield group.help or ""
    for operation in OWN.of_noun(name):
        yield ""
        yield from _operation(context, group, operation)
    operations = {operation.verb for operation in OWN.of_noun(name)}
    with click.Context(group, context, name) as inner:
        for verb in group.list_commands(inner):
            command = group.get_command(inner, verb)
            if verb not in operations and command is not None:
                yield ""
                yield from _own(inner, command, f"{name} {verb}")


def _own(context: click.Context, command: click.Command, words: str) -> Iterator[str]:
    """Write a command that is more than an operation, and those below it."""
    yield from _command(context, command, f"#### {words}")
    if isinstance(command, click.Group):
        with click.Context(command, context, command.name) as inner:
            for name in command.list_commands(inner):
                found = command.get_command(inner, name)
                if found is not None:
                    yield ""
                    yield from _command(inner, found, f"##### {words} {name}")


def _operation(context: click.Context, group: click.Group, operation: Operation) -> Iterator[str]:
    with click.Context(group, context, operation.noun) as inner:
        command = group.get_command(inner, operation.verb)
        assert command is not None
        yield from _command(inner, command, f"#### {operation.words}")
    right = f"Right: {WORDS[operation.declared.right]}."
    yield ""
    yield f"{right} It asks first." if operation.declared.asks else right


def _command(context: click.Context, command: click.Command, head: str) -> Iterator[str]:
    with click.Context(command, context, command.name) as inner:
        params = [each for each in command.params if getattr(each, "section", "") != LAST_SECTION]
        words = [_usage(each) for each in params if isinstance(each, click.Argument)]
        yield head
        yield ""
        yield f"`{' '.join([inner.command_path, *words, '[OPTIONS]'])}`"
        yield ""
        yield from textwrap.wrap(" ".join((command.help or "").split()), WIDTH)
        records = [record for each in params if (record := _record(each)) and each.name != "as_json"]
        if records:
            yield ""
            yield "| argument or option | meaning |"
            yield "|---|---|"
            yield from (f"| `{name}` | {text} |" for name, text in records)
        if command.epilog and command.name in COMMANDS:
            yield ""
            yield from textwrap.wrap(command.epilog, WIDTH)


def _usage(argument: click.Argument) -> str:
    name = _values(argument) or (argument.name or "").upper()
    name += "..." if argument.nargs != 1 else ""
    return name if argument.required else f"[{name}]"


def _record(param: click.Parameter) -> tuple[str, str]:
    """Return a parameter's name and meaning, independent of click's version."""
    if isinstance(param, click.Argument):
        return _usage(param).strip("[]"), getattr(param, "words", "")
    assert isinstance(param, click.Option)
    names = ", ".join([*param.opts, *param.secondary_opts])
    return f"{names} {_values(param)}".strip() if not param.is_flag else names, cell(param.help or "")


def _values(param: click.Parameter) -> str:
    choices = getattr(param.type, "choices", None)
    return "\\|".join(choices) if choices else param.metavar or ""


if __name__ == "__main__":
    sys.exit(write_or_compare(PAGE, page(), sys.argv[1:]))
