"""The steps of programs: what people, the network, time and bad luck do, as values."""

from datetime import timedelta
from typing import Literal

import trio
from attrs import frozen

from nanoclaw.testing.world.channel import Fault
from nanoclaw.testing.world.executor import When
from tests.simulation.program import Side, Stage, Trap


@frozen
class Say:
    """Somebody says something; the words after its number are what the agent is to do (`ScriptedAgent`)."""

    place: str
    words: tuple[str, ...] = ()
    file: bool = False
    times: int = 1
    """The network offers it so often at once."""

    async def do(self, stage: Stage) -> None:
        stage.network.twice += self.times - 1
        stage.said += 1
        event = stage.event(self.place, " ".join([f"#{stage.said}", *self.words]), file=self.file)
        await stage.offer(event)


@frozen
class SayAgain:
    """The network offers an event again that was confirmed long ago, for all it knows."""

    which: int

    async def do(self, stage: Stage) -> None:
        if stage.network.accepted:
            await stage.offer(stage.network.accepted[self.which % len(stage.network.accepted)].event)


@frozen
class Wait:
    """Time passes."""

    seconds: float

    async def do(self, stage: Stage) -> None:
        del stage
        await trio.sleep(self.seconds)


@frozen
class Jump:
    """The date is set, or the machine was asleep."""

    seconds: int

    async def do(self, stage: Stage) -> None:
        stage.world.clock.jump(timedelta(seconds=self.seconds))
        await trio.lowlevel.checkpoint()


@frozen
class Fail:
    """The network fails for so many deliveries."""

    fault: Fault
    times: int = 1

    async def do(self, stage: Stage) -> None:
        stage.network.fail(self.fault, times=self.times)
        await trio.lowlevel.checkpoint()


@frozen
class Disconnect:
    """The sending half breaks, or the receiving half; it cannot be opened for so many times."""

    half: Literal["sender", "receiver"]
    unreachable: int = 0

    async def do(self, stage: Stage) -> None:
        if self.half == "receiver":
            stage.network.crash_receiver()
        else:
            stage.network.unreachable = self.unreachable
            stage.network.disconnect()
        await trio.lowlevel.checkpoint()


@frozen
class Kill:
    """Host or runner dies now, or right before or after its n-th commit from now."""

    side: Side
    at_commit: int = 0
    when: When = "before"

    async def do(self, stage: Stage) -> None:
        if self.at_commit:
            stage.traps.append(Trap(self.side, self.when, self.at_commit))
        else:
            stage.kill(self.side)
        await trio.lowlevel.checkpoint()


@frozen
class Restart:
    """The host stops in order, and is started again."""

    async def do(self, stage: Stage) -> None:
        await stage.world.stop()
