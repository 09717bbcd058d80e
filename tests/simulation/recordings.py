"""Recordings for tests: of a host in real time with real processes, and of simulated hosts."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trio

from nanoclaw.config import Config, config_of, flat
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.recording import Record
from nanoclaw.recording.lines import FILE
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.testing import FakeChannel, wire

KILLING = Path(__file__).parents[1] / "host/killing_runner.py"
GUARD_S = 40.0


def settings(home: Path, **changes: Any) -> Config:
    quick: dict[str, Any] = {
        "timezone": "UTC",
        "retry.base_s": 0.02,
        "delivery.backoff_s": (0.05, 0.05),
        "runtime.backoff_s": 0.02,
        "runtime.idle_s": 1.0,
        **flat(changes),
    }
    return config_of(home, quick)


def record_real_day(home: Path, folder: Path, *, redacted: bool = False) -> None:
    """Run a first life that delays a reply; then record a second one with all kinds of trouble."""
    trio.run(_first_life, home)
    trio.run(_recorded_life, home, Record(folder, redacted))


async def _first_life(home: Path) -> None:
    network = FakeChannel()
    network.fail("unavailable", times=100)
    with trio.fail_after(GUARD_S):
        async with open_host(settings(home, delivery={"backoff_s": (0.5, 0.5)}), channels=[network]) as host:
            await wire(host, network.address("old"))
            await network.say("from before", chat="old", event_id="0")
            await network.wait_attempts(1)


async def _recorded_life(home: Path, record: Record) -> None:
    network = FakeChannel()
    # Its first runner dies right after the commit of its first claim, with a try to pay for.
    runtime = ProcessRuntime(command=(sys.executable, str(KILLING), str(home / "mark"), "after:1"))
    seams = Seams(runtime=runtime)
    with trio.fail_after(GUARD_S):
        async with open_host(settings(home), channels=[network], seams=seams, record=record) as host:
            await wire(host, network.address("chat"))
            await _day(network, host)


async def _day(network: FakeChannel, host: Host) -> None:
    await network.say("hello", event_id="1")
    await network.reply_to("1")
    network.fail("unavailable")
    await network.say("down", event_id="2")
    await network.reply_to("2")
    network.fail("crash after")
    await network.say("in doubt", event_id="3")
    await network.wait_for(5)
    network.fail("rejected")
    await network.say("refused", event_id="4")
    await network.say("!send_file {}", event_id="5")
    await network.reply_to("5")
    await network.say('!schedule_task {"prompt": "tick", "recurrence": "@every 1"}', event_id="6")
    await network.reply_to("6")
    before = len(network.sent)
    await network.wait_for(before + 2)
    await network.say("hello", event_id="1")  # a second time
    network.crash_receiver()
    await network.say("a stranger", chat="elsewhere", event_id="7")
    await host.admin.users.create("fake:eve", display_name="Eve")


def changed(source: Path, target: Path, change: Callable[[list[str]], list[str]]) -> Path:
    """Return a copy of a recording with other lines."""
    for file in (file for file in source.rglob("*") if file.is_file()):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    lines = (target / FILE).read_text("ascii").splitlines(keepends=True)
    (target / FILE).write_text("".join(change(lines)), "ascii")
    return target


def notes(folder: Path, kind: str) -> list[Mapping[str, Any]]:
    """Return the notes of a kind, as written in the file."""
    lines = map(json.loads, (folder / FILE).read_text("ascii").splitlines())
    return [line for line in lines if line["note"] == kind]
