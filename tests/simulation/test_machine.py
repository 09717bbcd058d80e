"""A state machine of messages, faults and pauses in any order: no check of workloads may find a violation.

Hypothesis draws the order as rules and shrinks what fails. The rules only collect the steps of a workload.
The workload is played when the machine ends, in one `trio.run`: a world cannot be suspended between two
rules. A workload is a value, so a failure prints everything that is needed to repeat it.

`MACHINE_EXAMPLES=5000` plays that many new workloads. CI plays the same few each time.
"""

import os
import sys
from collections.abc import Mapping

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from nanoclaw.channels.protocol import Repeat, Sender
from nanoclaw.records import Outgoing, Receipt
from nanoclaw.simulation.faults import RATES, Point, Strike
from nanoclaw.simulation.run import run_workload
from nanoclaw.simulation.workload import NEW_YEAR, PlannedChat, Say, Step, Workload
from nanoclaw.testing import World
from nanoclaw.testing.silent_logs import silent_logs
from tests.simulation.planted_bugs import BadChannel

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "0"))
FEW = 20
"""Workloads in CI."""
LENGTH = 20
"""The most steps of a workload."""
CHATS = (
    PlannedChat("ann", ("ann",), "main"),
    PlannedChat("club", ("ann", "bob"), "main"),
    PlannedChat("forum", ("ann", "bob"), "main", ("one", "two"), "per-thread"),
)
PLACES = [(chat, thread) for chat in CHATS for thread in chat.threads]
WORDS = st.sampled_from(
    (
        *("send", "edit", "react", "file", "break", "to=club", "cancel", "pause", "resume", "update"),
        *("slow=2", "slow=20", "slow=90", "follow=10", "fail=1", "fail=2", "fail=9", "ask=20"),
        *("once=5", "once=100", "every=60", "every=900", "cron=*/5_*_*_*_*"),
    )
)
SECONDS = st.sampled_from((0.01, 0.2, 1.0, 5.0, 30.0, 100.0, 1000.0))
REPEATS: tuple[Repeat, ...] = ("idempotent", "look up", "again", "never")


class Broken(AssertionError):
    """A check of workloads found a violation."""


class Machine(RuleBasedStateMachine):
    """Collects the steps of a workload."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = list[Step]()
        self.at = 0.0

    @initialize(seed=st.integers(0, 1000), repeat=st.sampled_from(REPEATS), outliving=st.booleans())
    def begin(self, seed: int, repeat: Repeat, outliving: bool) -> None:  # noqa: FBT001 -- drawn
        changes = {"retry.base_s": 1.0, "delivery.backoff_s": (1.0, 5.0, 20.0, 60.0)}
        self.workload = Workload(seed, 0.0, CHATS, (), "UTC", NEW_YEAR, repeat, outliving, changes)

    @rule(
        place=st.sampled_from(PLACES),
        user=st.integers(0, 1),
        words=st.lists(WORDS, max_size=3, unique_by=lambda word: word.partition("=")[0]),
        file=st.booleans(),
    )
    def say(self, place: tuple[PlannedChat, str], user: int, words: list[str], file: bool) -> None:  # noqa: FBT001 -- drawn
        chat, thread = place
        files: Mapping[str, bytes] = {"a.txt": b"content"} if file else {}
        text = " ".join([f"#{len(self.steps) + 1}", *words])
        who = chat.users[user % len(chat.users)]
        self.steps.append(Say(self.at, who, chat.name, thread, text, files=files))

    @rule(fault=st.sampled_from(tuple(RATES)), draw=st.integers(0, 1000), now=st.booleans())
    def strike(self, fault: str, draw: int, now: bool) -> None:  # noqa: FBT001 -- drawn
        self.steps.append(Strike(self.at, fault, draw, Point("time", self.at) if now else None))

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.at += seconds

    def teardown(self) -> None:
        """Play the workload, unless Hypothesis abandoned the run."""
        if sys.exception() is None:
            with silent_logs():
                result = run_workload(evolve(self.workload, steps=tuple(self.steps)), alter=self.alter)
            if result.violations:
                raise Broken("\n".join([*map(str, result.violations), result.timeline.text()]))

    def alter(self, world: World) -> None:
        """Change the world before its host starts."""


class BuggyMachine(Machine):
    """Collects steps for a host whose channel loses the messages to one chat."""

    def alter(self, world: World) -> None:
        world.wrap_channel = lambda one: BadChannel(one, deliver=_unless_in_the_club)


async def _unless_in_the_club(sender: Sender, outgoing: Outgoing) -> Receipt:
    return Receipt(None) if outgoing.address.platform_id == "club" else await sender.deliver(outgoing)


def run(
    examples: int, *, length: int = LENGTH, derandomize: bool = True, machine: type[Machine] = Machine
) -> None:
    """Let Hypothesis play this many workloads. Raises Broken for the shortest one that fails."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=length,
            derandomize=derandomize,
            database=None,
            deadline=None,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink),  # explaining a failure takes longer than finding it
            suppress_health_check=(
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.filter_too_much,
            ),
        ),
    )


@pytest.mark.slow
def test_messages_and_faults_in_any_order_break_no_check() -> None:
    run(EXAMPLES or FEW, derandomize=not EXAMPLES)


@pytest.mark.slow
def test_a_planted_bug_is_found_and_shrunk_to_one_message() -> None:
    with pytest.raises(Broken, match="delivered_messages_have_arrived: ") as found:
        run(1000, length=4, machine=BuggyMachine)
    told = [line for line in found.value.__notes__ if line.startswith("state.")]
    _, *steps, _ = told  # between the machine's begin and its end
    [step] = steps
    assert step.startswith("state.say")
    assert "'club'" in step
