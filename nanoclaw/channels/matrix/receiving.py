"""Reads events of Matrix rooms. Pure functions of JSON that anybody may have written: they never raise."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

LONGEST_ID = 1000
FALLBACK = re.compile(r"> (\* )?<[^\n]*(\n>[^\n]*)*\n\n?")
"""The quotation at the beginning of a reply, which older clients put into its text."""
KINDS = {"m.image": "image", "m.file": "file", "m.audio": "audio", "m.video": "video"}


@frozen
class FileKey:
    """The key of an encrypted file, as its event has it: unpadded base64."""

    key: str
    iv: str
    sha256: str


@frozen
class RemoteFile:
    """A file on a Matrix server."""

    mxc: str
    """Its address, `mxc://<server>/<id>`."""
    name: str
    kind: str
    key: FileKey | None = None


@frozen
class Message:
    """A message, or a new text of one."""

    event_id: str
    sender: str
    text: str
    files: tuple[RemoteFile, ...] = ()
    thread: str | None = None
    """The id of the first message of its thread."""
    reply_to: str | None = None
    """The id of the message that it is shown to answer."""
    edited: str | None = None
    """The id of the message whose text this is. None: it is a message of its own."""
    mentions: frozenset[str] | None = None
    """The users that it says it mentions. None: it does not say."""


@frozen
class Reaction:
    """An emoji on a message."""

    event_id: str
    sender: str
    target: str
    emoji: str


@frozen
class Redaction:
    """The deletion of an event."""

    event_id: str
    sender: str
    target: str


@frozen
class Encrypted:
    """An event that could not be decrypted."""

    event_id: str
    sender: str
    session_id: str


@frozen
class Membership:
    """A user came, left or was invited."""

    event_id: str
    sender: str
    user: str
    membership: str
    before: str
    """The membership before, `leave` if there was none."""
    name: str


@frozen
class Renamed:
    """A room got another name."""

    event_id: str
    sender: str
    name: str


Seen = Message | Reaction | Redaction | Encrypted | Membership | Renamed


def read(source: object) -> Seen | None:  # noqa: PLR0911 -- one for each kind of event
    """Return what an event says, or None if it is of no interest or malformed."""
    event = _mapping(source)
    event_id, sender, kind = (_id(event.get(key)) for key in ("event_id", "sender", "type"))
    content = _mapping(event.get("content"))
    if not event_id or not sender:
        return None
    match kind:
        case "m.room.message" | "m.sticker":
            return _message(event_id, sender, content, kind)
        case "m.reaction":
            return _reaction(event_id, sender, content)
        case "m.room.redaction":
            target = _id(event.get("redacts")) or _id(content.get("redacts"))
            return Redaction(event_id, sender, target) if target else None
        case "m.room.encrypted":
            return Encrypted(event_id, sender, _id(content.get("session_id")) or "")
        case "m.room.member":
            return _membership(event_id, sender, event, content)
        case "m.room.name":
            name = content.get("name")
            return Renamed(event_id, sender, name[:LONGEST_ID]) if isinstance(name, str) and name else None
        case _:
            return None


def _message(event_id: str, sender: str, content: Mapping[str, Any], kind: str) -> Message | None:
    relation = _mapping(content.get("m.relates_to"))
    target = _id(relation.get("event_id"))
    edited = target if relation.get("rel_type") == "m.replace" else None
    if edited is not None:
        content = _mapping(content.get("m.new_content"))
    said = _said(content, kind)
    if said is None:
        return None
    text, files = said
    answered = _reply(relation)
    return Message(
        event_id,
        sender,
        FALLBACK.sub("", text, count=1) if answered and FALLBACK.match(text) else text,
        files,
        thread=target if relation.get("rel_type") == "m.thread" else None,
        reply_to=answered,
        edited=edited,
        mentions=_mentions(content),
    )


def _said(content: Mapping[str, Any], kind: str) -> tuple[str, tuple[RemoteFile, ...]] | None:
    """Return the text and the files of a message. None: it is of a program, or verifies keys."""
    body, msgtype = content.get("body"), content.get("msgtype")
    if not isinstance(body, str):
        return None
    if kind == "m.sticker":
        msgtype = "m.image"
    if isinstance(msgtype, str) and msgtype in KINDS:
        file = _file(content, body, KINDS[msgtype])
        caption = body if isinstance(content.get("filename"), str) and content["filename"] != body else ""
        return (caption, (file,)) if file else (body, ())
    match msgtype:
        case "m.text":
            return body, ()
        case "m.emote":
            return f"* {body}", ()
        case "m.location":
            place = content.get("geo_uri")
            return f"{body} ({place})" if isinstance(place, str) else body, ()
        case _:
            return None


def _file(content: Mapping[str, Any], body: str, kind: str) -> RemoteFile | None:
    """Return the file of a message. Its name may be anything: the host makes a safe one of it."""
    name = content.get("filename")
    name = (name if isinstance(name, str) and name else body)[:LONGEST_ID] or kind
    sealed = _mapping(content.get("file"))
    mxc = sealed.get("url") if sealed else content.get("url")
    if not isinstance(mxc, str) or not mxc.startswith("mxc://") or len(mxc) > LONGEST_ID:
        return None
    if not sealed:
        return RemoteFile(mxc, name, kind)
    key = (
        _mapping(sealed.get("key")).get("k"),
        sealed.get("iv"),
        _mapping(sealed.get("hashes")).get("sha256"),
    )
    if not all(isinstance(part, str) and len(part) <= LONGEST_ID for part in key):
        return None
    return RemoteFile(mxc, name, kind, FileKey(*map(str, key)))


def _reply(relation: Mapping[str, Any]) -> str | None:
    """Return the id of the message that this one answers. A thread's fallback is no answer."""
    if relation.get("rel_type") == "m.thread" and relation.get("is_falling_back") is True:
        return None
    return _id(_mapping(relation.get("m.in_reply_to")).get("event_id"))


