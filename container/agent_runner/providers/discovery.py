"""Finds a provider by its name: a built-in one, or one of an installed package.

A built-in one is a module of this package with `create() -> Provider`, listed in `PROVIDERS`. A package
offers one as an entry point of the group `nanoclaw.providers` whose object makes a Provider. A provider is
imported only when it is chosen, so a runner loads only the libraries that it needs.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from agent_runner.errors import ConfigError, ProviderError
from agent_runner.foreign import describe
from agent_runner.providers.protocol import Provider
from agent_runner.providers.variables import with_advice

PROVIDERS: Mapping[str, str] = {
    name: f"agent_runner.providers.{name}" for name in ("anthropic", "claude", "echo", "openai", "scripted")
}
GROUP = "nanoclaw.providers"


def load(name: str, given: Mapping[str, Callable[[], Provider]] | None = None) -> Provider:
    """Return the provider of that name: a given one, else a built-in one, else an installed one.

    Raises ConfigError if it is unknown or cannot be created.
    """
    make = (given or {}).get(name) or (_builtin(name) if name in PROVIDERS else _installed(name))
    try:
        provider = make()
    except Exception as error:
        reason = with_advice(str(error) if isinstance(error, ProviderError) else describe(error))
        raise ConfigError(f"AGENT_PROVIDER={name!r} cannot be created: {reason}") from error
    if not callable(getattr(provider, "open", None)):
        raise ConfigError(
            f"AGENT_PROVIDER={name!r} makes {type(provider).__name__}, which has no method `open`; "
            "SimpleProvider has one"
        )
    return provider


def _builtin(name: str) -> Callable[[], Provider]:
    return lambda: cast("Provider", import_module(PROVIDERS[name]).create())


def _installed(name: str) -> Callable[[], Provider]:
    from importlib.metadata import entry_points  # noqa: PLC0415 -- takes 20 ms, which built-in ones do not need

    found = {entry.value: entry for entry in entry_points(group=GROUP, name=name)}
    if not found:
        names = sorted({*PROVIDERS, *entry_points(group=GROUP).names})
        raise ConfigError(f"AGENT_PROVIDER={name!r} is unknown; known: {', '.join(names)}")
    if len(found) > 1:
        raise ConfigError(
            f"AGENT_PROVIDER={name!r} is offered by {len(found)} installed packages: "
            f"{', '.join(sorted(found))}; uninstall all but one"
        )
    [entry] = found.values()
    return lambda: cast("Provider", entry.load()())
