"""The state of a channel: values, subscriptions, locks and lists, their lives and their limits."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import nanoclaw
from nanoclaw.channels.state import (
    BadState,
    ChannelState,
    Lock,
    StateFull,
    StateUnavailable,
)
from nanoclaw.store import Connection
from nanoclaw.store.central import chat_state
from nanoclaw.testing import FakeChannel, World
from nanoclaw.testing.world.errors import HostKilled
from nanoclaw.testing.world.executor import When


async def state_of(world: World, channel_type: str = "fake") -> ChannelState:
    if not world.host_lives:
        await world.start()
    return world.host.channel_state(channel_type)


def _count(connection: Connection, table: str) -> int:
    return int(str(connection.execute(f"SELECT count(*) FROM {table}").get))  # noqa: S608 -- names of this file


def stored(connection: Connection) -> dict[str, int]:
    tables = ("chat_sdk_kv", "chat_sdk_subscriptions", "chat_sdk_locks", "chat_sdk_lists")
    return {table: _count(connection, table) for table in tables}


# -- how it is reached --------------------------------------------------------------------


async def test_a_channel_gets_its_state_before_it_is_opened(world: World) -> None:
    await world.start()
    state = world.channel.state
    assert state is not None
    await state.set("cursor", "17")
    assert await (await state_of(world)).get("cursor") == "17"


async def test_a_channel_that_cannot_take_its_state_stops_the_start(tmp_path: Path) -> None:
    class Broken(FakeChannel):
        def use_state(self, state: ChannelState, /) -> None:
            raise RuntimeError(f"no room for {state!r:.5}")

    config = nanoclaw.load_config(home=tmp_path, environ={})
    with pytest.raises(nanoclaw.HostFailed, match=r"the channel fake cannot be used: its use_state\(\)"):
        async with nanoclaw.open_host(config, channels=[Broken()]):
            pass


async def test_channels_do_not_see_each_other_s_state(world: World) -> None:
    names = ("a", "a:b", "a%3Ab", "A")
    states = [await state_of(world, name) for name in names]
    for name, state in zip(names, states, strict=True):
        await state.set("b:c", name)
        await state.append("l", name)
        await state.subscribe("t")
    assert [await state.get("b:c") for state in states] == list(names)
    assert [await state.items("l") for state in states] == [(name,) for name in names]
    assert await (await state_of(world, "a")).get("c") is None
    assert await states[0].unsubscribe("t")
    assert [await state.is_subscribed("t") for state in states] == [False, True, True, True]


@pytest.mark.parametrize("name", ["", "x" * 1001, 5])
async def test_a_state_has_the_name_of_a_channel(world: World, name: object) -> None:
    await world.start()
    with pytest.raises(ValueError, match="channel_type must be text"):
        world.host.channel_state(name)  # type: ignore[arg-type]


async def test_state_outlives_the_host(world: World) -> None:
    state = await state_of(world)
    await state.set("a", "1")
    await state.subscribe("thread")
    await state.append("list", "x")
    lock = await state.acquire_lock("door", ttl_s=3600)
    await world.restart()
    state = await state_of(world)
    assert (await state.get("a"), await state.is_subscribed("thread")) == ("1", True)
    assert await state.items("list") == ("x",)
    assert await state.acquire_lock("door", ttl_s=1) is None
    assert lock is not None
    assert await state.release_lock(lock)


async def test_after_the_host_has_stopped_the_state_is_unavailable(world: World) -> None:
    state = await state_of(world)
    await world.stop()
    with pytest.raises(StateUnavailable):
        await state.set("a", "1")


# -- values ---------------------------------------------------------------------------------


async def test_a_value_is_set_and_deleted(world: World) -> None:
    state = await state_of(world)
    assert await state.get("a") is None
    await state.set("a", "1")
    await state.set("a", "2")
    assert await state.get("a") == "2"
    assert (await state.delete("a"), await state.delete("a")) == (True, False)
    assert await state.get("a") is None


async def test_compare_and_set_changes_only_what_is_expected(world: World) -> None:
    state = await state_of(world)
    assert await state.set_if_absent("a", "1")
    assert not await state.set_if_absent("a", "2")
    assert not await state.compare_and_set("a", "2", "3")
    assert await state.compare_and_set("a", "1", "3")
    assert await state.get("a") == "3"
    assert await state.compare_and_set("a", "3", None)
    assert not await state.compare_and_set("a", "3", None)
    assert await state.compare_and_set("a", None, "4")


async def test_of_many_that_compare_and_set_one_wins(world: World) -> None:
    state, won = await state_of(world), list[int]()

    async def try_it(n: int) -> None:
        if await state.compare_and_set("a", None, str(n)):
            won.append(n)

    async with trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(try_it, n)
    assert [str(n) for n in won] == [await state.get("a")]


# -- lives ------------------------------------------------------------------------------------


async def test_what_has_expired_is_gone_and_is_deleted_without_being_read(world: World) -> None:
    state = await state_of(world)
    await state.set("short", "1", ttl_s=10)
    await state.set("long", "1", ttl_s=100)
    await state.set("ever", "1")
    await state.append("list", "1", ttl_s=10)
    await state.acquire_lock("lock", ttl_s=10)
    await world.sleep(9.5)
    assert await state.get("short") == "1"
    await world.sleep(1)
    assert await world.host.central.run(stored) == {
        "chat_sdk_kv": 2,
        "chat_sdk_subscriptions": 0,
        "chat_sdk_locks": 0,
        "chat_sdk_lists": 0,
    }
    assert (await state.get("short"), await state.items("list")) == (None, ())
    await world.sleep(100)
    assert (await world.host.central.run(stored))["chat_sdk_kv"] == 1


async def test_what_expired_while_the_host_was_down_is_deleted_at_its_start(world: World) -> None:
    state = await state_of(world)
    await state.set("a", "1", ttl_s=10)
    await world.stop()
    await world.sleep(60)
    await world.start()
    await world.sleep(1)
    assert (await world.host.central.run(stored))["chat_sdk_kv"] == 0


async def test_setting_a_value_again_renews_its_life(world: World) -> None:
    state = await state_of(world)
    await state.set("a", "1", ttl_s=10)
    await world.sleep(8)
    await state.set("a", "2", ttl_s=10)
    await world.sleep(8)
    assert await state.get("a") == "2"
    await state.set("a", "3")
    await world.sleep(80)
    assert await state.get("a") == "3"


async def test_a_date_that_is_set_forward_ends_what_is_over(world: World) -> None:
    state = await state_of(world)
    await state.set("a", "1", ttl_s=3600)
    world.clock.jump(timedelta(hours=2))
    assert await state.get("a") is None
    await world.sleep(3)
    assert (await world.host.central.run(stored))["chat_sdk_kv"] == 0


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_date_that_was_set_back_lengthens_no_life(world: World, *, restarted: bool) -> None:
    state = await state_of(world)
    await state.set("a", "1", ttl_s=3600)
    await state.append("b", "1", ttl_s=3600)
    lock = await state.acquire_lock("c", ttl_s=3600)
    world.clock.jump(-timedelta(days=30))
    if restarted:
        await world.restart()
        state = await state_of(world)
    await world.sleep(3590)
    assert (await state.get("a"), await state.items("b")) == ("1", ("1",))
    await world.sleep(20)
    assert (await state.get("a"), await state.items("b")) == (None, ())
    assert lock is not None
    assert not await state.extend_lock(lock, ttl_s=1)


# -- subscriptions ------------------------------------------------------------------------


async def test_a_thread_is_subscribed_to_once(world: World) -> None:
    state = await state_of(world)
    assert not await state.is_subscribed("t")
    assert (await state.subscribe("t"), await state.subscribe("t")) == (True, False)
    assert await state.is_subscribed("t")
    assert (await state.unsubscribe("t"), await state.unsubscribe("t")) == (True, False)


# -- locks ------------------------------------------------------------------------------------


async def test_a_lock_has_one_holder(world: World) -> None:
    state = await state_of(world)
    one = await state.acquire_lock("door", ttl_s=10)
    assert one is not None
    assert await state.acquire_lock("door", ttl_s=10) is None
    assert not await state.release_lock(Lock("door", "forged", one.fence))
    await world.sleep(8)
    assert await state.extend_lock(one, ttl_s=10)
    await world.sleep(8)
    assert await state.acquire_lock("door", ttl_s=10) is None
    assert await state.release_lock(one)
    two = await state.acquire_lock("door", ttl_s=10)
    assert two is not None
    assert two.token != one.token


async def test_a_holder_whose_time_is_over_can_neither_extend_nor_release(world: World) -> None:
    state = await state_of(world)
    one = await state.acquire_lock("door", ttl_s=10)
    assert one is not None
    await world.sleep(11)
    two = await state.acquire_lock("door", ttl_s=10)
    assert two is not None
    assert (await state.extend_lock(one, ttl_s=10), await state.release_lock(one)) == (False, False)
    assert await state.acquire_lock("door", ttl_s=10) is None


async def test_fencing_numbers_grow_for_ever(world: World) -> None:
    fences = list[int]()
    for _ in range(3):
        state = await state_of(world)
        for name in ("a", "b", "a"):
            lock = await state.acquire_lock(name, ttl_s=10)
            if lock is not None:
                fences.append(lock.fence)
                await state.release_lock(lock)
        await world.sleep(60)
        await world.restart()
    assert len(fences) == 9
    assert fences == sorted(set(fences))


# -- lists ------------------------------------------------------------------------------------


async def test_a_list_keeps_its_newest_items_in_their_order(world: World) -> None:
    state = await state_of(world)
    lengths = [await state.append("l", str(n), max_length=3) for n in range(5)]
    assert lengths == [1, 2, 3, 3, 3]
    assert await state.items("l") == ("2", "3", "4")
    assert await state.append("l", "x", max_length=1) == 1
    assert await state.items("l") == ("x",)
    assert await state.delete("l")
    assert await state.items("l") == ()


async def test_a_list_lives_as_long_after_its_last_item(world: World) -> None:
    state = await state_of(world)
    await state.append("l", "1", ttl_s=10)
    await world.sleep(8)
    await state.append("l", "2", ttl_s=10)
    await world.sleep(8)
    assert await state.items("l") == ("1", "2")
    await world.sleep(3)
    assert await state.append("l", "3") == 1


# -- limits -----------------------------------------------------------------------------------

Call = Callable[[ChannelState], Awaitable[object]]
BAD: dict[str, tuple[Call, str]] = {
    "no key": (lambda state: state.get(""), "a key must be text of 1 to 512 characters"),
    "a long key": (lambda state: state.get("k" * 513), "a key must be text of 1 to 512 characters"),
    "a key of a number": (lambda state: state.get(5), "a key must be text"),  # type: ignore[arg-type]
    "a surrogate": (lambda state: state.set("\ud800", "v"), "a key has a lone surrogate"),
    "a value of a surrogate": (lambda state: state.set("k", "\udfff"), "a value has a lone surrogate"),
    "a NUL": (lambda state: state.set("k", "a\0b"), "a value has a NUL character"),
    "a value of bytes": (lambda state: state.set("k", b"v"), "a value must be text"),  # type: ignore[arg-type]
    "a large value": (lambda state: state.set("k", "ä" * 524_289), "1,048,578 bytes; the limit is 1,048,576"),
    "no life": (lambda state: state.set("k", "v", ttl_s=0), "ttl_s must be a number of seconds above 0"),
    "a life of nan": (lambda state: state.set("k", "v", ttl_s=float("nan")), "ttl_s must be a number"),
    "a long life": (lambda state: state.set("k", "v", ttl_s=1e12), "at most ten years"),
    "a lock without an end": (lambda state: state.acquire_lock("k", ttl_s=None), "ttl_s must be"),  # type: ignore[arg-type]
    "a list of nothing": (lambda state: state.append("k", "v", max_length=0), "from 1 to 1,000"),
    "a long list": (lambda state: state.append("k", "v", max_length=1001), "from 1 to 1,000"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_argument_is_named(world: World, kind: str) -> None:
    call, reason = BAD[kind]
    state = await state_of(world)
    with pytest.raises(BadState) as error:
        await call(state)
    assert reason in str(error.value)


async def test_the_largest_key_and_value_are_stored(world: World) -> None:
    state = await state_of(world)
    await state.set("ä" * 512, "x" * (1 << 20))
    assert len(str(await state.get("ä" * 512))) == 1 << 20


async def test_a_channel_has_a_limited_number_of_keys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_state, "MOST_KEYS", 2)
    state, other = await state_of(world), await state_of(world, "other")
    fillers: list[Callable[[ChannelState, str], Awaitable[object]]] = [
        lambda state, key: state.set(key, "v"),
        lambda state, key: state.append(key, "v"),
        lambda state, key: state.subscribe(key),
        lambda state, key: state.acquire_lock(key, ttl_s=60),
    ]
    for fill in fillers:
        for key in ("a", "b", "a", "b"):
            await fill(state, key)
        with pytest.raises(StateFull, match=r"channel fake has 2 (keys|lists|subscriptions|locks)"):
            await fill(state, "c")
        await fill(other, "c")
    await state.delete("a")
    await state.set("c", "v")


async def test_a_list_has_a_limited_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_state, "LARGEST_LIST", 10)
    state = await state_of(world)
    await state.append("l", "x" * 6)
    with pytest.raises(StateFull, match="would have 12 characters"):
        await state.append("l", "x" * 6)
    assert await state.append("l", "x" * 6, max_length=1) == 1


# -- deaths -----------------------------------------------------------------------------------


class DiesAt:
    """Kills the host at a commit of the central database."""

    def __init__(self, world: World, n: int, when: When) -> None:
        self.world, self.n, self.when = world, n, when

    def __call__(self, path: Path, when: When, n: int) -> None:
        del n
        if when == self.when and "v2.db" in str(path):
            self.n -= 1
            if self.n == 0:
                self.world.kill_host_now()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", [1, 3, 6])
async def test_what_was_confirmed_before_a_death_is_there_after_it(
    n: int, when: When, autojump_clock: MockClock
) -> None:
    del autojump_clock
    async with World() as world:
        state, confirmed, fences = await state_of(world), list[str](), list[int]()
        world.commit_hooks.append(DiesAt(world, n, when))
        with suppress(StateUnavailable, HostKilled):
            for k in range(5):
                await state.append("l", str(k))
                confirmed.append(str(k))
                lock = await state.acquire_lock(f"lock-{k}", ttl_s=10)
                assert lock is not None
                fences.append(lock.fence)
        await world.ended()
        await world.start()
        state = await state_of(world)
        assert list(await state.items("l"))[: len(confirmed)] == confirmed
        lock = await state.acquire_lock("another", ttl_s=10)
        assert lock is not None
        assert all(lock.fence > fence for fence in fences)
