"""The methods of the fake Bot API."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import trio
from attrs import field, frozen

from nanoclaw.testing.networks.telegram.chats import FakeChat, FakeFile, FakeMessage, Json
from nanoclaw.testing.networks.telegram.wire import Upload

if TYPE_CHECKING:
    from nanoclaw.testing.networks.telegram.network import FakeTelegram

LONGEST_TEXT, LONGEST_CAPTION = 4096, 1024
MOST_CALLBACK_BYTES = 64
MOST_UPDATES = 100
LARGEST_DOWNLOAD, LARGEST_UPLOAD = 20_000_000, 50_000_000
ALBUM = range(2, 11)
REACTIONS = frozenset(
    "👍👎❤🔥🥰👏😁🤔🤯😱🤬😢🎉🤩🤮💩🙏👌🕊🤡🥱🥴😍🐳🌚🌭💯🤣⚡🍌🏆💔🤨😐🍓🍾💋🖕😈😴😭🤓👻👀🎃🙈😇😨🤝✍🤗🫡🎅🎄☃💅🤪🗿🆒💘🙉🦄😘💊🙊😎👾🤷😡"
)
DEFAULT_UPDATES = frozenset({"message", "edited_message", "callback_query", "my_chat_member"})


class ApiError(Exception):
    """A refusal of the Bot API."""

    def __init__(self, status: int, description: str, parameters: Json | None = None) -> None:
        super().__init__(description)
        self.status, self.parameters = status, parameters


@frozen
class Call:
    """A call of a bot."""

    method: str
    fields: Mapping[str, Any]
    files: Mapping[str, Upload] = field(factory=dict, repr=False)
    at: float = 0.0
    """Seconds of trio's clock."""

    def number(self, name: str) -> int | None:
        """Return a field that is a whole number, or None."""
        value = self.fields.get(name)
        try:
            return None if value in (None, "") else int(value)
        except ValueError:
            raise ApiError(400, f"Bad Request: {name} must be an Integer") from None

    def text(self, name: str) -> str:
        """Return a field that is a text; empty if it is missing."""
        return str(self.fields.get(name, ""))

    def json(self, name: str) -> Any:
        """Return a field that is JSON, or None."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(400, f"Bad Request: can't parse {name}") from None


Method = Callable[["FakeTelegram", Call], Awaitable[Any]]


def units(text: str) -> int:
    """Return the length of a text as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


# -- checks ---------------------------------------------------------------------------------------


def chat_of(telegram: "FakeTelegram", call: Call) -> FakeChat:
    """Return the chat of a call. Raises ApiError if the bot cannot write there."""
    chat = telegram.chats.get(call.number("chat_id") or 0)
    if chat is None:
        raise ApiError(400, "Bad Request: chat not found")
    if chat.moved_to is not None:
        moved = {"migrate_to_chat_id": chat.moved_to}
        raise ApiError(400, "Bad Request: group chat was upgraded to a supergroup chat", moved)
    if chat.blocked:
        who = "blocked by the user" if chat.kind == "private" else "kicked from the group chat"
        raise ApiError(403, f"Forbidden: bot was {who}")
    return chat


def message_of(chat: FakeChat, call: Call, what: str) -> FakeMessage:
    """Return the message that a call names."""
    message = chat.messages.get(call.number("message_id") or 0)
    if message is None:
        raise ApiError(400, f"Bad Request: message to {what} not found")
    return message


def _new(telegram: "FakeTelegram", chat: FakeChat, call: Call) -> FakeMessage:
    """Return an empty message of the bot in the right place."""
    thread = call.number("message_thread_id")
    if thread is not None and thread not in chat.topics:
        raise ApiError(400, "Bad Request: message thread not found")
    reply: Json = call.json("reply_parameters") or {}
    target = reply.get("message_id")
    if target is not None and target not in chat.messages:
        if not reply.get("allow_sending_without_reply"):
            raise ApiError(400, "Bad Request: message to be replied not found")
        target = None
    return FakeMessage(0, telegram.bot_id, thread_id=thread, reply_to=target, keyboard=_keyboard(call))


def _keyboard(call: Call) -> Sequence[Sequence[Json]]:
    markup: Json = call.json("reply_markup") or {}
    rows: Sequence[Sequence[Json]] = markup.get("inline_keyboard", ())
    for button in (one for row in rows for one in row):
        if not button.get("text"):
            raise ApiError(400, "Bad Request: can't parse inline keyboard button: Text buttons are unallowed")
        if not 0 < len(str(button.get("callback_data", "")).encode()) <= MOST_CALLBACK_BYTES:
            raise ApiError(400, "Bad Request: BUTTON_DATA_INVALID")
    return rows


def _said(call: Call, name: str, longest: int) -> tuple[str, Sequence[Json]]:
    """Return a text and its entities, without blanks around it, as Telegram does."""
    text = call.text(name)
    if units(text) > longest:
        what = "caption" if name == "caption" else "text"
        raise ApiError(400, f"Bad Request: message {'is' if what == 'text' else 'caption is'} too long")
    key = "entities" if name == "text" else "caption_entities"
    entities: Sequence[Json] = call.json(key) or ()
    for one in entities:
        if not 0 <= one["offset"] < one["offset"] + one["length"] <= units(text):
            raise ApiError(400, "Bad Request: entity is out of the text")
    return text.strip(), entities


