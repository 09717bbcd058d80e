"""The doctor's look at the configured models: their keys, their SDKs, and whether their servers know them."""

import stat
from collections.abc import Iterator, Mapping
from functools import partial

import trio

from nanoclaw.cli.config_checks import read_containers
from nanoclaw.cli.doctor.findings import Finding, Level
from nanoclaw.config import Config
from nanoclaw.config.model import ModelLayer
from nanoclaw.gateway import Model, SessionModels, resolve
from nanoclaw.setup.sdk import missing_sdk
from nanoclaw.setup.targets import Target
from nanoclaw.setup.trial import asked, listed
from nanoclaw.setup.verdicts import Outcome

PASSING = {Outcome.BUSY, Outcome.SILENT}
"""Outcomes that may be gone at the next look."""


async def models(config: Config, *, call: bool) -> list[Finding]:
    """Look at each configured model. `call` asks each for a few words, which costs a little."""
    targets = await trio.to_thread.run_sync(targets_of, config)
    found: dict[str, list[Finding]] = {
        area: list(_without_asking(area, its)) for area, its in targets.items()
    }
    async with trio.open_nursery() as nursery:
        for area, target in targets.items():
            if target.has_model:
                nursery.start_soon(partial(_ask, area, target, found[area], call=call))
    return [finding for its in found.values() for finding in its]


def targets_of(config: Config) -> Mapping[str, Target]:
    """Return the configured models by their places: of the configuration, then others of agents. Blocking."""
    found = dict(_targets("", resolve(config.model)))
    containers, _ = read_containers(config.groups)  # what cannot be read is reported with the configuration
    for folder, container in containers.items():
        layers = ModelLayer(provider=container.provider), container.model
        for area, target in _targets(f" of {folder}", resolve(config.model, layers)):
            if target not in found.values():
                found[area] = target
    return found


def _targets(whose: str, models: SessionModels) -> Iterator[tuple[str, Target]]:
    yield f"model{whose}", _target(models.first)
    if models.fallback is not None:
        yield f"fallback{whose}", _target(models.fallback)


def _target(model: Model) -> Target:
    return Target(model.provider, model.name or None, model.base_url, model.key)


def _without_asking(area: str, target: Target) -> Iterator[Finding]:
    if target.provider == "echo":
        yield Finding(area, "ok", "echo: it repeats what it is told; `nanoclaw setup` chooses a model")
    elif not target.has_model:
        yield Finding(area, "ok", f"the provider {target.provider} is not one whose server is known here")
    if (missing := missing_sdk(target.provider)) is not None:
        yield Finding(area, "problem", missing.text, missing.advice)
    yield from _key_file(area, target)


def _key_file(area: str, target: Target) -> Iterator[Finding]:
    file = target.key.file if target.key is not None else None
    try:
        mode = file.stat().st_mode if file is not None else 0
    except OSError:  # reported when it is read
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"the file of the key, {file}, is open to others ({stat.filemode(mode)})"
        yield Finding(area, "problem" if mode & stat.S_IROTH else "warning", text, f"`chmod 600 {file}`")


async def _ask(area: str, target: Target, found: list[Finding], *, call: bool) -> None:
    verdict = await listed(target)
    if verdict.fine and call:
        verdict = await asked(target)
    bad: Level = "warning" if verdict.outcome in PASSING else "problem"
    found.append(Finding(area, "ok" if verdict.fine else bad, verdict.text, verdict.advice))
