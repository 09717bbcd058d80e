"""Which messages wake an agent: all combinations of trigger rules, and threads that stay engaged."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, get_args

import apsw
import pytest
import trio
from attrs import define, frozen

from nanoclaw.host import Host, Seams, open_host
from nanoclaw.records import ChatMessage, InboundEvent, NotAccepted, ResponseScope, Wiring
from nanoclaw.routing import engaged as engaged_module
from nanoclaw.routing.engaged import FLUSH_S, is_stop
from nanoclaw.routing.engagement import judge, rules_of
from nanoclaw.store import Executor, ThreadExecutor
from nanoclaw.store.central import engaged_threads
from nanoclaw.testing import Chat, FakeChannel, User, World, wire
from tests.host.homes import GUARD_S, config, rows
from tests.host.runtimes import FakeRuntime

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANN, BEN = "fake:ann", "fake:ben"
STICKY = {"mentionOnly": True, "sticky": True}


async def in_thread(call: Callable[[], bool]) -> bool:
    return await trio.to_thread.run_sync(call)


def wiring(rules: Mapping[str, object], scope: ResponseScope = "all") -> Wiring:
    return Wiring("w", "mg", "ag", rules, scope, "shared", 0, NOW)


# -- the rules, one by one ---------------------------------------------------------


@define
class Case:
    rules: Mapping[str, object]
    expected: str
    scope: ResponseScope = "all"
    text: str = "hello Claw"
    mention: bool = False
    engaged: bool = False
    ids: tuple[str, ...] = (ANN,)


CASES = [
    Case({}, "wake"),
    Case({"pattern": "claw"}, "wake"),
    Case({"pattern": "^claw"}, "ignore"),
    Case({"pattern": "^claw"}, "wake", mention=True),
    Case({"pattern": "^claw", "requiresTrigger": False}, "wake"),
    Case({"requiresTrigger": True}, "ignore"),
    Case({"requiresTrigger": True}, "wake", mention=True),
    Case({"pattern": "("}, "ignore"),
    Case({"pattern": 5}, "ignore"),
    Case({"mentionOnly": True}, "ignore"),
    Case({"mentionOnly": True, "pattern": "claw"}, "ignore"),
    Case({"mentionOnly": True, "requiresTrigger": False}, "ignore"),
    Case({"mentionOnly": True}, "wake", mention=True),
    Case({"mentionOnly": True, "ignored": "accumulate"}, "context"),
    Case({"mentionOnly": True, "ignored": "drop"}, "ignore"),
    Case({"mentionOnly": True}, "ignore", engaged=True),
    Case(STICKY, "ignore"),
    Case(STICKY, "wake", engaged=True),
    Case({**STICKY, "excludeSenders": [ANN]}, "ignore", engaged=True),
    Case({"pattern": "^claw", "sticky": True}, "wake", engaged=True),
    Case({"includeSenders": [ANN]}, "wake"),
    Case({"includeSenders": [BEN]}, "ignore"),
    Case({"includeSenders": [BEN]}, "wake", ids=(ANN, BEN)),
    Case({"includeSenders": ANN}, "ignore"),
    Case({"excludeSenders": [ANN]}, "ignore"),
    Case({"excludeSenders": [BEN]}, "ignore", ids=(ANN, BEN)),
    Case({"excludeSenders": [ANN]}, "ignore", mention=True),
    Case({"excludeSenders": [ANN], "ignored": "accumulate"}, "context"),
    Case({"includeSenders": [ANN], "excludeSenders": [ANN]}, "ignore"),
    Case({}, "ignore", scope="allowlisted"),
    Case({"includeSenders": [ANN]}, "wake", scope="allowlisted"),
    Case({}, "ignore", scope="triggered"),
    Case({}, "wake", scope="triggered", mention=True),
    Case({"pattern": "claw"}, "wake", scope="triggered"),
    Case({"pattern": "^claw", "requiresTrigger": False}, "ignore", scope="triggered"),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
async def test_the_rules_of_a_wiring_say_whom_it_wakes(case: Case) -> None:
    message = ChatMessage("1", case.text, "Ann", ANN, is_mention=case.mention)
    wired = wiring(case.rules, case.scope)
    found = await judge(wired, rules_of(wired), message, in_thread, case.ids, case.engaged)
    assert found.engagement == case.expected


# -- the table of all combinations -------------------------------------------------


@frozen
class Row:
    """One combination. Its verdict is read from the contract's list, step by step."""

    pattern: str | None
    requires: bool | None
    mention_only: bool
    sticky: bool
    senders: str
    ignored: str
    scope: ResponseScope
    mention: bool
    engaged: bool

    @property
    def rules(self) -> Mapping[str, object]:
        senders = {
            "all": {},
            "included": {"includeSenders": [ANN]},
            "not included": {"includeSenders": [BEN]},
            "excluded": {"excludeSenders": [ANN]},
        }
        given = {
            "pattern": self.pattern,
            "requiresTrigger": self.requires,
            "mentionOnly": self.mention_only,
            "sticky": self.sticky,
            "ignored": self.ignored,
        }
        return {**{key: value for key, value in given.items() if value is not None}, **senders[self.senders]}

    @property
    def expected(self) -> tuple[str, bool]:
        """How the message is treated, and whether it engages the agent."""
        unheard = self.senders in {"not included", "excluded"}
        nobody_listed = self.scope == "allowlisted" and self.senders == "all"
        triggers = [self.mention, self.pattern == "claw" and not self.mention_only]
        is_needed = [
            self.requires if self.requires is not None else self.pattern is not None,
            self.mention_only,
            self.scope == "triggered",
        ]
        if unheard or nobody_listed:
            wakes, engages = False, False
        elif self.sticky and self.engaged:
            wakes, engages = True, True
        else:
            wakes = any(triggers) or not any(is_needed)
            engages = wakes and self.sticky and any(is_needed)
        return "wake" if wakes else {"drop": "ignore", "accumulate": "context"}[self.ignored], engages


