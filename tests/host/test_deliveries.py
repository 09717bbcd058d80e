"""Outbound rows and their deliveries: a real host, an idle runner, and rows written by the test."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from math import inf
from pathlib import Path
from time import sleep
from typing import Any, cast

import apsw
import pytest
import trio

from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Sender
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.records import Address, Outgoing, Receipt, SessionPaths
from nanoclaw.store import Executor, StoreFull, ThreadExecutor, open_reader
from nanoclaw.store.session import outbound
from nanoclaw.system.resources import schema_dir
from nanoclaw.testing import FakeChannel, World, simulate, wire
from tests.host.homes import GUARD_S, config, crashed, only_session, rows, statuses, supervisor
from tests.host.runtimes import FakeRuntime

ELSEWHERE = Address("fake", "elsewhere")


@asynccontextmanager
async def a_host(
    home: Path,
    channel: FakeChannel,
    runtime: FakeRuntime,
    executor: Executor | None = None,
    **changes: Any,
) -> AsyncIterator[Host]:
    with trio.fail_after(GUARD_S):
        seams = Seams(runtime=runtime, executor=executor or ThreadExecutor())
        async with open_host(config(home, **changes), channels=[channel], seams=seams) as host:
            await wire(host, channel.address())
            yield host


def container_runs(paths: SessionPaths, *statements: tuple[str, dict[str, Any]]) -> None:
    """Commit as a runner, in one transaction."""
    with closing(apsw.Connection(str(paths.outbound_db))) as connection:
        connection.set_busy_handler(_let_others_run)  # the host may be reading, in a thread of this process
        with connection:
            _execute(connection, statements)


def _let_others_run(_tries: int) -> bool:
    sleep(0.001)
    return True


def _execute(connection: apsw.Connection, statements: Iterable[tuple[str, dict[str, Any]]]) -> None:
    for sql, values in statements:
        connection.execute(sql, values)


def says(
    id_: str, seq: int, address: Address | None, content: str = '{"text": "hi"}'
) -> tuple[str, dict[str, Any]]:
    """A row of `messages_out`."""
    where = (address.channel_type, address.platform_id, address.thread_id) if address else (None,) * 3
    return (
        """
        INSERT INTO messages_out (id, seq, timestamp, kind, channel_type, platform_id, thread_id, content)
        VALUES (:id, :seq, '', 'chat', :channel, :platform, :thread, :content)
        """,
        {
            "id": id_,
            "seq": seq,
            "channel": where[0],
            "platform": where[1],
            "thread": where[2],
            "content": content,
        },
    )


def acks(message_id: str, status: str) -> tuple[str, dict[str, Any]]:
    """A row of `processing_ack`."""
    return (
        """
        INSERT OR REPLACE INTO processing_ack (message_id, status, status_changed) VALUES (:id, :status, '')
        """,
        {"id": message_id, "status": status},
    )


def ledger(home: Path) -> dict[str, tuple[str, str | None]]:
    """Return the final status and error of each delivery."""
    sql = "SELECT message_out_id, coalesce(f.status, d.status), error FROM deliveries d"
    found = rows(only_session(home).inbound_db, f"{sql} LEFT JOIN delivered f USING (message_out_id)")
    return {id_: (status, error) for id_, status, error in found}


async def test_an_agent_writes_to_its_own_chat_and_to_destinations_and_nowhere_else(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    async with a_host(tmp_path, channel, runtime) as host:
        await wire(host, channel.address("friend"))
        await channel.say("x")
        await runtime.wait_started(1)
        container_runs(
            only_session(tmp_path),
            says("foreign", 1, ELSEWHERE),
            says("notice-mine", 3, ELSEWHERE),
            says("system", 5, Address("fake", "elsewhere", "thread")),
            says("own", 7, channel.address()),
            says("thread", 9, channel.address(thread="t")),
            says("friend", 11, channel.address("friend")),
            says("nowhere", 13, None),
        )
        await channel.wait_for(4)
    assert {one.message_out_id for one in channel.sent} == {"own", "thread", "friend", "nowhere"}
    failed = {id_ for id_, (status, _) in ledger(tmp_path).items() if status == "failed"}
    assert failed == {"foreign", "bad-3", "system"}


async def test_a_bad_row_is_quarantined_with_its_reason_and_the_next_one_delivered(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    async with a_host(tmp_path, channel, runtime):
        await channel.say("x")
        await runtime.wait_started(1)
        paths = only_session(tmp_path)
        (paths.outbox / "folder").mkdir(parents=True)
        container_runs(
            paths,
            says("json", 1, None, "{"),
            says("../x", 3, None),
            says("gone", 5, None, '{"text": "x", "files": ["a"]}'),
            says("folder", 7, None, '{"text": "x", "files": ["."]}'),
            says("unknown", 9, None, '{"operation": "explode"}'),
            says("good", 11, None),
        )
        await channel.wait_for(1)
    reasons = {id_: error for id_, (_, error) in ledger(tmp_path).items()}
    assert "not JSON" in str(reasons["json"])
    assert "is not a valid row id" in str(reasons["bad-3"])
    assert "'gone' cannot be opened" in str(reasons["gone"])
    assert "not a valid file name" in str(reasons["folder"])
    assert "explode" in str(reasons["unknown"])
    assert reasons["good"] is None


async def test_an_outbox_that_became_a_link_costs_its_message_and_nothing_else(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    async with a_host(tmp_path, channel, runtime) as host:
        await channel.say("x")
        await runtime.wait_started(1)
        paths = only_session(tmp_path)
        paths.outbox.rmdir()
        paths.outbox.symlink_to("/etc")
        container_runs(
            paths, says("ssh", 1, None, '{"text": "x", "files": ["passwd"]}'), says("good", 3, None)
        )
        await channel.wait_for(1)
        assert [node.restarts for node in supervisor(host, "sessions").tree().children] == [0]
    assert channel.sent[0].message_out_id == "good"


async def test_acks_are_read_while_more_is_to_be_delivered_than_is_read_ahead(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    channel.fail("unavailable", times=inf)
    async with a_host(tmp_path, channel, runtime, delivery={"backoff_s": (600.0,)}):
        [message] = (await channel.say("x")).message_ids
        await runtime.wait_started(1)
        paths = only_session(tmp_path)
        container_runs(paths, *[says(f"out-{n}", 2 * n + 1, None) for n in range(1200)])
        await channel.wait_attempts(1)
        container_runs(paths, acks(message, "completed"))
        async with open_reader(paths.inbound_db, ThreadExecutor()) as reader:
            while await reader.run(pending):
                pass


def pending(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM messages_in WHERE status = 'pending'").get)


async def test_a_commit_that_fails_costs_an_incarnation_and_no_reply(tmp_path: Path) -> None:
    class Full(ThreadExecutor):
        """An executor whose disk is full for `left` commits of `inbound.db`."""

        left = 0

        def before_commit(self, path: Path) -> None:
            if path.name == "inbound.db" and self.left:
                self.left -= 1
                raise StoreFull(path, "no space")

    channel, runtime, executor = FakeChannel(), FakeRuntime(), Full()
    async with a_host(tmp_path, channel, runtime, executor) as host:
        [message] = (await channel.say("x")).message_ids
        await runtime.wait_started(1)
        executor.left = 1
        container_runs(only_session(tmp_path), says("reply", 1, None), acks(message, "completed"))
        await channel.wait_for(1)
        assert [node.restarts for node in supervisor(host, "sessions").tree().children] == [1]
    assert (len(channel.sent), statuses(tmp_path)) == (1, ["completed"])


async def test_a_notice_that_may_have_been_sent_follows_the_channels_policy_too(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(repeat="never"), FakeRuntime()
    channel.fail("hang", times=inf)
    async with a_host(tmp_path, channel, runtime) as host:
        routed = await channel.say("x", event_id="1")
        [message], [session] = routed.message_ids, routed.session_ids
        await runtime.wait_started(1)
        container_runs(only_session(tmp_path), acks(message, "failed"))
        await channel.wait_attempts(1)
        supervisor(host, "sessions").kill(session)
        async with open_reader(only_session(tmp_path).inbound_db, ThreadExecutor()) as reader:
            while await reader.run(not_final):
                pass
        channel.heal()
    assert [one.in_reply_to for one in channel.attempts] == ["1"]
    assert ledger(tmp_path)[f"notice-{message}"][0] == "failed"


async def test_a_notice_hides_no_later_reply(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    async with a_host(tmp_path, channel, runtime):
        [message] = (await channel.say("x", event_id="1")).message_ids
        [_, _] = [await channel.say("y", event_id=str(n)) for n in (2, 3)]
        await runtime.wait_started(1)
        container_runs(only_session(tmp_path), acks(message, "failed"))
        await channel.wait_for(1)
        container_runs(only_session(tmp_path), says("one", 1, None))  # by a runner that saw no later message
        await channel.wait_for(2)
    assert [one.message_out_id for one in channel.sent] == [f"notice-{message}", "one"]


def not_final(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM deliveries WHERE status <> 'final'").get)


def test_a_look_ends_at_its_limit_and_reports_that_there_is_more() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute((schema_dir() / "outbound" / "001-initial.sql").read_text()).fetchall()
    connection.execute("PRAGMA user_version = 1").fetchall()
    text = json.dumps({"text": "x" * (outbound.LOOK_BYTES // 2)})
    for n in range(4):
        connection.execute(
            "INSERT INTO messages_out (id, seq, timestamp, kind, content) VALUES (?, ?, '', 'chat', ?)",
            (f"out-{n}", 2 * n + 1, text),
        )
    first = outbound.look(connection, above=0, up_to=99, open_ids=(), known_ids=())
    assert ([row.seq for row in first.rows], first.more) == ([1, 3], True)
    again = outbound.look(connection, above=3, up_to=99, open_ids=(), known_ids=["out-0", "out-1", "out-2"])
    assert ([row.seq for row in again.known], again.looked_for, again.rows) == (
        [1, 3],
        ("out-0", "out-1"),
        (),
    )
    assert again.more
    last = outbound.look(connection, above=5, up_to=99, open_ids=(), known_ids=())
    assert ([row.seq for row in last.rows], last.more) == ([7], False)


async def test_rows_of_impossible_values_cost_themselves_alone(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    async with a_host(tmp_path, channel, runtime) as host:
        [message] = (await channel.say("x")).message_ids
        await runtime.wait_started(1)
        sql = """
            INSERT INTO messages_out (id, seq, timestamp, kind, content, deliver_after)
            VALUES (:id, :seq, '', 'chat', :content, :after)
            """
        ack = "INSERT INTO processing_ack VALUES ('x', CAST(x'fffe' AS TEXT), '', 0, NULL, NULL, NULL)"
        text, files = '{"text": "never"}', json.dumps({"files": ["a"] * 100_000})
        hostile = [
            (sql, {"id": "real", "seq": 5.5, "content": text, "after": None}),
            (sql, {"id": "when", "seq": 7, "content": text, "after": "0001-01-01T00:00:00+14:00"}),
            (sql, {"id": "many", "seq": 9, "content": files, "after": None}),
            (ack, {}),
        ]
        container_runs(only_session(tmp_path), *hostile, says("good", 11, None), acks(message, "completed"))
        await channel.wait_for(1)
        assert crashed(host, "sessions") == set()
    assert [one.message_out_id for one in channel.sent] == ["good"]
    assert {id_: status for id_, (status, *_) in ledger(tmp_path).items()} == {
        "bad-7": "failed",
        "many": "failed",
        "good": "delivered",
    }


def test_a_runner_that_lets_work_lie_is_replaced(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        channel, idle = FakeChannel(), FakeRuntime()
        with trio.fail_after(600):
            async with world.life(channel, runtime=idle) as host:
                await wire(host, channel.address())
                await channel.say("x")
                await idle.wait_started(2)

    simulate(scenario, seed=1, home=tmp_path)


# -- what is not known, and who is told ------------------------------------------


def told(home: Path) -> list[tuple[str, str, int]]:
    """Return the delivery reports to the agent: id, status, number. Check that none wakes it."""
    sql = "SELECT content, trigger, kind FROM messages_in WHERE id LIKE 'delivery-%' ORDER BY seq"
    found = [(json.loads(content), *rest) for content, *rest in rows(only_session(home).inbound_db, sql)]
    assert {tuple(rest) for _, *rest in found} <= {(0, "system")}
    return [(content["type"], content["status"], content["messageId"]) for content, *_ in found]


async def final(home: Path, n: int) -> None:
    """Wait until `n` deliveries are final."""
    async with open_reader(only_session(home).inbound_db, ThreadExecutor()) as reader:
        count = "SELECT count(*) FROM deliveries WHERE status = 'final'"
        while await reader.run(lambda connection: connection.execute(count).get) != n:
            await trio.lowlevel.checkpoint()


async def says_one(home: Path, channel: FakeChannel, **changes: Any) -> None:
    """Run a host in which the agent sends one message, until that is final."""
    runtime = FakeRuntime()
    async with a_host(home, channel, runtime, **changes):
        await channel.say("x")
        await runtime.wait_started(1)
        container_runs(only_session(home), says("one", 1, None))
        await final(home, 1)


async def test_a_network_that_can_be_asked_is_asked_before_anything_is_sent_again(tmp_path: Path) -> None:
    channel = FakeChannel(repeat="look up")
    channel.fail("crash after")
    await says_one(tmp_path, channel)
    assert [one.message_out_id for one in channel.sent] == ["one"]
    assert ledger(tmp_path)["one"][0] == "delivered"
    assert told(tmp_path) == [("delivery", "unknown", 1)]


async def test_a_message_that_the_network_does_not_find_is_sent_again(tmp_path: Path) -> None:
    channel = FakeChannel(repeat="look up")
    channel.fail("crash before")
    await says_one(tmp_path, channel)
    assert [one.message_out_id for one in channel.sent] == ["one"]


async def test_a_refused_message_is_reported_to_the_agent(tmp_path: Path) -> None:
    channel = FakeChannel()
    channel.fail("rejected")
    await says_one(tmp_path, channel)
    assert told(tmp_path) == [("delivery", "failed", 1)]


async def test_only_attempts_of_unknown_outcome_count_for_the_policy(tmp_path: Path) -> None:
    channel = FakeChannel(repeat="again")
    channel.fail("unavailable", times=2)
    channel.fail("crash after")
    await says_one(tmp_path, channel)
    assert len(channel.attempts) == 4
    assert [one.message_out_id for one in channel.sent] == ["one", "one"]
    assert ledger(tmp_path)["one"][0] == "delivered"


async def test_an_unknown_outcome_is_sent_again_once_and_then_left(tmp_path: Path) -> None:
    channel = FakeChannel(repeat="again")
    channel.fail("crash before", times=inf)
    await says_one(tmp_path, channel)
    assert len(channel.attempts) == 2
    assert told(tmp_path) == [("delivery", "unknown", 1), ("delivery", "failed", 1)]


async def test_a_message_waits_for_its_channel_without_limit_and_status_says_why(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    gone = Address("gone", "chat")
    async with a_host(tmp_path, channel, runtime, delivery={"backoff_s": (0.0,)}) as host:
        await wire(host, gone)
        await channel.say("x")
        await runtime.wait_started(1)
        executor = ThreadExecutor()
        async with open_reader(only_session(tmp_path).inbound_db, executor) as reader:
            container_runs(only_session(tmp_path), says("one", 1, gone), says("two", 3, None))
            await channel.wait_for(1)
            error = "SELECT error FROM deliveries WHERE message_out_id = 'one' AND status = 'pending'"
            while await reader.run(lambda connection: connection.execute(error).get) is None:
                await trio.lowlevel.checkpoint()
            reports = [await host.sessions.status(routed, 1.0) for routed in await living(host)]
    assert [report.oldest_delivery.reason for report in reports if report and report.oldest_delivery] == [
        "this host has no channel 'gone'"
    ]
    with_it = FakeChannel("gone")
    async with open_host(config(tmp_path), channels=[with_it], seams=Seams(runtime=FakeRuntime())):
        await with_it.wait_for(1)


async def living(host: Host) -> list[str]:
    return [node.name for node in host.sessions.nodes()]


async def test_only_messages_that_await_an_answer_get_a_notice(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), FakeRuntime()
    channel.fail("rejected")
    async with a_host(tmp_path, channel, runtime):
        [message] = (await channel.say("x", event_id="1")).message_ids
        await runtime.wait_started(1)
        container_runs(only_session(tmp_path), says("one", 1, None))
        await final(tmp_path, 1)
        container_runs(only_session(tmp_path), acks("delivery-failed-one", "failed"), acks(message, "failed"))
        await channel.wait_for(1)
    assert [one.in_reply_to for one in channel.sent] == ["1"]
    assert statuses(tmp_path) == ["failed", "failed"]


class OddSender:
    """A channel that violates the protocol."""

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome
        self.asked = 0

    async def deliver(self, _outgoing: Outgoing) -> Any:
        self.asked += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def find(self, _outgoing: Outgoing) -> Receipt | None: ...

    async def typing(self, _address: Address) -> None: ...

    async def settled(self, _address: Address, _message_id: str, _outcome: object) -> None: ...


class OddChannel(FakeChannel):
    """A channel with a separate sending half."""

    odd: OddSender

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        yield self.odd


@pytest.mark.parametrize(
    ("outcome", "error", "asked"),
    [
        (None, None, 1),
        (Receipt(cast("str", 7)), None, 1),
        (Receipt("\ud800"), None, 1),
        (DeliveryRejected("no \ud800" + "x" * 3_000_000), "the channel refuses it: no ?", 1),
        (ChannelUnavailable("busy", float("nan")), "given up after 4 attempts: busy", 4),
        (ChannelUnavailable("busy", cast("float", "3")), "given up after 4 attempts: busy", 4),
    ],
)
async def test_a_channel_that_breaks_its_protocol_costs_that_delivery_alone(
    tmp_path: Path, outcome: object, error: str | None, asked: int
) -> None:
    channel = OddChannel()
    channel.odd = OddSender(outcome)
    runtime = FakeRuntime()
    async with a_host(tmp_path, channel, runtime) as host:
        await channel.say("x")
        await runtime.wait_started(1)
        container_runs(only_session(tmp_path), says("one", 1, None))
        await final(tmp_path, 1)
        assert crashed(host, "sessions") == set()
    assert channel.odd.asked == asked
    status, reason = ledger(tmp_path)["one"]
    assert status == ("delivered" if error is None else "failed")
    assert (error or "") in (reason or "")


class SlowChannel(FakeChannel):
    """A channel that never connects."""

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        await trio.sleep(inf)
        async with super().sender() as sender:
            yield sender


async def test_a_channel_that_does_not_connect_delays_no_other(tmp_path: Path) -> None:
    channel, slow, runtime = FakeChannel(), SlowChannel("slow"), FakeRuntime()
    seams = Seams(runtime=runtime)
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel, slow], seams=seams) as host:
            await wire(host, channel.address())
            await wire(host, slow.address())
            [session] = (await channel.say("x")).session_ids
            await runtime.wait_started(1)
            [root] = (tmp_path / "data" / "sessions").glob(f"*/{session}")
            container_runs(SessionPaths(root), says("held", 1, slow.address()), says("good", 3, None))
            await channel.wait_for(1)
    found = rows(SessionPaths(root).inbound_db, "SELECT status, attempts, doubts, error FROM deliveries")
    assert found[0] == ("pending", 0, 0, "the channel slow is not connected yet")


def test_a_series_continues_after_a_delivery_of_unknown_outcome(tmp_path: Path) -> None:
    async def scenario(world: World) -> list[str]:
        channel, idle = FakeChannel(repeat="never"), FakeRuntime()
        channel.fail("hang", times=1)
        async with world.life(channel, runtime=idle) as host:
            await wire(host, channel.address())
            [message] = (await channel.say("x")).message_ids
            await idle.wait_started(1)
            again: dict[str, Any] = {}
            container_runs(
                only_session(tmp_path),
                says("daily", 1, channel.address()),
                ("UPDATE messages_out SET recurrence = '@daily'", again),
                acks(message, "completed"),
            )
            await channel.wait_attempts(1)
            await world.kill_host()
        channel.heal()
        async with world.life(channel, runtime=FakeRuntime()):
            await channel.wait_for(1)
        return [one.message_out_id for one in channel.sent]

    sent, _ = simulate(scenario, seed=1, home=tmp_path)
    assert sent == ["daily@2026-01-03T00:00:00.000Z"]


async def test_a_thousand_messages_that_wait_for_their_channel_delay_no_other(tmp_path: Path) -> None:
    channel, runtime, gone = FakeChannel(), FakeRuntime(), Address("gone", "chat")
    async with a_host(tmp_path, channel, runtime, delivery={"backoff_s": (60.0,)}) as host:
        await wire(host, gone)
        await channel.say("x")
        await runtime.wait_started(1)
        held = [says(f"held-{n}", 2 * n + 1, gone) for n in range(1005)]
        container_runs(only_session(tmp_path), *held, says("good", 9999, None))
        await channel.wait_for(1)
    assert [one.message_out_id for one in channel.sent] == ["good"]
