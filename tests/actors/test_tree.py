import pytest
import trio

from actors import Crashed, Node, Policy, open_supervisor
from tests.actors.players import PATIENT, Fail, Log, Say, Sleep, burying, plays


async def test_the_tree_shows_actors_and_nested_supervisors_in_the_order_of_their_start() -> None:
    async with open_supervisor("root") as root, open_supervisor("inner", under=root) as inner:
        root.start("b", plays([]))
        root.start("a", plays([]))
        inner.start("c", plays([]))
        assert [node.name for node in root.tree().children] == ["b", "a", "inner"]
        assert [node.name for node in root.tree().children[-1].children] == ["c"]


async def test_a_nested_supervisor_is_removed_from_the_tree_when_it_ends() -> None:
    states: Log = []

    async def look() -> None:
        states.append(root.tree().children[0].state)

    async with open_supervisor("root") as root:
        async with open_supervisor("inner", under=root) as inner:
            await inner.start("player", plays([], leave=look)).wait_started()
        assert root.tree() == Node("root", "running")
    assert states == ["stopping"]


async def test_a_node_shows_the_message_in_flight_its_duration_and_the_queue() -> None:
    async with open_supervisor("root") as root:
        ref = root.start("player", plays([]), Policy(capacity=7))
        await ref.cast(Sleep(5))
        await ref.wait_started()
        await trio.testing.wait_all_tasks_blocked()
        await ref.cast(Say("queued"))
        await trio.sleep(2)
        assert root.tree().children == (
            Node("player", "running", mailbox=1, capacity=7, in_flight="Sleep", in_flight_age=2),
        )


async def test_an_idle_node_has_nothing_in_flight() -> None:
    async with open_supervisor("root") as root:
        await root.start("player", plays([])).ask(Say("done"))
        await trio.sleep(2)
        assert root.tree().children == (Node("player", "running", capacity=64),)


async def test_a_node_shows_restarts_and_the_last_crash() -> None:
    async with open_supervisor("root", policy=PATIENT) as root:
        ref = root.start("player", plays([]))
        for number in range(2):
            with pytest.raises(Crashed):
                await ref.ask(Fail(ValueError(number)))
        await ref.ask(Say("up"))
        [node] = root.tree().children
        assert (node.restarts, node.last_crash) == (2, "ValueError(1)")


async def test_a_node_stopped_while_starting_never_appears_as_running() -> None:
    states: Log = []

    async def slow() -> None:
        await trio.sleep(1)

    async with open_supervisor("root", observer=lambda _: states.append(state())) as root:

        def state() -> str:
            return root.tree().children[0].state

        root.start("player", plays([], enter=slow))
        await trio.sleep(0.5)
        await root.stop("player")
    assert states == ["stopping", "leaving"]


async def test_a_node_passes_through_its_states() -> None:
    states: Log = []

    async def look() -> None:
        states.append(root.tree().children[0].state)
        await trio.lowlevel.checkpoint()

    async with open_supervisor("root", policy=burying(60, intensity=1)) as root:
        ref = root.start("player", plays([], look, look))
        await ref.wait_started()
        await look()
        for _ in range(2):
            with pytest.raises(Crashed):
                await ref.ask(Fail(ValueError()))
            await trio.sleep(0.05)
            await look()
        await trio.sleep(60)
        await ref.cast(Sleep(1))
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(root.stop, "player")
            await trio.testing.wait_all_tasks_blocked()
            await look()
    assert states == [
        *("starting", "running", "leaving", "restarting"),
        *("starting", "leaving", "buried"),
        *("starting", "stopping", "leaving"),
    ]
