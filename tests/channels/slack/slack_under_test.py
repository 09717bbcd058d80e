"""A Slack channel and the workspace behind it, for the tests of this folder."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.responses import JSONResponse, Response

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.slack.channel import SlackChannel, make
from nanoclaw.channels.slack.config import SlackConfig
from nanoclaw.channels.slack.dialect import emoji_name, emoji_of
from nanoclaw.config.model import KeyConfig
from nanoclaw.records import Address, ReactionContent
from nanoclaw.testing import MemoryState
from nanoclaw.testing.conformance import ChannelUnderTest
from nanoclaw.testing.conformance.networks import DirectChat, Thread
from nanoclaw.testing.networks.slack import FakeSlack, open_fake_slack

CHAT, USER = "C1", "U1"


def config(slack: FakeSlack, folder: Path) -> SlackConfig:
    bot, app = folder / "bot", folder / "app"
    bot.write_text(slack.bot_token)
    app.write_text(slack.app_token)
    return SlackConfig(KeyConfig(file=bot), KeyConfig(file=app), slack.api_base)


def channel_of(slack: FakeSlack, folder: Path, state: MemoryState | None = None) -> SlackChannel:
    channel = make(config(slack, folder), ChannelContext("slack", folder / "own", "UTC", "Nano"))
    channel.use_state(state or MemoryState())
    return channel


@contextmanager
def rejecting(slack: FakeSlack) -> Iterator[None]:
    before = slack.answers_with
    slack.answers_with = lambda method, _: _refusal() if method.startswith("chat.") else None
    yield
    slack.answers_with = before


def _refusal() -> Response:
    return JSONResponse({"ok": False, "error": "restricted_action"})


@contextmanager
def silent(slack: FakeSlack) -> Iterator[None]:
    slack.silent = "breaks"
    yield
    slack.silent = ""


@contextmanager
def discarding(slack: FakeSlack) -> Iterator[None]:
    slack.discards = True
    yield
    slack.discards = False


@asynccontextmanager
async def slack_under_test() -> AsyncIterator[ChannelUnderTest]:
    with TemporaryDirectory() as folder:
        async with open_fake_slack() as slack:
            slack.redeliver_s = 0.3
            yield under_test(slack, Path(folder))


def under_test(slack: FakeSlack, folder: Path) -> ChannelUnderTest:
    said = list[str]()
    root = slack.post(CHAT, USER, "a thread")["ts"]

    def says_in(thread: str | None) -> Callable[[str], Awaitable[None]]:
        async def says(text: str) -> None:
            said.append(await slack.say(CHAT, USER, text, thread=thread))

        return says

    async def sends(name: str, data: bytes) -> None:
        said.append(await slack.say(CHAT, USER, "", files=[(name, data)]))

    async def sends_large(name: str, size: int) -> None:
        said.append(await slack.say_large(CHAT, USER, name, size))

    async def reacts(emoji: str) -> None:
        name = emoji_name(ReactionContent("", emoji))
        await slack.react(CHAT, slack.of_bot(CHAT)[-1]["ts"], USER, name)

    return ChannelUnderTest(
        channel_of(slack, folder),
        Address("slack", CHAT),
        lambda: slack.texts(CHAT),
        says=says_in(None),
        presses=lambda label: slack.press(CHAT, USER, label),
        down=slack.offline,
        rejecting=lambda: rejecting(slack),
        silent=lambda: silent(slack),
        edits=lambda text: slack.edit(CHAT, said[-1], text),
        deletes=lambda: slack.delete(CHAT, said[-1]),
        reacts=reacts,
        renames=lambda name: slack.rename(CHAT, name),
        joins=lambda: slack.join(CHAT, USER),
        leaves=lambda: slack.join(CHAT, USER, leaves=True),
        direct=DirectChat(f"slack:{USER}", lambda: slack.texts(f"D{USER}")),
        discarding=lambda: discarding(slack),
        sends_large=sends_large,
        files=lambda: slack.shared(CHAT),
        sends=sends,
        reactions=lambda: [
            (each["ts"], emoji_of(name)) for each in slack.of_bot(CHAT) for name in each.get("reactions", ())
        ],
        thread=Thread(Address("slack", CHAT, root), lambda: slack.texts(CHAT, root), says_in(root)),
    )
