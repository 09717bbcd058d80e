"""The terminal's chat over the socket: which client sees a message, and which messages are kept."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import cast

import pytest
import trio
import trio.testing
from attrs import Factory, define

from nanoclaw.channels.protocol import Outcome, Unattended
from nanoclaw.channels.terminal import guest
from nanoclaw.channels.terminal.desk import Speaker
from nanoclaw.channels.terminal.marks import time_mark
from nanoclaw.channels.terminal.showing import Display
from nanoclaw.channels.terminal.terminal import CHAT, NO_ANSWER, USER_ID, Terminal
from nanoclaw.channels.terminal.visits import Done, Drafting, Shown, TooSlow, Working
from nanoclaw.cli.client import Client
from nanoclaw.cli.remote import Remote
from nanoclaw.records import (
    Attended,
    EditContent,
    Event,
    InboundEvent,
    Outgoing,
    ReactionContent,
    Receipt,
    Routed,
    TextContent,
)
from tests.control.clients import connected, listening


@define(eq=False)
class Screen:
    """A front end without input."""

    shown: list[str] = Factory(list)
    drafts: list[str] = Factory(list)
    gone: bool = False

    async def read(self, _speaker: Speaker) -> None:
        await trio.sleep_forever()

    async def show(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.gone:
            raise BrokenPipeError
        self.shown.append(text)

    def typing(self, *, on: bool) -> None:
        pass

    def draft(self, text: str) -> None:
        self.drafts.append(text)


@define(eq=False)
class Arrivals:
    """An intake that keeps what it is offered."""

    events: list[Event] = Factory(list)
    _more: trio.Event = Factory(trio.Event)

    async def offer(self, event: Event) -> Routed:
        await trio.lowlevel.checkpoint()
        self.events.append(event)
        self._more.set()
        self._more = trio.Event()
        return Routed(("sess-1",), ("in-1",))

    async def arrived(self, times: int) -> None:
        """Wait until the terminal has said so often that somebody attends."""
        while sum(isinstance(event, Attended) for event in self.events) < times:
            await self._more.wait()


async def test_a_message_is_accepted_processed_answered_and_completed(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened, connected(tmp_path) as client:
        await client.send(5, "chat", text="hello")
        answers = [await client.receive() for _ in range(4)]
        accepted = {"id": 5, "event": {"type": "accepted", "sessions": ["sess-1"]}}
        assert accepted in answers
        answers.remove(accepted)
        assert answers == [
            {"id": None, "event": {"type": "typing"}},
            {"id": 5, "event": {"type": "message", "text": "echo: hello", "message": 1}},
            {"id": 5, "result": {"failed": None}},
        ]
        [event] = opened.echo.offered
        assert (event.address, event.message.sender_id) == (CHAT, USER_ID)


async def test_any_text_arrives_unchanged(tmp_path: Path) -> None:
    text = "Grüße 🌍\n\x00\x1b[31m\ud800\u2028" + "x" * 300_000
    async with listening(tmp_path), connected(tmp_path) as client:
        await client.send(1, "chat", text=text)
        assert (await client.message())[1] == f"echo: {text}"


async def test_messages_of_one_client_keep_their_order(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened, connected(tmp_path) as client:
        for number in range(50):
            await client.send(number, "chat", text=str(number))
        for number in range(50):
            assert await client.message() == (number, f"echo: {number}")
        assert [event.message.text for event in opened.echo.offered] == [str(n) for n in range(50)]


async def test_a_message_that_is_not_stored_or_not_routed_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    async with listening(tmp_path) as opened, connected(tmp_path) as client:
        opened.echo.refusal = "the disk is full"
        await client.send(1, "chat", text="hello")
        assert await client.error() == {"id": 1, "code": "not_accepted", "message": "the disk is full"}
        opened.echo.refusal, opened.echo.dropped = None, "no agent is wired to this chat"
        await client.send(2, "chat", text="hello")
        assert await client.error() == {
            "id": 2,
            "code": "dropped",
            "message": "no agent is wired to this chat",
        }


async def test_a_reply_goes_only_to_the_client_that_asked(tmp_path: Path) -> None:
    screen = Screen()
    async with (
        listening(tmp_path, front=screen),
        connected(tmp_path) as one,
        connected(tmp_path) as two,
    ):
        for client in (one, two):
            await client.ask("listen")
        await one.send(1, "chat", text="of one")
        await two.send(2, "chat", text="of two")
        assert await one.message() == (1, "echo: of one")
        assert await two.message() == (2, "echo: of two")
        assert screen.shown == []


async def test_an_unprompted_message_goes_to_all_attached_clients(tmp_path: Path) -> None:
    screen = Screen()
    async with (
        listening(tmp_path, front=screen) as opened,
        connected(tmp_path) as one,
        connected(tmp_path) as two,
        connected(tmp_path) as looking_on,
    ):
        for client in (one, two):
            await client.ask("listen")
        await opened.echo.show("reminder")
        assert await one.message() == await two.message() == (None, "reminder")
        assert screen.shown == ["reminder"]
        assert await looking_on.ask("tree")


async def test_a_message_is_held_until_somebody_attends(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened:
        with pytest.raises(Unattended, match="nobody is at the terminal; `nanoclaw chat` shows it"):
            await opened.echo.show("reminder")
        async with connected(tmp_path) as client:
            await client.ask("listen")
            assert opened.echo.attended == 1
            await opened.echo.show("reminder")
            assert await client.message() == (None, "reminder")


async def test_a_message_counts_as_shown_only_when_a_confirming_client_says_so(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened, trio.open_nursery() as nursery:
        over = trio.Event()

        async def show() -> None:
            await opened.echo.show("reminder")
            over.set()

        async with connected(tmp_path) as client:
            await client.ask("listen", confirm=True)
            nursery.start_soon(show)
            event = await client.event("message")
            await client.ask("tree")  # the host has handled all that the client sent
            assert not over.is_set()
            await client.ask("shown", message=event["message"])
            await over.wait()


async def test_a_message_that_a_client_has_not_shown_is_held_when_it_leaves(tmp_path: Path) -> None:
    held = trio.Event()
    async with listening(tmp_path) as opened, trio.open_nursery() as nursery:

        async def show() -> None:
            with pytest.raises(Unattended):
                await opened.echo.show("reminder")
            held.set()

        async with connected(tmp_path) as client:
            await client.ask("listen", confirm=True)
            nursery.start_soon(show)
            await client.event("message")
        await held.wait()


async def test_the_reply_to_a_disconnected_client_goes_to_the_others(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened, connected(tmp_path) as other:
        await other.ask("listen")
        with opened.terminal.visit() as visit:
            await visit.say("tag", "hello")
        assert await other.message() == (None, "echo: hello")


async def test_a_message_shown_late_is_not_shown_again(autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    intake, channel = Arrivals(), Terminal(None, Random(1))
    channel.open()
    message = Outgoing("out-1", CHAT, TextContent("reminder"))
    async with channel.sender() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(channel.receive, intake)
        with channel.visit() as slow:
            slow.listen(confirms=True, drafts=False)
            with pytest.raises(Unattended, match="have not shown it yet"):
                await sender.deliver(message)
            assert await slow.next() == Shown("reminder", None, 1)
            await intake.arrived(1)
            slow.confirm(1)
            await intake.arrived(2)
            assert await sender.deliver(message) == Receipt("out-1")
            assert len(slow._events) == 1
        nursery.cancel_scope.cancel()


async def test_a_reply_shown_late_is_not_shown_again_while_its_line_is_open(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    intake, channel = Arrivals(), Terminal(None, Random(1))
    channel.open()
    async with channel.sender() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(channel.receive, intake)
        with channel.visit() as slow:
            slow.listen(confirms=True, drafts=False)
            await slow.say("tag", "hello")
            reply = Outgoing("out-1", CHAT, TextContent("hi"), intake.events[-1].event_id)
            with pytest.raises(Unattended, match="have not shown it yet"):
                await sender.deliver(reply)
            assert await slow.next() == Shown("hi", "tag", 1)
            slow.confirm(1)
            await intake.arrived(2)
            assert await sender.deliver(reply) == Receipt("out-1")
            await trio.testing.wait_all_tasks_blocked()
            assert len(slow._events) == 1
        nursery.cancel_scope.cancel()


async def test_a_reply_that_its_asker_does_not_show_goes_to_the_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    screen = Screen()
    intake, channel = Arrivals(), Terminal(screen, Random(1))
    channel.open()
    async with channel.sender() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(channel.receive, intake)
        with channel.visit() as stopped:
            await stopped.say("tag", "hello")
            await sender.deliver(Outgoing("out-1", CHAT, TextContent("hi"), intake.events[-1].event_id))
            assert screen.shown == ["hi"]
        nursery.cancel_scope.cancel()


async def test_a_draft_goes_to_the_client_that_asked_and_a_message_removes_it(tmp_path: Path) -> None:
    screen = Screen()
    async with (
        listening(tmp_path, front=screen) as opened,
        connected(tmp_path) as one,
        connected(tmp_path) as two,
    ):
        for client in (one, two):
            await client.ask("listen", drafts=True)
        opened.echo.quiet = True
        await one.send(1, "chat", text="of one")
        await one.event("accepted")
        opened.terminal.draft("so far")
        assert await one.receive() == {"id": None, "event": {"type": "draft", "text": "so far"}}
        await opened.echo.show("final", opened.echo.offered[0].event_id)
        for client, wanted in ((one, [(1, "message"), ("end", None)]), (two, [("end", None)])):
            await client.send("end", "tree")
            answers = [await client.receive() for _ in wanted]
            assert [(each["id"], each.get("event", {}).get("type")) for each in answers] == wanted
    assert not any(screen.drafts)


async def test_a_draft_that_answers_no_open_line_goes_to_all_who_want_drafts(tmp_path: Path) -> None:
    screen = Screen()
    async with (
        listening(tmp_path, front=screen) as opened,
        connected(tmp_path) as one,
        connected(tmp_path) as old,
    ):
        await one.ask("listen", drafts=True)
        await old.ask("listen")
        for text in ("so far", ""):
            opened.terminal.draft(text)
            assert (await one.event("draft"))["text"] == text
        await opened.echo.show("final")
        answer = await old.receive()  # its first event
        assert answer["event"]["type"] == "message"
    assert screen.drafts == ["so far", "", ""]


async def test_a_client_that_reads_slowly_gets_the_newest_draft_only() -> None:
    channel = Terminal(None, Random(1))
    with channel.visit() as slow:
        slow.listen(confirms=True, drafts=True)
        for n in range(5000):
            channel.draft(f"text {n}")
        assert await slow.next() == Drafting("text 4999")
        channel.draft("more")
        channel.draft("")
        channel.draft("")
        assert await slow.next() == Drafting("")
        assert len(slow._events) == 1


async def test_a_draft_that_still_waits_is_not_sent_after_the_message_that_replaces_it() -> None:
    channel = Terminal(None, Random(1))
    with channel.visit() as slow:
        slow.listen(confirms=False, drafts=True)
        slow.work()
        assert await slow.next() == Working()
        channel.draft("so far")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow.show, Display("final"), None)
            await trio.testing.wait_all_tasks_blocked()
            assert await slow.next() == Shown("final", None, 1)
            nursery.cancel_scope.cancel()


@define(eq=False)
class OldHost:
    """A host of an earlier version, which knows no drafts."""

    asked: list[Mapping[str, object]] = Factory(list)

    async def send(self, _id: str, _method: str, /, **params: object) -> None:
        await trio.lowlevel.checkpoint()
        self.asked.append(params)

    async def receive(self) -> Mapping[str, object]:
        await trio.lowlevel.checkpoint()
        if "drafts" in self.asked[-1]:
            error = {"code": "bad_request", "message": "extra fields found (drafts) @ params"}
            return {"id": "listen", "error": error}
        return {"id": "listen", "result": {"answering": []}}


async def test_a_prompt_attends_an_older_host_without_drafts() -> None:
    remote, host = Remote(Screen(), drafts=True), OldHost()
    assert await remote.listen(cast("Client", host)) == []
    assert host.asked == [{"confirm": True, "drafts": True}, {"confirm": True}]


async def test_nothing_counts_as_delivered_if_the_hosts_terminal_is_gone(tmp_path: Path) -> None:
    screen = Screen(gone=True)
    async with listening(tmp_path, front=screen) as opened:
        with pytest.raises(Unattended):
            await opened.echo.show("hello")
        async with connected(tmp_path) as client:
            await client.ask("listen")
            await opened.echo.show("hello")
            assert await client.message() == (None, "hello")


async def test_a_client_that_reads_nothing_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "MAX_WAITING_SIZE", 10)
    async with listening(tmp_path) as opened:
        with opened.terminal.visit() as deaf:
            with pytest.raises(Unattended):
                await opened.echo.show("far too much")
            with pytest.raises(TooSlow):
                await deaf.next()


async def test_a_client_with_too_many_unread_events_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "MAX_WAITING", 3)
    async with listening(tmp_path) as opened, connected(tmp_path) as client:
        with opened.terminal.visit() as deaf:
            for number in range(5):
                deaf.work()
                deaf._add(Done(str(number)))
            with pytest.raises(TooSlow):
                await deaf.next()
        assert await client.ask("tree")


async def test_a_host_without_a_terminal_chat_reports_it(tmp_path: Path) -> None:
    async with listening(tmp_path, bare=True), connected(tmp_path) as client:
        for method, params in (("chat", {"text": "hello"}), ("listen", {}), ("logs", {})):
            await client.send(method, method, **params)
            error = await client.error()
            assert (error["id"], error["code"]) == (method, "unavailable")


@define(eq=False)
class Asker(Screen):
    """A front end that says one line."""

    async def read(self, speaker: Speaker) -> None:
        await speaker.say("hello")
        await trio.sleep_forever()


async def _asked(outcome: Outcome, *replies: str, late_s: float = 0.0) -> tuple[list[str], str | None]:
    """Settle a line, then reply. Return what is shown once the line is settled, and why it failed."""
    screen = Asker()
    intake, channel = Arrivals(), Terminal(screen, Random(1))
    channel.open()
    async with channel.sender() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(channel.receive, intake)
        await trio.testing.wait_all_tasks_blocked()
        [line] = [event.event_id for event in intake.events if isinstance(event, InboundEvent)]
        await sender.settled(CHAT, line, outcome)
        for number, reply in enumerate(replies):
            await trio.sleep(late_s)
            nursery.start_soon(sender.deliver, Outgoing(f"out-{number}", CHAT, TextContent(reply), line))
        await channel.settle()
        nursery.cancel_scope.cancel()
    return screen.shown, next((each.failed for each in channel.unanswered()), None)


async def test_a_line_is_open_until_the_reply_of_a_runner_that_acks_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    assert await _asked("completed", "hi", late_s=1.0) == (["hi"], None)
    assert await _asked("completed") == ([], None)


async def test_a_line_whose_answer_was_refused_says_so(autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    shown, failed = await _asked("failed")
    assert (shown, failed) == ([], NO_ANSWER)


@pytest.mark.parametrize(
    ("written", "scheduled", "mark"),
    [
        (0, None, ""),
        (59, None, ""),
        (3600, None, "[13:00] "),
        (86_400, None, "[2026-11-29 14:00] "),
        (0, 60, "[reminder, 13:59] "),
    ],
)
def test_reminders_and_late_messages_have_their_time(
    written: float, scheduled: float | None, mark: str
) -> None:
    now = datetime(2026, 11, 30, 13, tzinfo=UTC)
    message = Outgoing(
        "out-1",
        CHAT,
        TextContent("tea"),
        written_at=now - timedelta(seconds=written),
        scheduled_at=None if scheduled is None else now - timedelta(seconds=scheduled),
    )
    assert time_mark(message, now, "Europe/Berlin") == mark


def test_a_message_of_another_agent_is_marked_with_its_name() -> None:
    channel = Terminal(None, Random(1), assistant="NanoClaw")
    texts = [
        channel.display(Outgoing(f"out-{who}", CHAT, TextContent("yes"), author=who)).text
        for who in ("NanoClaw", "Helper", "")
    ]
    assert texts == ["yes", "[Helper] yes", "yes"]


def test_an_edit_and_a_reaction_quote_their_message_instead_of_its_id() -> None:
    channel = Terminal(None, Random(1))
    channel.display(Outgoing("out-1", CHAT, TextContent("tea is ready")))
    edit = channel.display(Outgoing("out-2", CHAT, EditContent("out-1", "coffee is ready")))
    reaction = channel.display(Outgoing("out-3", CHAT, ReactionContent("out-0", "👍")))
    assert (edit.text, reaction.text) == ('[edited "tea is ready"] coffee is ready', "[👍]")
