"""Checks of a channel's contents: every part of a message arrives, in both directions."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unicodedata import normalize

from nanoclaw.channels.protocol import Channel, DeliveryRejected, Sender, capabilities_of
from nanoclaw.records import (
    Deleted,
    EditContent,
    Outgoing,
    Reacted,
    ReactionContent,
    Said,
    TextContent,
)
from nanoclaw.records.files import decoded
from nanoclaw.testing.conformance.checks import NotConforming, hook, only, require
from nanoclaw.testing.conformance.exchanges import (
    Host,
    deliver,
    did,
    failure,
    outgoing,
    receipt_of,
    receiving,
)
from nanoclaw.testing.conformance.networks import ChannelUnderTest, Thread
from nanoclaw.testing.files import file_to_send

WRITING = (
    "äöüß ñ ø",
    "日本語 русский العربية",
    "\N{GRINNING FACE} \N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4} \N{HEAVY BLACK HEART}\ufe0f",
    "<b>5 > 3 & \"so\" 'on'</b> %s {0} \\n $HOME *_`",
)
LINES = "one\ntwo\n\nthree"
INDENTED = "def f():\n    return 1\n\tend"
BLANKS = "  two  before,\ta tab, two after  "
LENGTHS = (300, 5_000, 20_000)
"""Characters of a long line, a usual answer, and a long one."""
FILES = (("notes 1.txt", "Grüße\n".encode()), ("data.bin", bytes(range(256)) * 300))
UP = "\N{THUMBS UP SIGN}"


# -- texts ---------------------------------------------------------------------


async def every_character_arrives(it: ChannelUnderTest) -> None:
    """Texts of any script arrive, with emoji, markup characters, line breaks and indentation."""
    async with it.channel.sender() as sender:
        for text in (*WRITING, LINES, INDENTED):
            before = len(it.texts())
            await deliver(sender, outgoing(it.address, text, f"out-{before}"))
            seen = "\n".join(it.texts()[before:])
            require(_same(seen, text), f"sent {text!r}; users see {seen!r}")


def _same(one: str, other: str) -> bool:
    """Return whether texts are equal, apart from Unicode normalization and line ends."""
    lines = [[line.rstrip() for line in normalize("NFC", text).splitlines()] for text in (one, other)]
    return lines[0] == lines[1]


async def what_is_too_long_is_split_or_rejected(it: ChannelUnderTest) -> None:
    """A long text arrives in several messages or is rejected. It is never truncated."""
    async with it.channel.sender() as sender:
        for length in LENGTHS:
            text, before = numbered(length), len(it.texts())
            if await _rejected(sender, outgoing(it.address, text, f"out-{length}")):
                continue
            seen = "".join(it.texts()[before:]) + _in_files(it)
            require(_holds(seen, text), f"of {length:,} characters users see {len(seen):,}, not all")


def numbered(length: int) -> str:
    """Return a text in which no part repeats."""
    text = " ".join(f"word{n}" for n in range(length // 5))
    return text[: length - 4] + " end"


def _in_files(it: ChannelUnderTest) -> str:
    """Return the text of files, as some networks send a long text as a file."""
    return "".join(data.decode("utf-8", "replace") for _, data in (it.files() if it.files else ()))


def _holds(seen: str, text: str) -> bool:
    """Return whether the whole text is there, in order. A network may split it and mark the parts."""
    characters = iter(seen)
    return all(one in characters for one in text if not one.isspace())


async def markdown_arrives(it: ChannelUnderTest) -> None:
    """Markdown is rendered or stripped, and the text that it marks arrives."""
    content = TextContent(
        "# Weather\n\n**rain** and `wind_1`\n\n- [more](https://example.org/a_b)", markdown=True
    )
    async with it.channel.sender() as sender:
        await deliver(sender, Outgoing("out-1", it.address, content))
    seen = "\n".join(it.texts())
    missing = [word for word in ("Weather", "rain", "and", "wind_1", "more") if word not in seen]
    require(not missing, f"sent {content.text!r}; users see {seen!r}")


# -- receipts --------------------------------------------------------------------


async def receipts_tell_messages_apart(it: ChannelUnderTest) -> None:
    """Each receipt has its own id, which edits refer to. A network without ids returns None."""
    async with it.channel.sender() as sender:
        ids = [await _id_of(sender, outgoing(it.address, "one", key)) for key in ("out-1", "out-2", "out-3")]
    for id_ in ids:
        require(id_ is None or (isinstance(id_, str) and id_), f"a receipt with the id {id_!r}")
    given = [id_ for id_ in ids if id_ is not None]
    require(len(given) == len(set(given)), f"three messages, and their receipts say {ids}")


async def _id_of(sender: Sender, message: Outgoing) -> str | None:
    return (await receipt_of(sender, message)).platform_message_id


# -- edits, reactions, replies ---------------------------------------------------


async def an_edit_is_seen_or_rejected(it: ChannelUnderTest) -> None:
    """An edit changes its message, or arrives as another message, or is rejected."""
    async with it.channel.sender() as sender:
        first, _ = await _two(it, sender)
        if await _rejected(sender, Outgoing("out-3", it.address, EditContent(first, "three"))):
            return
    seen = list(it.texts())
    whole = seen == ["three", "two"] or (seen[:2] == ["one", "two"] and "three" in "".join(seen[2:]))
    require(whole, f"'one' was edited to 'three', 'two' was not, and users see {seen}")


async def an_edit_may_be_longer_or_shorter(it: ChannelUnderTest) -> None:
    """A message may become long, then short, then long again by edits, or edits are rejected."""
    long, short = numbered(LENGTHS[1]), "two"
    longer = numbered(LENGTHS[1] + 500).replace("word", "term")
    async with it.channel.sender() as sender:
        first, _ = await _two(it, sender)
        if await _rejected(sender, Outgoing("out-3", it.address, EditContent(first, long))):
            return
        for key, text in (("out-4", short), ("out-5", longer)):
            rejected = await _rejected(sender, Outgoing(key, it.address, EditContent(first, text)))
            require(not rejected, f"an edit to {len(text):,} characters is rejected after other edits")
    seen = "".join(it.texts()) + _in_files(it)
    require(_holds(seen, longer), f"of {len(longer):,} characters users see {len(seen):,}, not all")


async def a_reaction_is_seen_or_rejected(it: ChannelUnderTest) -> None:
    """A reaction is shown on its message or as a message of its own. No other message changes."""
    async with it.channel.sender() as sender:
        first, _ = await _two(it, sender)
        if await _rejected(sender, Outgoing("out-3", it.address, ReactionContent(first, UP))):
            return
    seen = list(it.texts())
    require(seen[:2] == ["one", "two"], f"a reaction to 'one', and users see {seen}")
    if any(UP in text for text in seen[2:]):
        return
    shown = list(hook(it.reactions, "reactions")())
    require(shown == [(first, UP)], f"{UP} on {first}; users see the reactions {shown}")


async def _two(it: ChannelUnderTest, sender: Sender) -> tuple[str, str]:
    """Deliver `one` and `two`, and return their ids."""
    ids = [await _id_of(sender, outgoing(it.address, text)) for text in ("one", "two")]
    given = [id_ for id_ in ids if id_ is not None]
    only(len(given) == len(ids), "its receipts have no ids")
    return given[0], given[1]


async def _rejected(sender: Sender, message: Outgoing) -> bool:
    """Deliver a message that the network may not support. Return whether it was rejected."""
    raised = await failure(sender, message)
    if isinstance(raised, DeliveryRejected):
        return True
    what = type(message.content).__name__
    if raised is not None:
        raise NotConforming(
            f"the network is up, and for {what} deliver {did(raised)}; it must raise "
            "DeliveryRejected for what it does not support"
        )
    return False


async def a_reply_is_shown_as_one(it: ChannelUnderTest) -> None:
    """A network that shows replies shows one only for a message that is a reply."""
    says, answers = hook(it.says, "says"), hook(it.answers, "answers")
    async with receiving(it.channel, host := Host()):
        await says("why?")
    asked = _one(host).message.id
    before = len(it.texts())
    async with it.channel.sender() as sender:
        await deliver(sender, Outgoing("out-1", it.address, TextContent("because"), in_reply_to=asked))
        await deliver(sender, outgoing(it.address, "besides"))
    shown = list(answers())[before:]
    require(shown == [asked, None], f"a reply to {asked!r}, and a message; they are shown to answer {shown}")


# -- files -----------------------------------------------------------------------


async def a_text_with_files_arrives(it: ChannelUnderTest) -> None:
    """A text with files arrives, or both are rejected."""
    async with it.channel.sender() as sender:
        if not await _sends_files(sender, it, "look here"):
            return
    seen = list(it.texts())
    require("look here" in "".join(seen), f"'look here' was sent with files; users see {seen}")


async def files_arrive_as_they_are(it: ChannelUnderTest) -> None:
    """Files arrive with their names and bytes, in order, with and without a text, or are rejected."""
    files = hook(it.files, "files")
    async with it.channel.sender() as sender:
        for text in ("look here", ""):
            before = len(files())
            if await _sends_files(sender, it, text):
                got = list(files())[before:]
                require(got == list(FILES), f"sent {_named(FILES)}; users got {_named(got)}")


async def _sends_files(sender: Sender, it: ChannelUnderTest, text: str) -> bool:
    """Send all files with a text. They are gone after the delivery. Return False if they are rejected."""
    with TemporaryDirectory() as folder:
        files = tuple(file_to_send(Path(folder), name, data) for name, data in FILES)
        content = TextContent(text, files=tuple(name for name, _ in FILES))
        message = Outgoing(f"out-files-{text}", it.address, content, files=files)
        return not await _rejected(sender, message)


async def what_users_send_is_offered(it: ChannelUnderTest) -> None:
    """A user's file is offered with its name, and with its bytes or the place to fetch them."""
    sends, (name, data) = hook(it.sends, "sends"), FILES[1]
    async with receiving(it.channel, host := Host()):
        await sends(name, data)
    attachments = _one(host).message.attachments
    names = [one.name for one in attachments]
    require(names == [name], f"a user sent {name!r}; offered with the files {names}")
    [file] = attachments
    require(file.has_content or file.url, f"{file.name} was offered without its bytes")
    same = file.data is None or decoded(file.data) == data
    require(same, f"{file.name} was offered with other bytes")