# -- methods --------------------------------------------------------------------------------------


async def get_me(telegram: "FakeTelegram", _call: Call) -> Json:
    """Return the bot."""
    return telegram.bot_json() | {"can_join_groups": True, "can_read_all_group_messages": False}


async def get_updates(telegram: "FakeTelegram", call: Call) -> list[Json]:
    """Confirm what is before the offset. Wait for updates, until a newer poller comes."""
    if telegram.webhook is not None:
        raise ApiError(409, "Conflict: can't use getUpdates method while webhook is active")
    telegram.confirm_before(call.number("offset") or 0)
    wanted = call.json("allowed_updates") or DEFAULT_UPDATES
    telegram.keep_kinds(wanted)
    mine = telegram.new_poller()
    with trio.move_on_after(call.number("timeout") or 0):
        while not telegram.updates and telegram.poller is mine:
            await telegram.changed()
            telegram.keep_kinds(wanted)
    if telegram.poller is not mine:
        raise ApiError(409, "Conflict: terminated by other getUpdates request; make sure that only one bot "
                            "instance is running")  # fmt: skip
    limit = min(call.number("limit") or MOST_UPDATES, MOST_UPDATES)
    return telegram.updates[:limit]


async def set_webhook(telegram: "FakeTelegram", call: Call) -> bool:
    """Send updates to an address from now on."""
    telegram.use_webhook(call.text("url") or None, call.text("secret_token"), call.json("allowed_updates"))
    return True


async def delete_webhook(telegram: "FakeTelegram", _call: Call) -> bool:
    """Have updates polled from now on."""
    telegram.use_webhook(None, "", None)
    return True


async def get_webhook_info(telegram: "FakeTelegram", _call: Call) -> Json:
    """Return the address of updates."""
    return {
        "url": telegram.webhook or "",
        "has_custom_certificate": False,
        "pending_update_count": len(telegram.updates),
    }


async def send_message(telegram: "FakeTelegram", call: Call) -> Json:
    """Show a text."""
    chat = chat_of(telegram, call)
    message = _new(telegram, chat, call)
    message.text, message.entities = _said(call, "text", LONGEST_TEXT)
    if not message.text:
        raise ApiError(400, "Bad Request: message text is empty")
    return telegram.shown_by_bot(chat, message)


def _file(telegram: "FakeTelegram", call: Call, kind: str, source: str) -> FakeFile:
    """Return the file that a field names: one of the request, or one that Telegram has."""
    upload = call.files.get(source.removeprefix("attach://")) or call.files.get(kind)
    if upload is None:
        if source not in telegram.files:
            raise ApiError(400, "Bad Request: wrong file identifier/HTTP URL specified")
        return telegram.files[source]
    if len(upload.data) > LARGEST_UPLOAD:
        raise ApiError(413, "Request Entity Too Large")
    if not upload.data:
        raise ApiError(400, "Bad Request: file must be non-empty")
    return telegram.stored(FakeFile(kind, upload.name, upload.data))


def _send_file(kind: str) -> Method:
    async def send(telegram: "FakeTelegram", call: Call) -> Json:
        chat = chat_of(telegram, call)
        message = _new(telegram, chat, call)
        message.text, message.entities = _said(call, "caption", LONGEST_CAPTION)
        message.file = _file(telegram, call, kind, call.text(kind))
        return telegram.shown_by_bot(chat, message)

    return send


async def send_media_group(telegram: "FakeTelegram", call: Call) -> list[Json]:
    """Show an album: all of it, or nothing."""
    chat = chat_of(telegram, call)
    media: Sequence[Json] = call.json("media") or ()
    if len(media) not in ALBUM:
        raise ApiError(400, "Bad Request: wrong number of messages in the album specified")
    album, made = str(telegram.next_id("album")), list[FakeMessage]()
    for each in media:
        message = _new(telegram, chat, call)
        said = Call(
            "", {"caption": each.get("caption", ""), "caption_entities": each.get("caption_entities")}
        )
        message.text, message.entities = _said(said, "caption", LONGEST_CAPTION)
        message.file, message.media_group_id = _file(telegram, call, each["type"], each["media"]), album
        made.append(message)
    return [telegram.shown_by_bot(chat, message) for message in made]


async def send_message_draft(telegram: "FakeTelegram", call: Call) -> bool:
    """Show a text that is being written."""
    chat = chat_of(telegram, call)
    if chat.kind != "private":
        raise ApiError(400, "Bad Request: TEXTDRAFT_PEER_INVALID")
    if not call.number("draft_id"):
        raise ApiError(400, "Bad Request: draft_id must be non-zero")
    chat.draft, _ = _said(call, "text", LONGEST_TEXT)
    chat.drafts_shown += 1
    return True


