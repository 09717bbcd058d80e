"""The socket of a real host: real sessions, runners, files."""

from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen

from nanoclaw import host_status
from nanoclaw.cli.status import status_lines
from nanoclaw.session import open_conversations
from nanoclaw.session.actor import SessionActor
from nanoclaw.testing import FakeChannel, wire
from tests.control.clients import GUARD_S, LivingHost, RawClient, connected, living, silent
from tests.host.homes import only_session, supervisor

pytestmark = pytest.mark.slow


@frozen
class Hang:
    """A message that keeps a session busy."""

    until: trio.Event

    async def handle(self, _actor: SessionActor) -> None:
        await self.until.wait()


async def converse(client: RawClient, text: str, id_: str = "say") -> str:
    """Send a message; return the first reply to it."""
    await client.send(id_, "chat", text=text)
    while True:
        answers, shown = await client.message()
        if answers == id_:
            await client.result(id_)
            return shown


async def only_living(client: RawClient) -> dict[str, Any]:
    [session] = (await client.ask("status"))["living_sessions"]
    assert isinstance(session, dict)
    return session


async def told(client: RawClient, *path: str) -> Any:
    """Ask for the status until there is a living session, and something at `path` in it."""
    while True:
        found: Any = (await client.ask("status"))["living_sessions"]
        for key in (0, *path):
            found = found and found[key]
        if found:
            return found


async def test_the_host_reports_what_it_is_doing(tmp_path: Path) -> None:
    async with living(tmp_path) as host, connected(host.data) as client:
        assert await converse(client, "hello") == "echo: hello"
        status = await client.ask("status")
        [session] = status["living_sessions"]
        [channel] = status["channels"]
        assert (channel["name"], channel["condition"], channel["waiting"]) == ("cli", None, 0)
        figures = {key: status[key] for key in ("data", "runtime", "sessions", "living", "buried", "parked")}
        assert figures == {
            "data": str(host.data),
            "runtime": "process",
            "sessions": 1,
            "living": 1,
            "buried": 0,
            "parked": 0,
        }
        assert (session["chat"], session["agent_group"], session["state"]) == (
            "cli:terminal",
            "NanoClaw",
            "running",
        )
        details = session["details"]
        assert (details["runner"]["state"], details["pending"], details["deliveries"]) == ("running", 0, 0)
        tree = await client.ask("tree")
        supervisors = [node["name"] for node in tree["children"] if node["capacity"] == 0]
        assert supervisors[-1] == "control"
        assert {"senders", "sessions", "receivers"} < set(supervisors)


async def test_a_future_task_is_distinguished_from_waiting_messages(tmp_path: Path) -> None:
    async with living(tmp_path) as host, connected(host.data) as client:
        await converse(client, '!schedule_task {"prompt": "tea", "recurrence": "@every 3600"}')
        details = (await only_living(client))["details"]
        assert (details["pending"], details["scheduled"]) == (1, 1)
        [line] = [line for line in status_lines(await client.ask("status")) if "cli:terminal" in line]
        assert "0 to answer, 1 task later" in line


async def test_the_confirmation_before_a_deletion_is_requested_over_the_socket(tmp_path: Path) -> None:
    async with living(tmp_path) as host, connected(host.data) as client:
        params = {"operation": "agents.delete", "params": {"agent": "main"}}
        question = await client.ask("confirmation", **params)
        assert question == "Delete agent main with its members, rights and destinations?"
        await client.send("1", "confirmation", operation="users.delete", params={"user": "tg:77"})
        assert (await client.error())["code"] == "not_found"


async def test_concurrent_clients_get_only_their_own_replies(tmp_path: Path) -> None:
    async with living(tmp_path) as host:

        async def client(name: str) -> None:
            async with connected(host.data) as own:
                for number in range(5):
                    assert await converse(own, f"{name} {number}", f"{number}") == f"echo: {name} {number}"

        async with trio.open_nursery() as nursery:
            for name in ("one", "two", "three"):
                nursery.start_soon(client, name)


async def test_a_message_sent_by_a_tool_is_shown_to_attached_clients(tmp_path: Path) -> None:
    async with living(tmp_path) as host, connected(host.data) as client, connected(host.data) as other:
        await other.ask("listen")
        await client.send("1", "chat", text='!send_message {"text": "by the way"}')
        assert await client.message() == await other.message() == (None, "by the way")


