"""Converts the JSON of `content` columns (contract 5) to records and back. Errors name the field."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeVar, cast, get_args

import cattrs
from attrs import evolve, fields, has

from nanoclaw.records import (
    DONE,
    QUESTION_EXPIRES_S,
    Answer,
    Answerer,
    Attachment,
    CardContent,
    ChatMessage,
    Deleted,
    EditContent,
    InboundEvent,
    Option,
    OutgoingContent,
    QuestionContent,
    Reacted,
    ReactionContent,
    SdkMessage,
    TextContent,
    Webhook,
)
from nanoclaw.records.checking import storable_text

T = TypeVar("T")

MAX_VALUES = 200_000
"""Limit of commas and brackets in one content. Parsing blocks the whole host, 0.3 s for a million."""
MAX_QUESTION_ID, MAX_TITLE, MAX_QUESTION = 128, 200, 4000
MAX_OPTIONS, MAX_LABEL, MAX_VALUE = 25, 100, 128
MAX_ASKER = 1000
MAX_CARD = 100_000
"""Limits of a card with buttons, in characters. No chat network shows more."""
_APPROVAL = re.compile(r"appr-[0-9a-z]{8}")
"""The beginning of the id of an approval."""
MARKED = 2
"""Characters that the mark of a chosen option takes from its label, where several may be chosen."""
EXPIRES_S = (10, 30 * 86_400)
"""The shortest and the longest life of a question, in seconds."""
ANSWERERS: tuple[Answerer, ...] = get_args(Answerer)


class BadContent(ValueError):
    """Content that violates contract 5. The text names the field."""


_DAMAGED = (ValueError, TypeError, AttributeError, KeyError, RecursionError, cattrs.ClassValidationError)
"""The errors of reading a damaged event."""


Parkable = InboundEvent | SdkMessage | Webhook | Deleted | Reacted | Answer
"""The events that a session stores."""
_NAMED: dict[str, Any] = {kind.__name__: kind for kind in (SdkMessage, Webhook, Deleted, Reacted)}
"""The events that are parked with their names. The others are known by their keys."""
_JSON = cattrs.Converter()
_JSON.register_structure_hook_func(lambda type_: type_ is object, lambda value, _: value)


def _present(**values: object) -> dict[str, object]:
    """Return the values that are not empty: contract 5 omits absent ones."""
    return {name: value for name, value in values.items() if value not in (None, (), [], False)}


def _attachment(attachment: Attachment) -> dict[str, object]:
    local = _present(url=attachment.url, data=attachment.data, localPath=attachment.local_path)
    return {"type": attachment.type, "name": attachment.name, **local}


def dump_content(content: Mapping[str, object]) -> str:
    """Return the JSON of a row's content. It is compact: other programs search it as text."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def dump_chat(message: ChatMessage) -> str:
    """Return the content of a `messages_in` row of kind `chat`."""
    reply_to = message.reply_to
    content = {
        "id": message.id,
        "text": message.text,
        "sender": message.sender,
        **_present(
            senderId=message.sender_id,
            person=message.person,
            attachments=[_attachment(attachment) for attachment in message.attachments],
            replyTo=reply_to and _present(id=reply_to.id, sender=reply_to.sender, text=reply_to.text),
            isFromMe=message.is_from_me,
            isMention=message.is_mention,
        ),
    }
    return dump_content(content)


def dump_sdk(event: SdkMessage, message: ChatMessage) -> str:
    """Return the content of a row of kind `chat-sdk`, with the text and the files of `message`."""
    given = event.content.get("attachments") or []
    files = [
        {**_without_data(before), **_present(localPath=after.local_path)}
        for before, after in zip(given, message.attachments, strict=True)
    ]
    rest = {key: value for key, value in event.content.items() if key not in {"id", "text", "attachments"}}
    return dump_content({"id": message.id, "text": message.text, **rest, **_present(attachments=files)})


def _without_data(attachment: Mapping[str, object]) -> Mapping[str, object]:
    return {key: value for key, value in attachment.items() if key not in {"data", "localPath"}}


def dump_webhook(webhook: Webhook) -> str:
    """Return the content of a row of kind `webhook`."""
    return dump_content({"source": webhook.source, "event": webhook.event, "payload": webhook.payload})


def dump_remark(remark: Deleted | Reacted) -> str:
    """Return the content, without the number of the message, of a row about a deletion or a reaction."""
    if isinstance(remark, Deleted):
        return dump_content({"type": "deleted", **_present(userId=remark.sender_id)})
    return dump_content(
        {
            "type": "reaction",
            "emoji": remark.emoji,
            "sender": remark.sender,
            "senderId": remark.sender_id,
        }
    )


