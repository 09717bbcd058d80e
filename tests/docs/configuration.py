"""The generated part of docs/configuration.md: the keys, as the classes of their tables have them.

    python -m tests.docs.configuration --write

rewrites it; without `--write` it only says whether it is out of date.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, get_args, get_origin

from attrs import NOTHING, Attribute, Factory, fields, has, resolve_types

from nanoclaw.agents import ContainerConfig, Grant, LimitsConfig, McpServer, PackagesConfig
from nanoclaw.channels.factory import GROUP, ChannelFactory
from nanoclaw.config import Config
from nanoclaw.config.entry_points import load
from nanoclaw.config.keys import KEYS, OLD_NAMES, in_table
from nanoclaw.config.kinds import Bytes
from nanoclaw.config.model import FallbackConfig, ModelLayer
from nanoclaw.config.structure import APART, wanted
from tests.docs.generated import write_or_compare

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def words_of(cls: type) -> Mapping[str, str]:
    """Return the text below each field of a class in the source."""
    [source] = ast.parse(dedent(inspect.getsource(cls))).body
    assert isinstance(source, ast.ClassDef)
    return {
        ast.unparse(field.target): " ".join(str(text.value.value).split())
        for field, text in pairwise(source.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def default(value: object) -> str:
    """Return a default as written in the file."""
    if isinstance(value, tuple):
        return f"`[{', '.join(default(item).strip('`') for item in value)}]`"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{str(value).removesuffix('.0')}`"


def is_size(kind: Any) -> bool:
    return get_origin(kind) is Annotated and any(isinstance(each, Bytes) for each in get_args(kind))


def size(default: Any) -> str:
    return f'`"{default >> 30}G"`'


def keys() -> Iterator[str]:
    """Return one table of the page for each table of the file."""
    for table in dict.fromkeys(key.path[:-1] for key in KEYS):
        cls: Any = Config
        for name in table:
            cls = {field.name: field.type for field in fields(resolve_types(cls))}[name]
        words = words_of(cls)
        if table:
            yield f"### `[{'.'.join(table)}]`\n\n{cls.__doc__}\n"
        yield "| key | must be | default | meaning |\n|---|---|---|---|"
        for key in KEYS:
            if key.path[:-1] == table:
                own = {"data": "`<home>/data`", "groups": "`<home>/groups`", "timezone": "the system's"}
                shown = own.get(key.name) or (
                    size(key.default) if is_size(key.type) else default(key.default)
                )
                yield f"| `{key.path[-1]}` | {wanted(key.type)} | {shown} | {words.get(key.path[-1], '')} |"
                yield from (
                    f"| `{key.path[-1]}.{field.name}` | {wanted(field.type)} | none | {text} |"
                    for field, text in inner_keys(key.type)
                )
        yield ""


def inner_keys(kind: Any) -> Iterator[tuple["Attribute[Any]", str]]:
    """Return the keys of an optional table within a table, if it has keys of its own."""
    if get_origin(kind) is Annotated:
        return
    for cls in get_args(kind):
        if isinstance(cls, type) and has(cls) and cls is not FallbackConfig:
            yield from ((field, words_of(cls)[field.name]) for field in fields(resolve_types(cls)))


def container() -> Iterator[str]:
    """The keys of `container.json`, those of objects within it below their own."""
    yield "| key | must be | meaning |\n|---|---|---|"
    below = {
        "mcp_servers": (".<name>.", McpServer),
        "mounts": ("[].", Grant),
        "limits": (".", LimitsConfig),
        "packages": (".", PackagesConfig),
        "model": (".", ModelLayer),
    }
    for field in fields(resolve_types(ContainerConfig)):
        if APART in field.metadata:
            continue
        yield json_row(ContainerConfig, field, "")
        if field.name in below:
            joint, cls = below[field.name]
            yield from (
                json_row(cls, inner, camel(field.name) + joint) for inner in fields(resolve_types(cls))
            )


def json_row(cls: type, field: "Attribute[Any]", above: str) -> str:
    needed = " It must be given." if field.default is NOTHING else ""
    kind = wanted(field.type).replace("a table", "an object")
    words = {name: text for each in reversed(cls.__mro__[:-1]) for name, text in words_of(each).items()}
    return f"| `{above}{camel(field.name)}` | {kind} | {words.get(field.name, '')}{needed} |"


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def old() -> Iterator[str]:
    yield "| old | now |\n|---|---|"
    yield from (f"| `{name}` | `{in_table(new)}` |" for name, new in OLD_NAMES.items())


def channels() -> Iterator[str]:
    """Return one table of the page for each type of channel that comes with NanoClaw."""
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        if point.dist is None or point.dist.name != "nanoclaw":
            continue
        cls = load(GROUP, point.name, ChannelFactory, where=point.name).config
        yield f"### `[channels.{point.name}]`\n\n{str(cls.__doc__).splitlines()[0]}\n"
        yield "| key | must be | default | meaning |\n|---|---|---|---|"
        words = words_of(cls)
        for field in fields(resolve_types(cls)):
            must = " It must be given." if field.default is NOTHING else ""
            shown = default(None if isinstance(field.default, Factory) or must else field.default)  # type: ignore[arg-type]  # Factory is a class
            kind = wanted(field.type).replace("|", "\\|")
            yield f"| `{field.name}` | {kind} | {shown} | {words.get(field.name, '')}{must} |"
        yield ""


BLOCKS: Mapping[str, Callable[[], Iterator[str]]] = {
    "keys": keys,
    "channels": channels,
    "container": container,
    "old": old,
}


def up_to_date(text: str) -> str:
    """Return the page with up-to-date blocks."""
    return BLOCK.sub(lambda block: f"{block[1]}{chr(10).join(BLOCKS[block[2]]()).strip()}\n{block[3]}", text)


if __name__ == "__main__":
    sys.exit(write_or_compare(PAGE, up_to_date(PAGE.read_text("utf-8")), sys.argv[1:]))
