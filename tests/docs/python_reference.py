"""docs/python-reference.md: the public classes and functions, as their docstrings and fields have them.

    python -m tests.docs.python_reference --write

rewrites it; without `--write` it only says whether it is out of date.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from attrs import NOTHING, Factory, fields, frozen, has

from nanoclaw.testing.conformance import channel, lifecycle, provider, runtime, with_model
from tests.docs.configuration import words_of
from tests.docs.generated import cell, write_or_compare

PAGE = Path(__file__).parents[2] / "docs" / "python-reference.md"
WIDTH = 118
HEAD = """\
# Python reference

The values and protocols that programs, channels, providers, runtimes and tests build or read, made by
`make docs` from their docstrings. [The how-to pages](README.md#how-to-build-on-nanoclaw) say how to use them.

- Values are frozen attrs classes. A field without a default must be given.
- Times are aware datetimes, durations are seconds.
- "Contract 5" is section 5 of [the data contract](contract.md).
"""


@frozen
class Part:
    """A part of the page: names, by the module that they are imported from."""

    title: str
    words: str
    names: Mapping[str, Sequence[str]]


PARTS = (
    Part(
        "Run a host",
        "`host.admin` is in the reference of [the command line](cli.md#administration).",
        {
            "nanoclaw": ("open_host", "Host", "HostFailed", "load_config", "Control", "Seams", "Record"),
            "nanoclaw.logs": ("configure_logging",),
        },
    ),
    Part(
        "Its status",
        "What `host.status()` returns, and `nanoclaw status --json` prints.",
        {
            "nanoclaw": ("HostReport", "CannotTell"),
            "nanoclaw.records.status": (
                "ChannelReport",
                "SessionReport",
                "SessionDetails",
                "RunnerReport",
                "DeliveryReport",
            ),
        },
    ),
    Part(
        "What comes in",
        "A channel builds these values and offers them. An `Id` is a text of 1 to 1,000 characters, a `Name` "
        "one of at most 1,000, a `UserId` an `Id` with the network's prefix, such as `tg:123`. A value that "
        "does not fit raises `BadEvent`.",
        {
            "nanoclaw": (
                "Intake",
                "Address",
                "InboundEvent",
                "ChatMessage",
                "Attachment",
                "ReplyTo",
                "Clicked",
                "Deleted",
                "Reacted",
                "Webhook",
                "SdkMessage",
                "Attended",
                "ChatRenamed",
                "Joined",
                "Left",
                "Routed",
                "NotAccepted",
                "BadEvent",
            ),
        },
    ),
    Part(
        "What goes out",
        "A channel gets an `Outgoing` and returns a `Receipt`.",
        {
            "nanoclaw": (
                "Outgoing",
                "OutgoingContent",
                "TextContent",
                "EditContent",
                "ReactionContent",
                "QuestionContent",
                "CardEditContent",
                "Option",
                "CardContent",
                "OutgoingFile",
                "Receipt",
                "render",
            ),
        },
    ),
    Part(
        "A channel",
        "See [Write a channel](how-to/write-a-channel.md).",
        {
            "nanoclaw": (
                "Channel",
                "Sender",
                "DraftingSender",
                "SimpleChannel",
                "Capabilities",
                "Repeat",
                "DeliveryRejected",
                "ChannelUnavailable",
                "Unattended",
                "ChannelFactory",
                "ChannelContext",
                "ChannelState",
                "Lock",
                "BadState",
                "StateFull",
                "StateUnavailable",
            ),
        },
    ),
    Part(
        "The connection of a channel",
        "Parts for channels of networks. See [Write a channel](how-to/write-a-channel.md#connect).",
        {
            "nanoclaw.channels.handover": ("Handover",),
            "nanoclaw.channels.secrets": ("Secret",),
            "nanoclaw.channels.asyncio_loop": ("AsyncioLoop", "open_asyncio_loop"),
            "nanoclaw.channels.media": ("Media", "Files"),
            "nanoclaw.channels.fetching": ("fetched", "NotFetched"),
            "nanoclaw.channels.factory": ("ChannelSetup", "SetupQuestion", "Account", "SetupFailed"),
        },
    ),
    Part(
        "A provider",
        "These are of the runner, a process of its own. See [Write a provider](how-to/write-a-provider.md).",
        {
            "agent_runner.providers": (
                "Provider",
                "TurnHandler",
                "SimpleProvider",
                "ProviderContext",
                "ModelSettings",
            ),
            "agent_runner.records": ("Turn", "Inbound", "Sent", "Result", "Reply"),
            "agent_runner.errors": ("ProviderError", "ProviderFatal", "ToolError"),
        },
    ),
    Part(
        "A provider with a model",
        "The agent loop makes a provider of a client of a model's API.",
        {
            "agent_runner.loop": (
                "LoopProvider",
                "ModelClient",
                "ModelRequest",
                "Asked",
                "Said",
                "Returned",
                "Text",
                "Blob",
                "ToolCall",
                "ToolResult",
                "ModelReply",
                "Usage",
                "ModelError",
                "Problem",
            ),
        },
    ),
    Part(
        "A runtime",
        "See [Write a runtime](how-to/write-a-runtime.md).",
        {
            "nanoclaw.runtimes": (
                "Runtime",
                "RunnerSpec",
                "Mount",
                "Limits",
                "Runner",
                "Death",
                "StartFailed",
                "RuntimeFactory",
                "RuntimeContext",
            ),
        },
    ),
    Part(
        "Conformance suites",
        "An author supplies one of these values to each [check](#checks-of-a-channel). A check whose hook is "
        "missing is skipped, and says so. See "
        "[Test a channel, provider or runtime](how-to/test-a-channel-or-provider.md).",
        {
            "nanoclaw.testing.conformance": (
                "ChannelUnderTest",
                "Thread",
                "DirectChat",
                "ProviderUnderTest",
                "RuntimeUnderTest",
                "make_session",
                "Check",
                "NotConforming",
            ),
        },
    ),
    Part(
        "A fake model",
        "A model server for tests of providers and of whole agents.",
        {
            "nanoclaw.testing": (
                "open_fake_model",
                "FakeModel",
                "ModelRequest",
                "ModelAnswer",
                "ModelCall",
                "ModelUsage",
                "ModelFailure",
                "ModelBreak",
            ),
        },
    ),
    Part(
        "Worlds",
        "The calls of a world are on [its own page](simulation.md#world-reference).",
        {"nanoclaw.testing": ("Entry", "ExpectationFailed", "WorldError", "Standstill", "NotSimulated")},
    ),
)


SUITES: Mapping[str, Sequence[Callable[..., object]]] = {
    "channel": channel.CHECKS,
    "provider": (*provider.CHECKS, *lifecycle.CHECKS, *with_model.CHECKS),
    "runtime": runtime.CHECKS,
}
HOOK = re.compile(r"\bhook\(it\.(\w+)")


def page() -> str:
    """Return the whole page."""
    lines = HEAD.splitlines()
    for part in PARTS:
        lines += ["", f"## {part.title}", "", *textwrap.wrap(part.words, WIDTH)]
        for module, names in part.names.items():
            for name in names:
                lines += ["", f"### {name}", "", f"`from {module} import {name}`", ""]
                lines += _entry(module, name)
    for suite, checks in SUITES.items():
        lines += ["", f"## Checks of a {suite}", "", "| check | hooks | what it requires |", "|---|---|---|"]
        lines += map(_check, checks)
    return "\n".join(lines).rstrip() + "\n"


def _check(check: Callable[..., object]) -> str:
    hooks = ", ".join(f"`{name}`" for name in dict.fromkeys(HOOK.findall(_source_with_helpers(check))))
    return f"| `{check.__name__}` | {hooks} | {' '.join((check.__doc__ or '').split())} |"


def _source_with_helpers(check: Callable[..., object]) -> str:
    """Return the source of a check, and of the functions of its module that it names."""
    source = inspect.getsource(check)
    helpers = vars(inspect.getmodule(check)).items()
    used = [
        found
        for name, found in helpers
        if inspect.isfunction(found)
        and found is not check
        and found.__module__ == check.__module__
        and re.search(rf"\b{name}\(", source)
    ]
    return source + "".join(map(inspect.getsource, used))


def _entry(module: str, name: str) -> Iterator[str]:
    found: Any = getattr(import_module(module), name)
    if inspect.isclass(found):
        yield from _class(found)
    elif values := get_args(found):
        names = [f"`{getattr(each, '__name__', each)}`" for each in values]
        yield f"One of {', '.join(names)}."
    else:
        yield from ["```py", *_signature(found), "```", "", *_paragraphs(found)]


def _class(cls: type) -> Iterator[str]:
    yield from _paragraphs(cls)
    if has(cls) and (rows := list(_fields(cls))):
        yield from ["", "| field | type | default | meaning |", "|---|---|---|---|", *rows]
    if rows := list(_methods(cls)):
        yield from ["", "| method or property | meaning |", "|---|---|", *rows]


def _fields(cls: type) -> Iterator[str]:
    words, types = words_of(cls), _annotations(cls)
    for field in fields(cls):
        if field.init and not field.name.startswith("_") and field.name in types:
            default = "" if field.default is NOTHING else f"`{_default(field.default)}`"
            kind, meaning = cell(types[field.name]), cell(words.get(field.name, ""))
            yield f"| `{field.name}` | `{kind}` | {default} | {meaning} |"


def _default(value: object) -> str:
    if isinstance(value, Factory):  # type: ignore[arg-type]  # at run time it is a class
        name = getattr(value.factory, "__name__", "…")  # type: ignore[attr-defined]
        return {"dict": "{}", "list": "[]"}.get(name, f"{name}()")
    if callable(value):
        return getattr(value, "__name__", "…")
    return f'"{value}"' if isinstance(value, str) else str(value)


def _annotations(cls: type) -> Mapping[str, str]:
    return {
        ast.unparse(each.target): ast.unparse(each.annotation)
        for each in _body(cls)
        if isinstance(each, ast.AnnAssign)
    }


def _methods(cls: type) -> Iterator[str]:
    for each in _body(cls):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith("_"):
            yield f"| `{cell(_call(each))}` | {cell(' '.join((ast.get_docstring(each) or '').split()))} |"


def _call(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return a method as its caller writes it: `await deliver(outgoing)`."""
    decorators = [ast.unparse(each) for each in function.decorator_list]
    if {"property", "cached_property"} & set(decorators):
        return function.name
    arguments = function.args
    given = [
        each.arg for each in (*arguments.posonlyargs, *arguments.args) if each.arg not in {"self", "cls"}
    ]
    given += [f"{each.arg}=…" for each in arguments.kwonlyargs]
    managed = "async with " if "asynccontextmanager" in decorators else ""
    waits = "await " if isinstance(function, ast.AsyncFunctionDef) and not managed else ""
    return f"{managed or waits}{function.name}({', '.join(given)})"


def _body(cls: type) -> Sequence[ast.stmt]:
    [source] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(source, ast.ClassDef)
    return source.body


def _signature(function: Any) -> Iterator[str]:
    """Return the head of a function, one line a parameter."""
    [source] = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body
    assert isinstance(source, ast.FunctionDef | ast.AsyncFunctionDef)
    decorators = [ast.unparse(each) for each in source.decorator_list]
    waits = isinstance(source, ast.AsyncFunctionDef) and "asynccontextmanager" not in decorators
    begin = "await " if waits else "async with " if isinstance(source, ast.AsyncFunctionDef) else ""
    yield f"{begin}{source.name}("
    arguments = source.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    for each, default in zip(positional, [*defaults, *arguments.defaults], strict=True):
        yield _parameter(each, default)
    if arguments.kwonlyargs:
        yield "    *,"
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(each, default)
    yield f") -> {ast.unparse(source.returns) if source.returns else None}"


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    return f"    {argument.arg}{kind}{f' = {ast.unparse(default)}' if default is not None else ''},"


def _paragraphs(documented: object) -> Iterator[str]:
    """Return a docstring with lines of the page's width. An example, which is indented, stays as it is."""
    for n, paragraph in enumerate((inspect.getdoc(documented) or "").split("\n\n")):
        if n:
            yield ""
        if paragraph.startswith(("Raises:", "Args:")):
            yield from _listed(paragraph)
        elif paragraph.startswith((" ", "@")):
            yield from ["```py", *textwrap.dedent(paragraph).splitlines(), "```"]
        else:
            yield from textwrap.wrap(paragraph, WIDTH)


def _listed(paragraph: str) -> Iterator[str]:
    """Return errors or arguments as a list. A line that is indented further continues the one before."""
    head, *lines = paragraph.split("\n")
    yield from [head, ""]
    items = "\n".join(lines).replace("\n        ", " ").splitlines()
    for item in items:
        yield from textwrap.wrap(f"- {item.strip()}", WIDTH, subsequent_indent="  ")


if __name__ == "__main__":
    sys.exit(write_or_compare(PAGE, page(), sys.argv[1:]))
