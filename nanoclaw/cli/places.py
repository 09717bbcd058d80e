"""Options for folders and files, which every command accepts before and after its name."""

from collections.abc import Callable, Mapping
from functools import update_wrapper
from pathlib import Path
from typing import Any, TypeVar

import click
from attrs import frozen

from nanoclaw.cli.parsing import FILE, Folder, SectionOption
from nanoclaw.cli.parsing import LAST_SECTION as SECTION

F = TypeVar("F", bound=Callable[..., Any])


@frozen
class Places:
    """The places that a command line names; None for each that it does not name."""

    home: Path | None = None
    data: str | None = None
    groups: str | None = None
    config: Path | None = None

    @property
    def flags(self) -> Mapping[str, str | None]:
        """The places that are keys of the configuration."""
        return {"data": self.data, "groups": self.groups}

    def within(self, outer: "Places") -> "Places":
        """Return these places, filled from those of an outer command."""
        return Places(
            self.home or outer.home,
            self.data if self.data is not None else outer.data,
            self.groups if self.groups is not None else outer.groups,
            self.config or outer.config,
        )


def options() -> list[click.Option]:
    """Return the options; each command gets its own copies."""
    return [
        SectionOption(
            ["--home"],
            section=SECTION,
            type=Folder(),
            metavar="DIR",
            help="default: $NANOCLAW_HOME or ~/.nanoclaw",
        ),
        SectionOption(
            ["--data"], section=SECTION, metavar="DIR", help="databases and sessions; default: <home>/data"
        ),
        SectionOption(
            ["--groups"], section=SECTION, metavar="DIR", help="the agents' folders; default: <home>/groups"
        ),
        SectionOption(
            ["--config"],
            section=SECTION,
            type=FILE,
            metavar="FILE",
            help="default: <home>/config.toml, made at the first run",
        ),
    ]


def taken(context: click.Context, values: dict[str, Any]) -> Places:
    """Remove the places from a command's values and return them; inner commands inherit them."""
    own = Places(*(values.pop(key, None) for key in ("home", "data", "groups", "config")))
    outer = context.find_object(Places) or Places()
    context.obj = places = own.within(outer)
    return places


def with_places(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options; its function gets `places`."""

    def callback(**values: Any) -> int:
        values["places"] = taken(click.get_current_context(), values)
        return function(**values)

    wrapped = update_wrapper(callback, function)
    wrapped.__click_params__ = [  # type: ignore[attr-defined]  # where click's own decorators keep them
        *reversed(options()),
        *getattr(function, "__click_params__", []),
    ]
    return wrapped
