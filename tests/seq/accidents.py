"""Accidents that happen to either side."""

import os

from tests.seq.play import Play
from tests.store.openings import leave_hot_journal


async def time_passes(play: Play) -> None:
    play.date.pass_(play.random.choice([0.01, 1.5, 26.0, 80.0]))


async def host_dies_in_the_middle_of_a_commit(play: Play) -> None:
    """The runner dies while it writes. Its next start rolls that back."""
    await play.host.close()
    leave_hot_journal(play.host.file)
    await play.host.open()
    play.numbers.check()


async def runner_dies_in_the_middle_of_a_commit(play: Play) -> None:
    """The host dies while it writes. Its next start rolls that back."""
    await play.runner.close()
    leave_hot_journal(play.runner.file)
    await play.runner.open()
    await play.read_floor()
    play.numbers.check()


async def outbound_is_lost(play: Play) -> None:
    """The runner's file is lost. The new one starts above all numbers that the host has seen."""
    await play.runner.close()
    os.unlink(play.runner.file)  # noqa: PTH108 -- in an async function; no file of its own is slow here
    play.numbers.lose_outbound()
    await play.runner.open()
    await play.host.reader.reopen()
    await play.read_floor()
    play.numbers.check()
