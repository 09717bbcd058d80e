"""Processor time of a host whose channels are all connected to servers on loopback, while nobody writes."""

import json
import socket
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from nanoclaw.testing.networks.discord import open_fake_discord
from nanoclaw.testing.networks.slack import open_fake_slack
from nanoclaw.testing.networks.telegram import open_fake_telegram
from tests.bench.homes import host_program
from tests.bench.idle import cpu_s
from tests.channels.matrix.synapse import PASSWORD, Synapse, synapse

CHANNELS = ("telegram", "discord", "slack", "matrix", "http")
SETTLE_S = 15.0
"""Seconds after the host has started in which the channels connect."""
WATCH_S = 30.0


def run() -> list[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        home = Path(folder) / "synapse"
        home.mkdir()
        with synapse(home) as server:
            return trio.run(_measure, server, Path(folder))


async def _measure(matrix: Synapse, folder: Path) -> list[tuple[str, float, str]]:
    async with AsyncExitStack() as opened:
        telegram = await opened.enter_async_context(open_fake_telegram())
        discord = await opened.enter_async_context(open_fake_discord())
        slack = await opened.enter_async_context(open_fake_slack())
        bot = matrix.person("bot")
        secrets = {
            "telegram": telegram.token,
            "discord": discord.token,
            "bot": slack.bot_token,
            "app": slack.app_token,
            "matrix": PASSWORD,
        }
        for name, secret in secrets.items():
            (folder / name).write_text(secret)
        home = folder / "home"
        home.mkdir()
        (home / "config.toml").write_text(
            f"""timezone = "UTC"
[channels.telegram]
token = {{ file = "{folder / "telegram"}" }}
api_base = "{telegram.api_base}"
[channels.discord]
token = {{ file = "{folder / "discord"}" }}
api_base = "{discord.api_base}"
gateway = "{discord.gateway}"
[channels.slack]
bot_token = {{ file = "{folder / "bot"}" }}
app_token = {{ file = "{folder / "app"}" }}
api_base = "{slack.api_base}"
[channels.matrix]
homeserver = "{matrix.base}"
user = "{bot.user_id}"
password = {{ file = "{folder / "matrix"}" }}
[channels.http]
listen = "127.0.0.1:{_free_port()}"
"""
        )
        return await _watch(home)


async def _watch(home: Path) -> list[tuple[str, float, str]]:
    async with host_program(home) as host:
        await host.logged("host.ready")
        await trio.sleep(SETTLE_S)
        await _require_connected(home)
        before = cpu_s(host)
        await trio.sleep(WATCH_S)
        percent = (cpu_s(host) - before) / WATCH_S * 100
        await _require_connected(home)
    return [("idle_channels_cpu", percent, "%")]


async def _require_connected(home: Path) -> None:
    """Raise RuntimeError unless all channels run without trouble."""
    command = [sys.executable, "-m", "nanoclaw", "channels", "--home", str(home), "status", "--json"]
    answer = await trio.run_process(command, capture_stdout=True)
    found = {each["name"]: each for each in json.loads(answer.stdout)}
    idle = [name for name in CHANNELS if found[name]["sender"] == "running" and not found[name]["condition"]]
    if len(idle) < len(CHANNELS):
        raise RuntimeError(f"connected are only {idle}: {found}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
