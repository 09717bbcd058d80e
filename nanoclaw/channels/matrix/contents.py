"""Builds the contents of events that are sent. Pure functions."""

import json
import re
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from mimetypes import guess_type
from typing import Any

from nanoclaw.channels.matrix.dialect import html_of
from nanoclaw.channels.rendering import pieces, plain_pieces

Content = dict[str, Any]

MOST_BYTES = 30_000
"""Limit of the JSON of a text in bytes. An event has at most 65,536, and encryption adds a third."""
LEAST = 64
"""Bytes of the smallest part into which a text is split."""
LONGEST_DRAFT = 8_000
USER_ID = re.compile(r"@[a-z0-9._=/+-]+:[A-Za-z0-9.:-]*[A-Za-z0-9]")


def texts(text: str, *, markdown: bool, members: Collection[str] = ()) -> Sequence[Content]:
    """Return the contents of the messages of a text. The users of the room that it names are notified."""
    split = pieces if markdown else plain_pieces
    # An event has a text twice, as it is and as HTML. That takes long to make, so not to measure only.
    found = deque(split(text, MOST_BYTES // 2, _bytes))
    contents = list[Content]()
    while found:
        part = found.popleft()
        content = _text(part, markdown=markdown, members=members)
        if _size(content) > MOST_BYTES and _bytes(part) > LEAST:
            found.extendleft(reversed(split(part, max(_bytes(part) // 2, LEAST), _bytes)))
        else:
            contents.append(content)
    return contents


def shown(text: str) -> Content:
    """Return the content of a draft: the end of a text, if it is long."""
    text = text if len(text) <= LONGEST_DRAFT else "…" + text[-LONGEST_DRAFT:]
    return _text(text, markdown=True)


def _bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))


def _size(content: Content) -> int:
    return len(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))


def _text(text: str, *, markdown: bool, members: Collection[str] = ()) -> Content:
    content: Content = {"msgtype": "m.text", "body": text, "m.mentions": _mentions(text, members)}
    if markdown and (rendered := html_of(text)).is_marked_up:
        content |= {"format": "org.matrix.custom.html", "formatted_body": rendered.html}
    return content


def _mentions(text: str, members: Collection[str]) -> Content:
    named = sorted({user for user in USER_ID.findall(text) if user in members})
    return {"user_ids": named} if named else {}


def placed(content: Content, thread: str | None, in_reply_to: str | None) -> Content:
    """Return a message's content for a thread, and as a reply."""
    if thread is None and in_reply_to is None:
        return content
    relation: Content = {"m.in_reply_to": {"event_id": in_reply_to or thread}}
    if thread is not None:
        relation |= {"rel_type": "m.thread", "event_id": thread, "is_falling_back": in_reply_to is None}
    return {**content, "m.relates_to": relation}


def edit(content: Content, target: str) -> Content:
    """Return a text's content as the new one of a message that was sent before."""
    fallback = {"msgtype": content["msgtype"], "body": "* " + content["body"][:1000], "m.mentions": {}}
    relation = {"rel_type": "m.replace", "event_id": target}
    return {**fallback, "m.new_content": content, "m.relates_to": relation}


def reaction(target: str, emoji: str) -> Content:
    """Return the content of a reaction."""
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": emoji}}


def mime_of(name: str) -> str:
    """Return the type of a file by its name."""
    return guess_type(name)[0] or "application/octet-stream"


def file(name: str, size: int, place: Mapping[str, Any]) -> Content:
    """Return the content of a file. `place` has its `url`, or its encrypted `file`."""
    mime = mime_of(name)
    kind = mime.partition("/")[0]
    msgtype = f"m.{kind}" if kind in {"image", "audio", "video"} else "m.file"
    info = {"mimetype": mime, "size": size}
    return {"msgtype": msgtype, "body": name, "filename": name, "info": info, "m.mentions": {}, **place}