def _mentions(content: Mapping[str, Any]) -> frozenset[str] | None:
    if "m.mentions" not in content:
        return None
    named = _mapping(content["m.mentions"]).get("user_ids")
    users = named if isinstance(named, Sequence) and not isinstance(named, str) else ()
    return frozenset(user for user in users if isinstance(user, str))


def _reaction(event_id: str, sender: str, content: Mapping[str, Any]) -> Reaction | None:
    relation = _mapping(content.get("m.relates_to"))
    target, emoji = _id(relation.get("event_id")), relation.get("key")
    if relation.get("rel_type") != "m.annotation" or target is None:
        return None
    return (
        Reaction(event_id, sender, target, emoji[:100]) if isinstance(emoji, str) and emoji.strip() else None
    )


def _membership(
    event_id: str, sender: str, event: Mapping[str, Any], content: Mapping[str, Any]
) -> Membership | None:
    user, now = _id(event.get("state_key")), content.get("membership")
    before = _mapping(_mapping(event.get("unsigned")).get("prev_content")).get("membership")
    name = content.get("displayname")
    if user is None or not isinstance(now, str):
        return None
    return Membership(
        event_id,
        sender,
        user,
        now,
        before if isinstance(before, str) else "leave",
        name[:LONGEST_ID] if isinstance(name, str) and name.strip() else user,
    )


def mentioned(message: Message, user_id: str, names: Sequence[str]) -> bool:
    """Return True if a message mentions a user: it says so, or, if it says nothing, has one of the names."""
    if message.mentions is not None:
        return user_id in message.mentions
    return any(_word(name).search(message.text) for name in (user_id, *names) if name.strip())


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)


def since_invited(seen: Sequence[Seen], user_id: str) -> Sequence[Seen]:
    """Return the events since a user was invited, if they came in these events. Else all of them.

    The timeline of a room that was just joined begins with events from before.
    """
    own = [
        n for n, each in enumerate(seen) if isinstance(each, Membership) and _enters(each, user_id, "join")
    ]
    if not own:
        return seen
    invited = [
        n
        for n, each in enumerate(seen[: own[-1]])
        if isinstance(each, Membership) and _enters(each, user_id, "invite")
    ]
    return seen[(invited or own)[-1] :]


def _enters(each: Membership, user_id: str, membership: str) -> bool:
    return each.user == user_id and each.membership == membership and each.before != membership


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_ID else None