def dump_answer(answer: Answer) -> str:
    """Return the content of the answer's row, of kind `system`."""
    about = {"type": "question_response", "questionId": answer.question_id}
    if answer.withdrawn or answer.expired:
        return dump_content({**about, **_present(withdrawn=answer.withdrawn, expired=answer.expired)})
    content = {
        **about,
        "selectedOption": answer.value,
        **_present(selectedOptions=list(answer.values), freeText=answer.free_text),
        "userId": answer.user_id,
        **_present(id=answer.said and answer.said.event_id),
    }
    return dump_content(content)


def dump_parked(event: Parkable, *, trigger: bool = True) -> str:
    """Return a whole event as JSON for `parked_events`. `trigger` says whether it may wake an agent."""
    name = type(event).__name__
    named = {"is": name} if name in _NAMED else {}
    return json.dumps({**named, **_JSON.unstructure(event), "trigger": trigger}, ensure_ascii=False)


def load_parked(text: str) -> tuple[Parkable, bool]:
    """Return the event and the `trigger` that `dump_parked` wrote.

    Raises:
        BadContent: the text is damaged.
    """
    try:
        values = json.loads(text)
        if "question_id" in values:
            return _JSON.structure(values, Answer), True
        if "is" in values:
            return _JSON.structure(values, _NAMED[values["is"]]), bool(values.get("trigger", True))
        return _JSON.structure(values, InboundEvent), bool(values.get("trigger", True))
    except _DAMAGED as error:
        raise BadContent(f"the parked event cannot be read: {error}") from error


def storable(value: T) -> T:
    """Return a record whose texts are those of `storable_text`. SQLite cannot store surrogates, JSON can."""
    return cast("T", _storable(value))


def _storable(value: Any) -> object:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, tuple):
        return tuple(_storable(item) for item in value) if value else value
    names = None if value is None else _names(value.__class__)
    if names is None:
        return value
    changed = dict[str, object]()
    for name in names:
        before = getattr(value, name)
        if before is None or (isinstance(before, str) and before.isascii()):
            continue  # the usual case; this runs for each message of every channel
        after = _storable(before)
        if after is not before:
            changed[name] = after
    return evolve(value, **changed) if changed else value


@cache
def _names(cls: type) -> tuple[str, ...] | None:
    """Return the field names of a record class, or None for any other class."""
    return tuple(field.name for field in fields(cls)) if has(cls) else None