async def test_a_hanging_session_is_reported_without_its_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_status, "ANSWER_WITHIN_S", 0.05)
    async with living(tmp_path) as host, connected(host.data) as client:
        await converse(client, "hello")
        [who] = (await host.host.central.run(open_conversations)).usable
        until = trio.Event()
        await host.host.sessions.ref(who).cast(Hang(until))
        session = await only_living(client)
        assert (session["state"], session["details"]) == ("running", None)
        until.set()
        assert await converse(client, "again", "again") == "echo: again"
        assert (await only_living(client))["details"]["pending"] == 0


async def test_the_reason_for_an_undelivered_message_is_reported(tmp_path: Path) -> None:
    network = FakeChannel()
    network.fail("unavailable")
    async with (
        living(tmp_path, network, delivery={"backoff_s": (60.0,)}) as host,
        connected(host.data) as client,
    ):
        await wire(host.host, network.address("chat"))
        await network.say("hello")
        await told(client, "details", "oldest_delivery", "reason")
        session = await only_living(client)
        delivery = session["details"]["oldest_delivery"]
        assert (session["chat"], session["details"]["deliveries"]) == ("fake:chat", 1)
        assert (delivery["attempts"], delivery["reason"]) == (1, "the fake network is down")
        assert delivery["not_before"] is not None
    async with (
        living(tmp_path, network, delivery={"backoff_s": (60.0,)}) as host,
        connected(host.data) as client,
    ):
        after = await told(client, "details", "oldest_delivery")
        assert (after["attempts"], after["reason"]) == (1, "the fake network is down")


async def test_a_failed_runner_is_reported_with_the_reason(tmp_path: Path) -> None:
    async with living(tmp_path, runtime={"command": ("/no/runner",)}) as host, connected(host.data) as client:
        await client.send(1, "chat", text="hello")
        await client.event("accepted")
        assert "/no/runner" in await told(client, "details", "runner", "last_failure")
        details = (await only_living(client))["details"]
        assert details["pending"] == 1
        assert details["runner"]["failures"] >= 1


async def test_a_quarantined_session_is_reported_with_the_reason(tmp_path: Path) -> None:
    async with living(tmp_path) as host, connected(host.data) as client:
        await converse(client, "hello")
    only_session(tmp_path).outbound_db.write_bytes(b"no database at all, " * 1000)
    async with living(tmp_path) as host, connected(host.data) as client:
        await client.send(1, "chat", text="hello")
        assert "outbound.db" in await told(client, "details", "quarantined")


async def test_a_buried_session_and_its_parked_events_are_reported(tmp_path: Path) -> None:
    async with living(tmp_path) as host, connected(host.data) as client:
        await converse(client, "hello")
    only_session(tmp_path).inbound_db.write_bytes(b"no database at all, " * 1000)
    async with living(tmp_path) as host, connected(host.data) as client:
        await client.send(1, "chat", text="hello")
        await client.event("accepted")
        status = await client.ask("status")
        assert (status["living"], status["buried"], status["parked"]) == (0, 1, 1)
        [session] = status["living_sessions"]
        assert (session["state"], session["parked"], session["details"]) == ("buried", 1, None)
        assert "inbound.db" in session["last_crash"]


async def test_a_crashed_socket_is_restarted(tmp_path: Path) -> None:
    async with living(tmp_path) as host:
        async with connected(host.data) as client:
            control = supervisor(host.host, "control")
            control.kill("socket")
            await client.ended()
            ref = control.get("socket")
            assert ref is not None
            await ref.wait_started()
        async with connected(host.data) as client:
            assert await converse(client, "hello") == "echo: hello"


async def leave_attached(host: LivingHost, *, task_status: trio.TaskStatus[None]) -> None:
    """Attach clients of all kinds that stay until they are disconnected."""
    async with (
        connected(host.data) as chatting,
        connected(host.data) as following,
        silent(host.data),
    ):
        await chatting.send(1, "chat", text="hello")
        await chatting.message()
        host.ring.add(None, "info", {"event": "something"})
        await following.send(1, "logs", follow=True)
        await following.receive()
        task_status.started()
        await chatting.ended()
        await following.ended()


async def test_a_host_with_clients_attached_stops_as_fast_as_without(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        async with living(tmp_path) as host:
            await nursery.start(leave_attached, host)
            stopping = trio.current_time()
        assert trio.current_time() - stopping < GUARD_S / 2
