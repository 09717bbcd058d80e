"""The doctor's look at the configured channels: their packages, their secrets, and their networks."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio
from attrs import fields, has

from nanoclaw.channels.extras import install_command, missing_packages
from nanoclaw.channels.factory import Account, ChannelSetup, ConfiguredChannel, context_of, read_channels
from nanoclaw.cli.channels_adding import asked
from nanoclaw.cli.doctor.findings import Finding
from nanoclaw.config import Config
from nanoclaw.config.model import KeyConfig
from nanoclaw.gateway.keys import missing


async def channels(config: Config) -> list[Finding]:
    """Look at each channel that can be read. Those that cannot are reported with the configuration."""
    read, _ = await trio.to_thread.run_sync(read_channels, config.channels, config.home)
    found: dict[str, list[Finding]] = {each.name: [] for each in read}
    async with trio.open_nursery() as nursery:
        for each in read:
            nursery.start_soon(_look, config, each, found[each.name])
    return [finding for its in found.values() for finding in its]


async def _look(config: Config, channel: ConfiguredChannel, found: list[Finding]) -> None:
    area = f"channel {channel.name}"
    found += await trio.to_thread.run_sync(lambda: list(_of_machine(config, channel, area)))
    if any(each.level == "problem" for each in found):
        return
    if channel.factory.setup is None:
        found.append(Finding(area, "ok", "it is configured; it has no check of its own"))
        return
    found.append(await _of_network(config, channel, channel.factory.setup, area))


async def _of_network(
    config: Config, channel: ConfiguredChannel, setup: ChannelSetup[Any], area: str
) -> Finding:
    answer = await asked(setup, channel.settings, context_of(config, channel.name))
    if isinstance(answer, Account):
        return Finding(area, "ok", f"the network knows the assistant as {answer.name}")
    return Finding(area, "problem", answer, "" if "; " in answer else "correct its table, or try again later")


def _of_machine(config: Config, channel: ConfiguredChannel, area: str) -> Iterator[Finding]:
    type_ = str(config.channels[channel.name].type)
    if lacking := missing_packages(type_):
        text = f"packages are not installed: {', '.join(lacking)}"
        yield Finding(area, "problem", text, f"`{install_command(type_)}`")
    for key in _keys(channel.settings):
        if (reason := missing(key)) is not None:
            yield Finding(area, "problem", reason)
        elif key.file is not None:
            yield from _of_file(key.file, area)


def _keys(settings: Any) -> Iterator[KeyConfig]:
    """Return the places of secrets in the value of a table."""
    values = (getattr(settings, each.name) for each in fields(type(settings))) if has(type(settings)) else ()
    yield from (each for each in values if isinstance(each, KeyConfig))


def _of_file(file: Path, area: str) -> Iterator[Finding]:
    try:
        mode = file.stat().st_mode
    except OSError:  # it was there a moment ago
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"the file of the secret, {file}, is open to others ({stat.filemode(mode)})"
        yield Finding(area, "problem" if mode & stat.S_IROTH else "warning", text, f"`chmod 600 {file}`")
