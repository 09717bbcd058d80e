"""Whatever people, agents, time and bad luck do, in whatever order: nothing is lost, everybody is answered.

Hypothesis draws the order, as rules of a state machine, and shrinks what fails. The rules only write down
what is to happen (`steps`); at the end of each run the whole program is played in one world, in one
`trio.run`. A world cannot be suspended between two rules: its virtual time, its guards and its order of
tasks hold within one run of trio. And a program is a value: a failure prints all that it takes to see it
again, to the byte.

`MACHINE_EXAMPLES=5000` plays so many programs, drawn afresh; CI plays the same few each time.
"""

import os
import sys
from typing import Literal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from nanoclaw.channels.protocol import Channel, Repeat, Sender
from nanoclaw.records import Outgoing, Receipt
from nanoclaw.testing.world.channel import Fault
from nanoclaw.testing.world.executor import When
from tests.simulation.planted_bugs import BadChannel
from tests.simulation.program import PLACES, Broken, Side, Step, run_program
from tests.simulation.steps import Disconnect, Fail, Jump, Kill, Restart, Say, SayAgain, Wait

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "0"))
FEW = 30
"""Programs in CI."""
LENGTH = 20
"""Steps of a program, at most."""

WORDS = st.sampled_from(
    (
        *("send", "edit", "react", "file", "break", "to=club", "cancel", "pause", "resume", "update"),
        *("slow=2", "slow=20", "slow=90", "follow=10", "fail=1", "fail=2", "fail=9"),
        *("once=5", "once=100", "every=60", "every=900", "cron=*/5_*_*_*_*"),
    )
)
FAULTS = st.sampled_from(("unavailable", "rejected", "crash before", "crash after", "hang"))
SECONDS = st.sampled_from((0.0, 0.01, 0.2, 1.0, 5.0, 30.0, 100.0, 1000.0))


class Workload(RuleBasedStateMachine):
    """Writes a program."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = list[Step]()
        self.world: tuple[int, Repeat, bool] = (0, "idempotent", False)

    @initialize(
        seed=st.integers(0, 1000),
        repeat=st.sampled_from(("idempotent", "look up", "again", "never")),
        outliving=st.booleans(),
    )
    def begin(self, seed: int, repeat: Repeat, outliving: bool) -> None:  # noqa: FBT001 -- drawn
        self.world = (seed, repeat, outliving)

    @rule(place=st.sampled_from(PLACES), words=st.lists(WORDS, max_size=3, unique=True), file=st.booleans())
    def say(self, place: str, words: list[str], file: bool) -> None:  # noqa: FBT001 -- drawn
        self.steps.append(Say(place, tuple(words), file))

    @rule(place=st.sampled_from(PLACES), times=st.integers(2, 3))
    def say_at_once(self, place: str, times: int) -> None:
        self.steps.append(Say(place, times=times))

    @rule(which=st.integers(0, 10))
    def say_again(self, which: int) -> None:
        self.steps.append(SayAgain(which))

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.steps.append(Wait(seconds))

    @rule(seconds=st.sampled_from((3600, 60, -60, -3600, 86_400)))
    def jump(self, seconds: int) -> None:
        self.steps.append(Jump(seconds))

    @rule(fault=FAULTS, times=st.integers(1, 3))
    def fail(self, fault: Fault, times: int) -> None:
        self.steps.append(Fail(fault, times))

    @rule(half=st.sampled_from(("sender", "receiver")), unreachable=st.integers(0, 3))
    def disconnect(self, half: Literal["sender", "receiver"], unreachable: int) -> None:
        self.steps.append(Disconnect(half, unreachable))

    @rule(side=st.sampled_from(("host", "runner")))
    def kill(self, side: Side) -> None:
        self.steps.append(Kill(side))

    @rule(
        side=st.sampled_from(("host", "runner")),
        commit=st.integers(1, 12),
        when=st.sampled_from(("before", "after")),
    )
    def kill_at_commit(self, side: Side, commit: int, when: When) -> None:
        self.steps.append(Kill(side, commit, when))

    @rule()
    def restart(self) -> None:
        self.steps.append(Restart())

    def teardown(self) -> None:
        """Run it, unless Hypothesis gave the run up."""
        if sys.exception() is None:
            seed, repeat, outliving = self.world
            run_program(
                self.steps, seed=seed, repeat=repeat, outliving=outliving, wrap_channel=self.wrap_channel
            )

    def wrap_channel(self, channel: Channel) -> Channel:
        """What the host gets instead of the network."""
        return channel


class BuggyWorkload(Workload):
    """Writes a program for a host whose channel loses what is said in one chat."""

    def wrap_channel(self, channel: Channel) -> Channel:
        return BadChannel(channel, deliver=_unless_in_the_club)


async def _unless_in_the_club(sender: Sender, outgoing: Outgoing) -> Receipt:
    return Receipt(None) if outgoing.address.platform_id == "club" else await sender.deliver(outgoing)


def run(
    examples: int, *, length: int = LENGTH, derandomize: bool = True, machine: type[Workload] = Workload
) -> None:
    """Let Hypothesis run so many programs. Raises Broken for the shortest one that fails."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=length,
            derandomize=derandomize,
            database=None,
            deadline=None,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink),  # to explain a failure takes longer than to find it
            suppress_health_check=(
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.filter_too_much,
            ),
        ),
    )


@pytest.mark.slow
def test_whatever_happens_everybody_is_answered() -> None:
    run(EXAMPLES or FEW, derandomize=not EXAMPLES)


# -- that it finds something, and says how little it takes ------------------------


@pytest.mark.slow
def test_a_planted_bug_is_found_and_shrunk_to_the_step_that_it_takes() -> None:
    with pytest.raises(Broken, match="never answered: #1\n") as found:
        run(1000, length=4, machine=BuggyWorkload)  # it stops at the first
    told = [line for line in found.value.__notes__ if line.startswith("state.")]
    _, *steps, _ = told  # between the world's begin and its end
    [step] = steps
    assert step.startswith("state.say")
    assert "place='club'" in step