def _object(text: str) -> Mapping[str, object]:
    if len(text) > MAX_VALUES and sum(map(text.count, ",[{")) > MAX_VALUES:
        raise BadContent(f"content has more than {MAX_VALUES:,} commas and brackets; send it as a file")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadContent(f"content is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadContent(f"content is a JSON {type(value).__name__}, not an object")
    return value


def _text(content: Mapping[str, object], key: str) -> str:
    value = content.get(key)
    if not isinstance(value, str):
        raise BadContent(f"{key} is missing or is not text")
    return value


def _files(content: Mapping[str, object]) -> tuple[str, ...]:
    files = content.get("files", [])
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise BadContent("files is not a list of names")
    return tuple(files)


def load_request(text: str) -> Mapping[str, object]:
    """Return the content of a task, or of a row of kind `system`: a JSON object.

    Raises:
        BadContent: it is not a JSON object.
    """
    return _object(text)


def load_outgoing(text: str) -> OutgoingContent:
    """Return what a `messages_out` row asks a channel to do.

    Raises:
        BadContent: it is not JSON, or has an unknown shape.
    """
    content = _object(text)
    match content.get("operation"):
        case "edit":
            markdown = "markdown" in content
            text = _text(content, "markdown" if markdown else "text")
            return storable(EditContent(_text(content, "messageId"), text, markdown))
        case "reaction":
            return storable(ReactionContent(_text(content, "messageId"), _text(content, "emoji")))
        case None:
            return storable(_shown(content))
        case other:
            raise BadContent(f"operation {other!r} is unknown; use edit or reaction")


def _shown(content: Mapping[str, object]) -> OutgoingContent:
    if "type" not in content:
        return _text_content(content)
    match content["type"]:
        case "ask_question":
            return _question(content)
        case "card":
            return CardContent(_card(content), _text(content, "fallbackText"))
        case other:
            raise BadContent(f"type {other!r:.100} is unknown; use ask_question or card")


def _text_content(content: Mapping[str, object]) -> TextContent:
    files = _files(content)
    if "markdown" in content:
        return TextContent(_text(content, "markdown"), markdown=True, files=files)
    if files and "text" not in content:
        return TextContent("", files=files)
    return TextContent(_text(content, "text"), files=files)


# -- cards ---------------------------------------------------------------------


def _question(content: Mapping[str, object]) -> QuestionContent:
    multiple, free_text = _flag(content, "multiple"), _flag(content, "freeText")
    options = content.get("options", [] if free_text else None)
    who, asker = _answerer(content)
    return QuestionContent(
        _short(content, "questionId", MAX_QUESTION_ID),
        _short(content, "title", MAX_TITLE),
        _short(content, "question", MAX_QUESTION),
        () if free_text and options == [] else load_options(options, multiple=multiple),
        who,
        asker,
        multiple,
        free_text,
        _expiry(content),
    )


def _flag(content: Mapping[str, object], key: str) -> bool:
    value = content.get(key, False)
    if not isinstance(value, bool):
        raise BadContent(f"{key} is neither true nor false")
    return value


def _answerer(content: Mapping[str, object]) -> tuple[Answerer, str | None]:
    who: Answerer | None = next((each for each in ANSWERERS if each == content.get("who", "member")), None)
    if who is None:
        raise BadContent(f"who is none of {', '.join(ANSWERERS)}")
    return who, _short(content, "asker", MAX_ASKER) if who == "asker" else None


def _expiry(content: Mapping[str, object]) -> int:
    value = content.get("expiresS", QUESTION_EXPIRES_S)
    shortest, longest = EXPIRES_S
    if isinstance(value, bool) or not isinstance(value, int) or not shortest <= value <= longest:
        raise BadContent(f"expiresS is no whole number of seconds from {shortest} to {longest:,}")
    return value


def load_options(options: object, *, multiple: bool = False) -> tuple[Option, ...]:
    """Return the options of a question. Each is a text, or `{label, selectedLabel?, value?}`.

    If several may be chosen, one button and two characters of each label are the host's.

    Raises:
        BadContent: the number of options is wrong, two share a label or value, or one has another shape.
    """
    most = MAX_OPTIONS - multiple
    if not isinstance(options, list) or not 0 < len(options) <= most:
        raise BadContent(f"options is not a list of 1 to {most} options")
    found = tuple(_option(n, option) for n, option in enumerate(options))
    for name, used in (("label", [o.label for o in found]), ("value", [o.value for o in found])):
        if len(set(used)) < len(used):
            raise BadContent(f"two options have the same {name}")
    for n, option in enumerate(found if multiple else ()):
        if len(option.label) > MAX_LABEL - MARKED or option.value == DONE:
            raise BadContent(
                f"options[{n}]: where several may be chosen, a label has at most {MAX_LABEL - MARKED} "
                f"characters, and no value is {DONE}"
            )
    return found


def dump_options(options: Iterable[Option]) -> list[object]:
    """Return options in the form that `load_options` reads."""
    return [{"label": o.label, "selectedLabel": o.selected_label, "value": o.value} for o in options]


def _option(n: int, option: object) -> Option:
    values = {"label": option} if isinstance(option, str) else option
    if not isinstance(values, dict):
        raise BadContent(f"options[{n}] is neither text nor an object")
    label = _short(values, "label", MAX_LABEL, f"options[{n}].")
    rest = {"selectedLabel": label, "value": label, **values}
    return Option(
        label,
        _short(rest, "selectedLabel", MAX_LABEL, f"options[{n}]."),
        _short(rest, "value", MAX_VALUE, f"options[{n}]."),
    )


def _short(content: Mapping[str, object], key: str, most: int, where: str = "") -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BadContent(f"{where}{key} is missing, empty or not text")
    if len(value) > most:
        raise BadContent(f"{where}{key} has {len(value):,} characters; the limit is {most:,}")
    return storable(value)


def _card(content: Mapping[str, object]) -> str:
    card = content.get("card")
    if not isinstance(card, dict):
        raise BadContent("card is missing or is not an object")
    try:
        text = json.dumps(card, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise BadContent("card has a number that JSON does not know, such as NaN") from error
    if len(text) > MAX_CARD:
        raise BadContent(f"card has {len(text):,} characters; the limit is {MAX_CARD:,}")
    if _APPROVAL.search(text):  # a network may show its buttons, and a press would decide
        raise BadContent("card names an approval, whose card it could imitate; name it in a message instead")
    return text
