"""The form of each kind of message (contract 5). Contents may be anybody's: nothing in them is relied on."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from mimetypes import guess_type

from attrs import frozen

from agent_runner.commands.call import EDIT_OF
from agent_runner.prompt import outcomes
from agent_runner.prompt.markup import body, element
from agent_runner.records import Address, Inbound, Sent, Turn
from agent_runner.times import to_zone

LONGEST_QUOTE = 1_000
MOST_ATTACHMENTS = 20
AGENT = "agent"


@frozen
class View:
    """The turn that messages are shown in."""

    turn: Turn
    longest: int
    """Limit of one text, in characters."""
    names: Mapping[tuple[str, str], str]
    """Names of destinations, by channel type and platform id."""
    numbers: Mapping[str, int]
    """Numbers of the turn's messages, by the platform's ids."""

    def text(self, value: object) -> str:
        """Return a text as the content of an element."""
        return body(value, self.longest)

    def json(self, value: object) -> str:
        """Return any JSON value as the content of an element. A text stays as it is."""
        return self.text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

    def time(self, moment: datetime) -> str:
        """Return a moment in the user's zone, with the day of the week."""
        try:
            moment = moment.astimezone(to_zone(self.turn.timezone))
        except (ValueError, OverflowError):
            moment = moment.astimezone(UTC)
        return f"{moment:%a %Y-%m-%d %H:%M}"

    def chat(self, address: Address | None) -> str | None:
        """Name the chat of a message, unless it is the one that is being answered."""
        home = self.turn.home
        if address is None or (home and _chat(address) == _chat(home)):
            return None
        return self.names.get(_chat(address)) or f"{address.channel_type} {address.platform_id}"

    def thread(self, address: Address | None) -> str | None:
        """Name the thread of a message in the chat that is being answered, if it is another one."""
        home = self.turn.home
        if address is None or home is None or address == home or _chat(address) != _chat(home):
            return None
        return address.thread_id or "none"


def view_of(turn: Turn, longest: int) -> View:
    """Return the view of a turn."""
    named = {_chat(each.address): each.name for each in reversed(turn.destinations)}
    rows = (
        (row.content.get("id"), row.seq)
        for row in (*turn.context, *turn.messages)
        if EDIT_OF not in row.content  # an edit has the id of its message
    )
    return View(turn, longest, named, {id_: seq for id_, seq in rows if isinstance(id_, str)})


def write_inbound(view: View, message: Inbound) -> str:
    """Return one message of messages_in."""
    return _KINDS.get(message.kind, _other)(view, message)


# -- what people and agents say --------------------------------------------------


def _chat_message(view: View, message: Inbound) -> str:
    content = message.content
    return _said(view, message, content.get("sender"), content.get("senderId"), content.get("isFromMe"))


def _sdk_message(view: View, message: Inbound) -> str:
    author = _object(message.content.get("author"))
    name = author.get("fullName") or author.get("userName")
    return _said(view, message, name, author.get("userId"), author.get("isMe"))


def _said(view: View, message: Inbound, sender: object, sender_id: object, from_me: object) -> str:
    content, address = message.content, message.address
    parts = (
        _quote(view, content.get("replyTo")),
        view.text(content.get("text") or ""),
        *_attachments(content.get("attachments")),
    )
    return element(
        "message",
        "\n".join(part for part in parts if part),
        **_origin(view, message),
        sender=sender or sender_id,
        from_you="yes" if from_me is True else None,
        person=content.get("person"),
        role=_role(view, address, sender_id),
        mentions_you="yes" if content.get("isMention") is True else None,
        edit_of=_edited(content),
    )


def _edited(content: Mapping[str, object]) -> object:
    """Return the number of the message that an edit changes."""
    if EDIT_OF not in content:
        return None
    number = content[EDIT_OF]
    return number if isinstance(number, int) else "unknown"


def _origin(view: View, message: Inbound) -> Mapping[str, object]:
    return {
        "id": message.seq,
        "time": view.time(message.timestamp),
        "chat": view.chat(message.address),
        "thread": view.thread(message.address),
    }


def _role(view: View, address: Address | None, sender_id: object) -> str | None:
    if address is not None and address.channel_type == AGENT:
        return AGENT
    channel = address.channel_type if address else ""
    admins = view.turn.admin_user_ids
    return "admin" if sender_id in admins or f"{channel}:{sender_id}" in admins else None


def _quote(view: View, reply_to: object) -> str:
    quoted = _object(reply_to)
    if not quoted:
        return ""
    id_ = quoted.get("id")
    number = view.numbers.get(id_) if isinstance(id_, str) else None
    return element(
        "quote", body(quoted.get("text") or "", LONGEST_QUOTE), id=number, sender=quoted.get("sender")
    )


def _attachments(attachments: object) -> Iterable[str]:
    listed = attachments if isinstance(attachments, list) else []
    yield from (_attachment(_object(each)) for each in listed[:MOST_ATTACHMENTS])
    if len(listed) > MOST_ATTACHMENTS:
        yield f"({len(listed) - MOST_ATTACHMENTS} more attachments are left out)"


