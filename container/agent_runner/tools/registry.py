"""The tools of a session: the built-in ones, and those that its provider adds while it is open."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property

from attrs import define, evolve, field

from agent_runner.errors import RunnerError, ToolError, ToolRegistrationError
from agent_runner.foreign import describe, foreign_code
from agent_runner.providers import Tool, ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext
from agent_runner.tools.schemas import Check, compile_schema

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names that the APIs of models accept."""
MOST_ADDED = 500
LONGEST_CALL = 86_400.0
"""Limit of a tool's timeout in seconds. The time to wait for people has the same limit."""
LONGEST_DESCRIPTION = 10_000
"""Characters."""

Run = Callable[[Mapping[str, object]], Awaitable[str]]


@define(eq=False)
class SessionTools:
    """Implements `agent_runner.providers.ToolRegistry`, and finds the tool that a call names."""

    _load: Callable[[], Mapping[str, BuiltinTool]]
    """Returns the built-in tools by name. It is called late: importing those of a sandbox takes time."""
    _added: dict[str, Tool] = field(factory=dict, init=False)
    _checks: dict[str, Check] = field(factory=dict, init=False)
    """Compiled schemas: of added tools at once, of built-in tools from their first call."""

    @cached_property
    def _builtin(self) -> Mapping[str, BuiltinTool]:
        return self._load()

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools that can be called now."""
        return [
            *(tool.spec for tool in self._builtin.values()),
            *(tool.spec for tool in self._added.values()),
        ]

    def add(self, tool: Tool, /) -> None:
        """Offer one more tool. Raises ToolRegistrationError."""
        _validate(tool)
        name = tool.spec.name
        if name in self._builtin or name in self._added:
            raise ToolRegistrationError(f"tool {name!r}: the name is taken; remove that tool first")
        if len(self._added) >= MOST_ADDED:
            raise ToolRegistrationError(f"tool {name!r}: {MOST_ADDED} tools were added already")
        self._checks[name] = compile_schema(name, tool.spec.parameters)
        self._added[name] = evolve(
            tool,
            run=_contained(name, tool.run),
            waits_for=tool.waits_for and _bounded(name, tool.waits_for),
        )

    def remove(self, name: str, /) -> None:
        """Withdraw an added tool. Raises ToolRegistrationError."""
        if name not in self._added:
            added = ", ".join(sorted(self._added)) or "none"
            raise ToolRegistrationError(
                f"tool {name!r} was not added, so it cannot be removed; added: {added}"
            )
        del self._added[name], self._checks[name]

    def find(self, name: str, context: ToolContext) -> Tool:
        """Return the tool of that name, bound to a turn. Raises ToolError."""
        if name in self._builtin:
            return self._builtin[name].bind(context)
        if name not in self._added:
            names = sorted([*self._builtin, *self._added])
            raise ToolError(f"there is no tool {name!r}; there are: {', '.join(names)}")
        return self._added[name]

    def check(self, name: str, arguments: object) -> None:
        """Raise ToolError unless the arguments fit the schema of the tool, which must exist."""
        if name not in self._checks:
            self._checks[name] = compile_schema(name, self._builtin[name].spec.parameters)
        self._checks[name](arguments)


def _validate(tool: Tool) -> None:
    """Refuse tools that models do not accept. Other people write added tools."""
    name, description = tool.spec.name, tool.spec.description
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ToolRegistrationError(f"tool {name!r:.80}: a name has 1 to 64 letters, digits, _ and -")
    if not isinstance(description, str) or not 0 < len(description) <= LONGEST_DESCRIPTION:
        raise ToolRegistrationError(
            f"tool {name!r}: a description has 1 to {LONGEST_DESCRIPTION:,} characters"
        )
    if not 0 < tool.timeout <= LONGEST_CALL:
        raise ToolRegistrationError(
            f"tool {name!r}: its timeout must be more than 0 and at most {LONGEST_CALL:.0f} seconds, "
            f"got {tool.timeout}"
        )


def _contained(name: str, run: Run) -> Run:
    """Turn an error of an added tool into an error text for the agent. The turn continues."""

    async def contained(arguments: Mapping[str, object]) -> str:
        try:
            with foreign_code(ToolError, RunnerError, Exception):
                result: object = await run(arguments)
        except (ToolError, RunnerError):
            raise
        except Exception as error:
            raise ToolError(f"{name} failed: {describe(error)}") from error
        if not isinstance(result, str):
            raise ToolError(f"{name} failed: it returned {type(result).__name__}, not text")
        return result

    return contained


def _bounded(
    name: str, wait: Callable[[Mapping[str, object]], float]
) -> Callable[[Mapping[str, object]], float]:
    """Bound the time that a call of an added tool may wait for people."""

    def bounded(arguments: Mapping[str, object]) -> float:
        try:
            return max(0.0, min(float(wait(arguments)), LONGEST_CALL))
        except Exception as error:
            raise ToolError(f"{name} failed: {type(error).__name__}: {error}") from error

    return bounded
