"""Sequence numbers are odd and growing, are never reused, and exceed those seen (contract 4)."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runner.runner import run_runner
from tests.runner.world import Killed, Listener, World, of, virtually

# One step: how many messages the host stores, how far its numbers jump, at which commit the runner dies
# (None: it lives), and which of the sent rows are pruned after.
STEPS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([0, 0, 2, 100, 10**7]),
        st.sampled_from([None, None, 1, 2, 4, 6]),
        st.sampled_from(["0", "1", "seq % 4 = 1", "seq = (SELECT max(seq) FROM messages_out)"]),
    ),
    min_size=1,
    max_size=5,
)
Step = tuple[int, int, int | None, str]


@given(STEPS)
@settings(max_examples=15, deadline=None)
def test_numbers_are_odd_grow_and_are_never_used_again(steps: Sequence[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        virtually(play, World.create(Path(folder) / "session"), steps)


async def play(world: World, steps: Sequence[Step]) -> None:
    used: list[object] = []
    kept: list[object] = []
    top = 0
    for count, jump, death, pruned in steps:
        messages = [world.put(top + jump + 2 * n, '!send_message {"text": "x"}') for n in range(1, count + 1)]
        top += jump + 2 * count
        await serve(world, death, messages)
        fresh = [seq for seq in numbers(world) if seq not in kept]
        check(used, fresh, top if death is None else 0)
        used += fresh
        with world.outbound() as connection:
            connection.execute(f"DELETE FROM messages_out WHERE {pruned}")  # noqa: S608 -- of this file
        kept = numbers(world)
        world.settle()


def numbers(world: World) -> list[object]:
    return of(world.out("SELECT seq FROM messages_out ORDER BY seq"))


async def serve(world: World, death: int | None, messages: Sequence[str]) -> None:
    first = world.executor.commits

    def kill(n: int, when: str) -> None:
        if death is not None and (n, when) == (first + death, "after"):
            raise Killed

    world.executor.on_commit = kill
    if death is None:
        await world.serve(Listener(), *messages)
        return
    with suppress(Killed), trio.move_on_after(100):
        await run_runner(world.config, world.seams(Listener()))


def check(used: Sequence[object], fresh: Sequence[object], seen: int) -> None:
    assert all(isinstance(seq, int) and seq % 2 for seq in fresh)
    highest = max((seq for seq in used if isinstance(seq, int)), default=0)
    assert all(isinstance(seq, int) and seq > max(highest, seen) for seq in fresh)