def _attachment(attachment: Mapping[str, object]) -> str:
    name, path = str(attachment.get("name") or ""), attachment.get("localPath")
    return element(
        "attachment",
        name=name or None,
        type=guess_type(name.rpartition("/")[2])[0] or attachment.get("type"),
        path=f"/workspace/{path}" if path else None,
        url=attachment.get("url") if not path else None,
        lost=None if path or attachment.get("url") else "yes",
    )


# -- what the host says ------------------------------------------------------------


def _task(view: View, message: Inbound) -> str:
    content = message.content
    output = content.get("scriptOutput")
    parts = [view.text(content.get("prompt") or "")]
    if output is not None:
        parts.append(element("script_output", view.json(output)))
    origin = _without(_origin(view, message), "time")  # of the row, which may be days older than the task
    return element("task", "\n".join(part for part in parts if part), **origin)


def _webhook(view: View, message: Inbound) -> str:
    content = message.content
    names = {"source": content.get("source"), "event": content.get("event")}
    return element("webhook", view.json(content.get("payload")), **_origin(view, message), **names)


def _system(view: View, message: Inbound) -> str:  # noqa: PLR0911 -- one a form
    content, origin = message.content, _origin(view, message)
    reason = view.text(content.get("reason") or "")
    match content:
        case {"type": "question_response"}:
            return _answer(view, content, origin)
        case {"type": "delivery" | "disk" as name}:
            return element(
                str(name), reason, **origin, **_picked(content, message="messageId", status="status")
            )
        case {"type": "agent_message"}:
            return element(
                "agent_message", reason, **origin, **_picked(content, status="status", agent="from")
            )
        case {"type": "continuation"}:
            return element("continuation", view.json(_without(content, "type")), **origin)
        case {"type": "reaction"}:
            sender = content.get("sender") or content.get("senderId")
            names = _picked(content, message="messageId")
            return element(
                "reaction", view.text(content.get("emoji") or ""), **origin, **names, sender=sender
            )
        case {"type": "deleted"}:
            return element("deleted", "", **origin, **_picked(content, message="messageId", user="userId"))
        case {"action": _}:
            return _result(view, content, origin)
        case _:
            return _other(view, message)


def _result(view: View, content: Mapping[str, object], origin: Mapping[str, object]) -> str:
    if "approval" in content and "decision" in content:
        names = _picked(content, action="action", decision="decision", request="approval")
        return element("outcome", view.text(outcomes.words(content)), **origin, **names)
    names = _picked(content, action="action", status="status", request="requestId")
    return element("result", view.json(content.get("result")), **origin, **names)


def _picked(content: Mapping[str, object], **keys: str) -> Mapping[str, object]:
    return {name: content.get(key) for name, key in keys.items()}


def _answer(view: View, content: Mapping[str, object], origin: Mapping[str, object]) -> str:
    withdrawn, expired = content.get("withdrawn") is True, content.get("expired") is True
    words = [str(content[key]) for key in ("title", "question") if content.get(key)]
    question = element("quote", body("\n".join(words), LONGEST_QUOTE)) if words else ""
    chosen = "" if withdrawn or expired else view.text(_chosen(content))
    return element(
        "answer",
        "\n".join(part for part in (question, chosen) if part),
        **origin,
        question=None if words else content.get("questionId"),
        user=content.get("userId"),
        own_words="yes" if content.get("freeText") is True else None,
        withdrawn="yes" if withdrawn else None,
        expired="yes" if expired else None,
    )


def _chosen(content: Mapping[str, object]) -> str:
    """Return what a user answered: one option, several options one each line, or a text."""
    several = content.get("selectedOptions")
    if isinstance(several, list) and several:
        return "\n".join(map(str, several))
    return str(content.get("selectedOption") or "")


def _other(view: View, message: Inbound) -> str:
    return element("event", view.json(message.content), **_origin(view, message), kind=message.kind)


_KINDS: Mapping[str, Callable[[View, Inbound], str]] = {
    "chat": _chat_message,
    "chat-sdk": _sdk_message,
    "task": _task,
    "webhook": _webhook,
    "system": _system,
}


# -- what the agent did --------------------------------------------------------------


def write_sent(view: View, sent: Sent) -> str:
    """Return a message or a request that an interrupted turn had sent."""
    content = sent.content
    if sent.kind == "system":
        details = view.json(_without(content, "action"))
        return element("request", details, id=sent.seq, action=content.get("action"))
    to = view.chat(sent.address) or "this chat"
    match content:
        case {"operation": operation}:
            value = content.get("text") or content.get("markdown") or content.get("emoji") or ""
            return element("sent", view.text(value), id=sent.seq, to=to, operation=operation)
        case {"type": "ask_question"}:
            return element(
                "sent", view.text(content.get("question") or ""), id=sent.seq, to=to, type="question"
            )
        case {"type": "card"}:
            return element(
                "sent", view.text(content.get("fallbackText") or ""), id=sent.seq, to=to, type="card"
            )
        case _:
            text = view.text(content.get("text") or content.get("markdown") or "")
            return element("sent", text, id=sent.seq, to=to, files=_names(content.get("files")))


def _names(files: object) -> str | None:
    return ", ".join(map(str, files)) if isinstance(files, Sequence) and not isinstance(files, str) else None


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _without(content: Mapping[str, object], key: str) -> Mapping[str, object]:
    return {name: value for name, value in content.items() if name != key}


def _chat(address: Address) -> tuple[str, str]:
    return address.channel_type, address.platform_id