def _named(files: Sequence[tuple[str, bytes]]) -> str:
    return ", ".join(f"{name} ({len(data):,} bytes)" for name, data in files) or "nothing"


# -- threads -----------------------------------------------------------------------


async def what_is_for_a_thread_arrives_there(it: ChannelUnderTest) -> None:
    """A message for a thread arrives there, and one for the chat does not."""
    thread = _thread(it)
    async with it.channel.sender() as sender:
        await deliver(sender, outgoing(it.address, "for all"))
        await deliver(sender, outgoing(thread.address, "for the thread"))
    seen = list(thread.texts())
    require(seen == ["for the thread"], f"'for the thread' was for that, and users see {seen} there")


async def what_is_said_in_a_thread_is_offered_as_from_there(it: ChannelUnderTest) -> None:
    """A message in a thread is offered with that thread, so that answers go there."""
    thread = _thread(it)
    says = hook(thread.says, "thread.says")
    async with receiving(it.channel, host := Host()):
        await says("one")
    where = _one(host).address
    require(where == thread.address, f"it was said in {thread.address}, and offered as from {where}")


def _thread(it: ChannelUnderTest) -> Thread:
    return hook(it.thread, "thread")


# -- what users say ------------------------------------------------------------------


async def what_users_say_arrives_whole(it: ChannelUnderTest) -> None:
    """Every character of a user's message arrives, blanks around it included."""
    says = hook(it.says, "says")
    wanted = [*WRITING, BLANKS, numbered(LENGTHS[0])]
    async with receiving(it.channel, host := Host()):
        for text in wanted:
            await says(text)
    offered = [event.message.text for event in host.stored]
    require(len(offered) == len(wanted), f"{len(wanted)} texts were said, and {len(offered)} offered")
    for said, text in zip(wanted, offered, strict=True):
        same = normalize("NFC", text) == normalize("NFC", said)
        require(same, f"a user said {said!r}; offered was {text!r}")


