"""The terminal's chat over the socket: which client sees a message, and which messages are kept."""

from pathlib import Path

import pytest
import trio
from attrs import Factory, define

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.terminal import guest, terminal
from nanoclaw.channels.terminal.desk import Speaker
from nanoclaw.channels.terminal.terminal import CHAT, USER_ID
from nanoclaw.channels.terminal.visits import Shown, TooSlow
from tests.control.clients import connected, listening


@define(eq=False)
class Screen:
    """A front end without input."""

    shown: list[str] = Factory(list)
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


async def test_a_message_is_accepted_processed_answered_and_completed(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened, connected(tmp_path) as client:
        await client.send(5, "chat", text="hello")
        answers = [await client.receive() for _ in range(4)]
        accepted = {"id": 5, "event": {"type": "accepted", "sessions": ["sess-1"]}}
        assert accepted in answers
        answers.remove(accepted)
        assert answers == [
            {"id": None, "event": {"type": "typing"}},
            {"id": 5, "event": {"type": "message", "text": "echo: hello"}},
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
        await opened.terminal.show("reminder", None)
        assert await one.message() == await two.message() == (None, "reminder")
        assert screen.shown == ["reminder"]
        assert await looking_on.ask("tree")


async def test_a_message_without_an_attached_client_is_kept_for_the_next_listener(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened:
        await opened.terminal.show("first", None)
        await opened.terminal.show("second", "of a line of yesterday")
        async with connected(tmp_path) as passing:
            await passing.send(1, "chat", text="hello")
            assert await passing.message() == (1, "echo: hello")
        async with connected(tmp_path) as listener:
            await listener.send(1, "listen")
            assert [await listener.message() for _ in range(2)] == [(None, "first"), (None, "second")]
        async with connected(tmp_path) as late:
            await late.ask("listen")
            assert list(opened.terminal.unseen) == []


async def test_the_reply_to_a_disconnected_client_is_kept(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened:
        with opened.terminal.visit() as visit:
            await visit.say("tag", "hello")
        assert list(opened.terminal.unseen) == ["echo: hello"]
        with opened.terminal.visit() as visit:
            visit.listen()
            assert await visit.next() == Shown("echo: hello")
            assert list(opened.terminal.unseen) == []
        # It was in transit, and its arrival was not confirmed.
        assert list(opened.terminal.unseen) == ["echo: hello"]


async def test_a_message_beyond_the_limit_of_kept_messages_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "MAX_UNSEEN", 2)
    async with listening(tmp_path) as opened:
        for text in ("first", "second"):
            await opened.terminal.show(text, None)
        with pytest.raises(
            ChannelUnavailable, match="2 messages already wait for a client of the terminal's chat"
        ):
            await opened.terminal.show("third", None)


async def test_nothing_counts_as_delivered_if_the_hosts_terminal_is_gone(tmp_path: Path) -> None:
    screen = Screen(gone=True)
    async with listening(tmp_path, front=screen) as opened:
        with pytest.raises(ChannelUnavailable, match="the terminal is gone"):
            await opened.terminal.show("hello", None)
        with opened.terminal.visit() as visit:
            await opened.terminal.show("hello", None)
            assert await visit.next() == Shown("hello")


async def test_a_client_that_reads_nothing_is_disconnected_and_its_messages_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "MAX_WAITING_SIZE", 10)
    async with listening(tmp_path) as opened:
        with opened.terminal.visit() as deaf:
            await opened.terminal.show("12345678", None)
            await opened.terminal.show("too much", None)
            with pytest.raises(TooSlow):
                await deaf.next()
        assert sorted(opened.terminal.unseen) == ["12345678", "too much"]


async def test_a_client_with_too_many_unread_events_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "MAX_WAITING", 3)
    async with listening(tmp_path) as opened, connected(tmp_path) as client:
        with opened.terminal.visit() as deaf:
            for number in range(5):
                await deaf.say(str(number), "hello")
            with pytest.raises(TooSlow):
                await deaf.next()
        assert await client.ask("tree")


async def test_a_host_without_a_terminal_chat_reports_it(tmp_path: Path) -> None:
    async with listening(tmp_path, bare=True), connected(tmp_path) as client:
        for method, params in (("chat", {"text": "hello"}), ("listen", {}), ("logs", {})):
            await client.send(method, method, **params)
            error = await client.error()
            assert (error["id"], error["code"]) == (method, "unavailable")