async def edit_message_text(telegram: "FakeTelegram", call: Call) -> Json:
    """Replace the text and the buttons of a message of the bot."""
    chat = chat_of(telegram, call)
    message = _of_bot(telegram, message_of(chat, call, "edit"), "edited")
    before = (message.text, [*message.entities], [*message.keyboard])
    text, entities = _said(call, "text", LONGEST_TEXT)
    if not text:
        raise ApiError(400, "Bad Request: message text is empty")
    if message.file is not None:
        raise ApiError(400, "Bad Request: there is no text in the message to edit")
    return _changed(telegram, chat, message, before, (text, entities, _keyboard(call)))


async def edit_message_caption(telegram: "FakeTelegram", call: Call) -> Json:
    """Replace the caption of a file of the bot."""
    chat = chat_of(telegram, call)
    message = _of_bot(telegram, message_of(chat, call, "edit"), "edited")
    before = (message.text, [*message.entities], [*message.keyboard])
    text, entities = _said(call, "caption", LONGEST_CAPTION)
    return _changed(telegram, chat, message, before, (text, entities, _keyboard(call)))


def _changed(telegram: "FakeTelegram", chat: FakeChat, message: FakeMessage, before: Any, after: Any) -> Json:
    if before == (after[0], [*after[1]], [*after[2]]):
        raise ApiError(
            400,
            "Bad Request: message is not modified: specified new message content and reply markup are "
            "exactly the same as a current content and reply markup of the message",
        )
    message.text, message.entities, message.keyboard = after
    message.edits += 1
    return telegram.message_json(chat, message)


def _of_bot(telegram: "FakeTelegram", message: FakeMessage, what: str) -> FakeMessage:
    if message.sender_id != telegram.bot_id:
        raise ApiError(400, f"Bad Request: message can't be {what}")
    return message


async def delete_message(telegram: "FakeTelegram", call: Call) -> bool:
    """Remove a message."""
    chat = chat_of(telegram, call)
    del chat.messages[message_of(chat, call, "delete").id]
    return True


async def delete_messages(telegram: "FakeTelegram", call: Call) -> bool:
    """Remove messages; those that are not there are skipped."""
    chat = chat_of(telegram, call)
    for id_ in call.json("message_ids") or ():
        chat.messages.pop(id_, None)
    return True


async def set_message_reaction(telegram: "FakeTelegram", call: Call) -> bool:
    """Replace the reaction of the bot."""
    chat = chat_of(telegram, call)
    message = message_of(chat, call, "react")
    emojis = tuple(str(one.get("emoji", "")) for one in call.json("reaction") or ())
    if any(one not in REACTIONS for one in emojis):
        raise ApiError(400, "Bad Request: REACTION_INVALID")
    if len(emojis) > 1:
        raise ApiError(400, "Bad Request: REACTIONS_TOO_MANY")
    message.reactions[telegram.bot_id] = emojis
    return True


async def send_chat_action(telegram: "FakeTelegram", call: Call) -> bool:
    """Show that the bot is at work."""
    chat_of(telegram, call).typing += 1
    return True


async def answer_callback_query(telegram: "FakeTelegram", call: Call) -> bool:
    """End the waiting of a button, and perhaps show a sentence."""
    id_ = call.text("callback_query_id")
    if id_ not in telegram.presses:
        raise ApiError(
            400, "Bad Request: query is too old and response timeout expired or query ID is invalid"
        )
    telegram.presses.remove(id_)
    telegram.notices.append(call.text("text"))
    return True


async def get_file(telegram: "FakeTelegram", call: Call) -> Json:
    """Return where a file can be fetched."""
    file = telegram.files.get(call.text("file_id"))
    if file is None:
        raise ApiError(400, "Bad Request: invalid file_id")
    if file.size > LARGEST_DOWNLOAD:
        raise ApiError(400, "Bad Request: file is too big")
    path = f"{file.kind}/{file.id}"
    return {"file_id": file.id, "file_unique_id": file.id, "file_size": file.size, "file_path": path}


async def get_chat(telegram: "FakeTelegram", call: Call) -> Json:
    """Return a chat."""
    return chat_of(telegram, call).as_json() | {"accent_color_id": 1, "max_reaction_count": 1}


METHODS: Mapping[str, Method] = {
    "getMe": get_me,
    "getUpdates": get_updates,
    "setWebhook": set_webhook,
    "deleteWebhook": delete_webhook,
    "getWebhookInfo": get_webhook_info,
    "sendMessage": send_message,
    "sendMediaGroup": send_media_group,
    "sendMessageDraft": send_message_draft,
    **{
        f"send{kind.capitalize()}": _send_file(kind)
        for kind in ("document", "photo", "voice", "audio", "video", "animation", "sticker")
    },
    "editMessageText": edit_message_text,
    "editMessageCaption": edit_message_caption,
    "deleteMessage": delete_message,
    "deleteMessages": delete_messages,
    "setMessageReaction": set_message_reaction,
    "sendChatAction": send_chat_action,
    "answerCallbackQuery": answer_callback_query,
    "getFile": get_file,
    "getChat": get_chat,
}
SHOWING = frozenset(name for name in METHODS if name.startswith(("send", "edit", "delete", "setMessage"))) - {
    "deleteWebhook",
    "sendChatAction",
}
"""The methods that change what users see. Faults of sending concern them."""