async def lines_that_users_say_stay_lines(it: ChannelUnderTest) -> None:
    """Lines arrive in one message, or in one message each if the network has only single lines."""
    says = hook(it.says, "says")
    async with receiving(it.channel, host := Host()):
        await says(LINES)
    offered = [event.message.text for event in host.stored]
    lines = [line for text in offered for line in text.splitlines() if line]
    require(lines == LINES.split(), f"a user said {LINES!r}; offered was {offered}")


async def a_sender_is_known_by_a_whole_id(it: ChannelUnderTest) -> None:
    """A sender has a stable id `<channel_type>:<user>`, to which rights are granted."""
    says = hook(it.says, "says")
    async with receiving(it.channel, host := Host()):
        for text in ("one", "two"):
            await says(text)
    ids = {event.message.sender_id for event in host.stored}
    for id_ in ids:
        require_user(it.channel, id_)
    require(len(ids) == 1, f"one user said it all, and was offered as {sorted(map(str, ids))}")


def require_user(channel: Channel, id_: object) -> None:
    """Raise NotConforming unless the text is a user id of the channel's network."""
    prefix = capabilities_of(channel).user_prefix or channel.channel_type
    kind, colon, user = str(id_).partition(":")
    whole = isinstance(id_, str) and kind == prefix and colon and user
    require(whole, f"a user's id is '{prefix}:<user>', and it offered {id_!r}")