TABLE = [
    Row(*each)
    for each in product(
        (None, "claw", "^claw"),
        (None, True, False),
        (True, False),
        (True, False),
        ("all", "included", "not included", "excluded"),
        ("drop", "accumulate"),
        get_args(ResponseScope),
        (True, False),
        (True, False),
    )
]


async def test_every_combination_of_rules_is_judged_as_the_contract_says() -> None:
    wrong = list[tuple[Row, object]]()
    for row in TABLE:
        message = ChatMessage("1", "hello Claw", "Ann", ANN, is_mention=row.mention)
        wired = wiring(row.rules, row.scope)
        found = await judge(wired, rules_of(wired), message, in_thread, (ANN,), row.engaged)
        if (found.engagement, found.engages) != row.expected:
            wrong.append((row, found))
    assert len(TABLE) == 3456
    assert wrong == []


# -- all wirings of a chat ---------------------------------------------------------


@asynccontextmanager
async def a_host(home: Path, channel: FakeChannel, executor: Executor | None = None) -> AsyncIterator[Host]:
    with trio.fail_after(GUARD_S):
        seams = Seams(runtime=FakeRuntime(), executor=executor or ThreadExecutor())
        async with open_host(config(home), channels=[channel], seams=seams) as host:
            yield host


async def test_all_agents_of_a_chat_get_a_message_in_the_order_of_their_priorities(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        for agent, priority in (("low", -1), ("high", 9), ("middle", 0), ("younger", 0)):
            await wire(host, channel.address(), agent=agent, priority=priority)
        await wire(
            host, channel.address(), agent="deaf", priority=5, trigger_rules={"excludeSenders": ["fake:user"]}
        )
        routed = await channel.say("x")
        sessions = {each.id: each.agent_group_id for each in await host.admin.sessions.list()}
        folders = {each.id: each.folder for each in await host.admin.agents.list()}
    assert [folders[sessions[id_]] for id_ in routed.session_ids] == ["high", "middle", "younger", "low"]


def link(home: Path, *ids: str) -> None:
    """Make users one person."""
    connection = apsw.Connection(str(home / "data" / "v2.db"))
    values = [(id_, ids[0], "2026-01-01T00:00:00.000Z") for id_ in ids]
    connection.executemany("INSERT INTO user_links (user_id, person_id, linked_at) VALUES (?, ?, ?)", values)
    connection.close()


async def test_the_other_identities_of_a_person_count_for_the_senders_of_a_wiring(tmp_path: Path) -> None:
    channel, chats = FakeChannel(), ("in", "out")
    async with a_host(tmp_path, channel) as host:
        for user in (ANN, BEN):
            await host.admin.users.create(user)
        await wire(host, channel.address("in"), trigger_rules={"includeSenders": [BEN]})
        await wire(host, channel.address("out"), agent="b", trigger_rules={"excludeSenders": [BEN]})
        assert [await heard(channel, chat=chat, user="ann") for chat in chats] == [False, True]
    link(tmp_path, ANN, BEN)
    async with a_host(tmp_path, channel):
        assert [await heard(channel, chat=chat, user="ann") for chat in chats] == [True, False]


# -- threads that stay engaged -----------------------------------------------------


async def heard(channel: FakeChannel, text: str = "x", **where: Any) -> bool:
    return bool((await channel.say(text, **where)).session_ids)


async def test_a_thread_stays_engaged_after_a_mention_and_no_other_thread_does(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address(), session_mode="per-thread", trigger_rules=STICKY)
        await wire(host, channel.address("flat"), agent="b", trigger_rules=STICKY)
        assert not await heard(channel, thread="1")
        assert await heard(channel, thread="1", mention=True)
        assert await heard(channel, thread="1", user="another")
        assert not await heard(channel, thread="2")
        assert not await heard(channel)
        assert not await heard(channel, chat="flat")
        assert await heard(channel, chat="flat", mention=True)
        assert await heard(channel, chat="flat")


async def test_a_match_engages_too_and_each_agent_for_itself(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        for agent in ("a", "b"):
            rules = {"pattern": f"^{agent}:", "sticky": True}
            await wire(host, channel.address(), agent=agent, trigger_rules=rules)
        [first] = (await channel.say("a: hello")).session_ids
        assert (await channel.say("and now?")).session_ids == (first,)
        assert len((await channel.say("b: you, too")).session_ids) == 2


async def test_a_sender_who_is_not_heard_neither_engages_nor_renews_nor_stops(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        rules = {**STICKY, "excludeSenders": ["fake:bot"]}
        await wire(host, channel.address(), trigger_rules=rules)
        assert not await heard(channel, mention=True, user="bot")
        assert not await heard(channel)
        assert await heard(channel, mention=True)
        assert not await heard(channel, "/stop", user="bot")
        assert await heard(channel)


@pytest.mark.parametrize("text", ["/stop", " /STOP ", "@Nano /stop", "/stop@nano_bot now"])
async def test_stop_ends_the_engagement_and_reaches_the_agent(tmp_path: Path, text: str) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address(), trigger_rules=STICKY)
        assert await heard(channel, mention=True)
        assert await heard(channel, text)
        assert not await heard(channel)
        assert await heard(channel, "/stop", mention=True)
        assert not await heard(channel)


@pytest.mark.parametrize("text", ["please /stop", "/stopping", "stop", "/stop2"])
def test_other_texts_stop_nothing(text: str) -> None:
    assert not is_stop(text)


async def a_group(world: World) -> tuple[User, Chat]:
    """Return a user, and a group in which an agent listens to mentions and stays engaged."""
    ann = world.user("ann")
    group = world.group("group", [ann])
    await world.wire(group, world.agent(), trigger_rules=STICKY)
    return ann, group


async def restart(world: World) -> None:
    await world.kill_host()
    await world.start()


async def test_an_engagement_and_its_end_outlive_a_kill_after_the_confirmation(world: World) -> None:
    ann, group = await a_group(world)
    for mention, text in ((True, "hello"), (False, "go on"), (False, "/stop")):
        assert (await ann.says(text, in_=group, mention=mention)).session_ids
        await restart(world)
    assert not (await ann.says("anybody?", in_=group)).session_ids


async def test_a_day_of_silence_ends_the_engagement_also_across_a_restart(world: World) -> None:
    ann, group = await a_group(world)
    await ann.says("hello", in_=group, mention=True)
    await world.sleep(hours=23)
    assert (await ann.says("still there?", in_=group)).session_ids
    await world.sleep(FLUSH_S + 1)  # the renewal is written
    await restart(world)
    await world.sleep(hours=23)
    assert (await ann.says("and now?", in_=group)).session_ids
    await world.sleep(hours=25)
    assert not (await ann.says("good morning", in_=group)).session_ids
    await ann.says("hello again", in_=group, mention=True)
    await world.stop()
    file = world.home / "data" / "v2.db"
    assert len(rows(file, "SELECT * FROM engaged_threads")) == 1


async def test_an_engagement_that_cannot_be_stored_is_not_confirmed(tmp_path: Path) -> None:
    class Failing(ThreadExecutor):
        """Makes commits of `v2.db` fail while told to."""

        failing = False

        def before_commit(self, path: Path) -> None:
            if path.name == "v2.db" and self.failing:
                raise OSError("disk trouble")

    channel, executor = FakeChannel(), Failing()
    async with a_host(tmp_path, channel, executor) as host:
        await wire(host, channel.address(), trigger_rules={**STICKY, "ignored": "accumulate"})
        await channel.say("so that user and session exist", user="Ann")
        message = ChatMessage("2", "hello", "Ann", "fake:Ann", is_mention=True)
        event = InboundEvent(channel.address(), "2", message)
        executor.failing = True
        with pytest.raises(NotAccepted):
            await host.intake.offer(event)
        executor.failing = False
        assert await engaged(host) == 0
        assert (await host.intake.offer(event)).session_ids
        assert await engaged(host) == 1


async def engaged(host: Host) -> int:
    """Return the number of engaged threads that are on disk."""
    return len(await host.central.run(engaged_threads.every))


async def test_of_too_many_threads_the_longest_silent_one_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engaged_module, "MAX_ENGAGED", 2)
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address(), trigger_rules=STICKY)
        for thread in "abac":
            assert await heard(channel, thread=thread, mention=True)
        assert [await heard(channel, thread=thread) for thread in "bac"] == [False, True, True]


async def test_deleting_a_wiring_forgets_its_threads(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        wired = await wire(host, channel.address(), trigger_rules=STICKY)
        assert await heard(channel, mention=True)
        await host.admin.wirings.delete(wired.id)
        await wire(host, channel.address(), trigger_rules=STICKY)
        assert not await heard(channel)
    assert rows(tmp_path / "data" / "v2.db", "SELECT * FROM engaged_threads") == []