def _one(host: Host) -> Said:
    if len(host.stored) != 1:
        raise NotConforming(f"one thing was said, and offered: {host.stored}")
    return host.stored[0]


# -- what users do to messages -----------------------------------------------------


async def what_users_edit_is_offered(it: ChannelUnderTest) -> None:
    """An edit is offered as another version of the same message."""
    says, edits = hook(it.says, "says"), hook(it.edits, "edits")
    async with receiving(it.channel, host := Host()):
        await says("one")
        for text in ("two", "three"):
            await edits(text)
    texts = [event.message.text for event in host.stored]
    require(texts == ["one", "two", "three"], f"'one' was edited twice; offered was {texts}")
    ids = {(event.event_id, event.message.id) for event in host.stored}
    require(len(ids) == 1, f"edits of one message, with the ids {sorted(ids)}")
    versions = [event.version for event in host.stored]
    require(not versions[0] and all(versions[1:]), f"a message and its edits have the versions {versions}")


async def what_users_delete_is_offered(it: ChannelUnderTest) -> None:
    """A deletion names the message by `ChatMessage.id`."""
    says, deletes = hook(it.says, "says"), hook(it.deletes, "deletes")
    async with receiving(it.channel, host := Host()):
        await says("one")
        await deletes()
    wanted = [event.message.id for event in host.stored]
    found = [each.target for each in host.remarks if isinstance(each, Deleted)]
    require(found == wanted, f"the messages {wanted} were deleted; offered was {host.remarks}")


async def how_users_react_is_offered(it: ChannelUnderTest) -> None:
    """A reaction to a message of the host names the id in its receipt, the emoji and the user."""
    reacts = hook(it.reacts, "reacts")
    async with it.channel.sender() as sender, receiving(it.channel, host := Host()):
        receipt = await receipt_of(sender, outgoing(it.address, "one"))
        only(receipt.platform_message_id is not None, "its messages have no ids")
        await reacts(UP)
    found = [each for each in host.remarks if isinstance(each, Reacted)]
    told = [(each.target, each.emoji) for each in found]
    require(
        told == [(receipt.platform_message_id, UP)],
        f"a user reacted with {UP} to {receipt.platform_message_id!r}; offered was {host.remarks}",
    )
    require_user(it.channel, found[0].sender_id)


CHECKS: tuple[Callable[[ChannelUnderTest], Awaitable[None]], ...] = (
    every_character_arrives,
    what_is_too_long_is_split_or_rejected,
    markdown_arrives,
    receipts_tell_messages_apart,
    an_edit_is_seen_or_rejected,
    an_edit_may_be_longer_or_shorter,
    a_reaction_is_seen_or_rejected,
    a_reply_is_shown_as_one,
    a_text_with_files_arrives,
    files_arrive_as_they_are,
    what_users_send_is_offered,
    what_is_for_a_thread_arrives_there,
    what_is_said_in_a_thread_is_offered_as_from_there,
    what_users_say_arrives_whole,
    lines_that_users_say_stay_lines,
    a_sender_is_known_by_a_whole_id,
    what_users_edit_is_offered,
    what_users_delete_is_offered,
    how_users_react_is_offered,
)
