"""Reads requests in OpenAI's form, and writes answers in it. It does no I/O."""

from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from nanoclaw.channels.http.reading import LONGEST_TEXT, Fields
from nanoclaw.records import DONE
from nanoclaw.store.transcript.entries import Entry

CHARACTERS_A_TOKEN = 4
"""The channel does not know the tokens of a turn; it counts characters."""
MOST_MESSAGES = 10_000


@frozen
class Inline:
    """A file within a message."""

    name: str
    type: str
    data: bytes


@frozen
class Completion:
    """A request for an answer. Only the last message of the user is new to the agent."""

    model: str
    text: str
    files: tuple[Inline, ...]
    thread: str
    """The conversation: the field `user` of the request; empty if it has none."""
    stream: bool
    include_usage: bool
    """True if the last chunk of a stream is to have the usage."""
    prompt_tokens: int
    """The length of all messages, as an estimate."""


def read_completion(fields: Fields) -> Completion:
    """Return what a request asks for. Fields that only make sense for a bare model are ignored.

    Raises:
        ApiError: a field does not fit.
    """
    model = fields.name("model")
    if fields.values.get("n") not in (None, 1):
        fields.refuse("n", "must be 1: an agent gives one answer")
    messages = fields.objects("messages")
    if not 0 < len(messages) <= MOST_MESSAGES:
        fields.refuse("messages", f"must have 1 to {MOST_MESSAGES:,} messages")
    last = messages[-1]
    if last.values.get("role") != "user":
        last.refuse("role", "must be `user`: the last message is the one that the agent answers")
    text, files = _content(last)
    if not text.strip() and not files:
        last.refuse("content", "must not be empty")
    return Completion(
        model,
        text,
        tuple(files),
        fields.name("user", default=""),
        fields.flag("stream", default=False),
        fields.object("stream_options").flag("include_usage", default=False),
        sum(tokens(str(each.values.get("content", ""))) for each in messages),
    )


def _content(message: Fields) -> tuple[str, list[Inline]]:
    """Return the text and the files of a message."""
    if isinstance(message.values.get("content"), str):
        return message.text("content"), []
    texts, files = list[str](), list[Inline]()
    for part in message.objects("content"):
        match part.values.get("type"):
            case "text":
                texts.append(part.text("text"))
            case "image_url":
                files.append(_from_url(part.object("image_url"), "url", "image"))
            case "file":
                file = part.object("file")
                files.append(_from_url(file, "file_data", file.name("filename", default="file")))
            case "input_audio":
                audio = part.object("input_audio")
                format_ = audio.name("format", default="wav")
                files.append(Inline(f"audio.{format_}", f"audio/{format_}", _decoded(audio, "data")))
            case _:
                part.refuse("type", "must be text, image_url, file or input_audio")
    text = "\n".join(texts)
    if len(text) > LONGEST_TEXT:
        message.refuse("content", f"must have at most {LONGEST_TEXT:,} characters")
    return text, files


def _from_url(fields: Fields, key: str, name: str) -> Inline:
    """Return the file of a `data:` URL. Nothing is fetched."""
    url = fields.text(key, 1 << 26)
    head, comma, _ = url.partition(",")
    if not head.startswith("data:") or not comma or not head.endswith(";base64"):
        fields.refuse(key, "must be a URL such as data:image/png;base64,…: nothing is fetched")
    type_ = head.removeprefix("data:").partition(";")[0][:100] or "application/octet-stream"
    if "." not in name:
        subtype = type_.rpartition("/")[2].partition("+")[0]
        name = f"{name}.{subtype}" if subtype.isalnum() else name
    return Inline(name, type_, _decoded(fields, key, len(head) + 1))


def _decoded(fields: Fields, key: str, begin: int = 0) -> bytes:
    try:
        return b64decode(fields.text(key, 1 << 26)[begin:], validate=True)
    except (BadBase64, ValueError):
        fields.refuse(key, "has no valid base64")


def tokens(text: str) -> int:
    """Return an estimate of the tokens of a text."""
    return -(-len(text) // CHARACTERS_A_TOKEN)


# -- answers --------------------------------------------------------------------


@frozen
class Shape:
    """The constant parts of an answer."""

    id: str
    created: int
    model: str
    prompt_tokens: int

    def usage(self, text: str) -> dict[str, int]:
        """Return the usage, which is an estimate."""
        found = tokens(text)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": found,
            "total_tokens": self.prompt_tokens + found,
        }

    def whole(self, text: str) -> dict[str, Any]:
        """Return a whole answer."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage(text)}

    def chunk(self, delta: Mapping[str, str], finish: str | None = None) -> dict[str, Any]:
        """Return a piece of an answer."""
        choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, text: str) -> dict[str, Any]:
        """Return the last piece of an answer, which has the usage alone."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage(text)}

    def _head(self, object_: str) -> dict[str, Any]:
        return {"id": self.id, "object": object_, "created": self.created, "model": self.model}


def text_of(entry: Entry, files_at: str) -> str:
    """Return a message or a card as text: cards with numbered options, files as links below `files_at`."""
    content = entry.content
    options = [f"{n}. {each['label']}" for n, each in enumerate(content.get("options", ()), 1)]
    how = ["Answer with a number."] if options else []
    links = [f"[{each['name']}]({files_at}/{each['id']})" for each in content.get("files", ())]
    parts = [content.get("title", ""), content.get("text", ""), *options, *how, *links]
    return "\n".join(part for part in parts if part)


def chosen(card: Entry, text: str) -> Sequence[str]:
    """Return the values of the options that a text names, by number or label; none if it names none."""
    options: Sequence[Mapping[str, str]] = card.content.get("options", ())
    multiple = bool(card.content.get("multiple"))
    options = [each for each in options if each["value"] != DONE]
    named = [_named(options, part) for part in (text.split(",") if multiple else [text])]
    values = [each for each in named if each is not None]
    if len(values) < len(named):
        return ()
    return [*values, DONE] if multiple else values


def _named(options: Sequence[Mapping[str, str]], text: str) -> str | None:
    words = text.strip().casefold()
    for n, option in enumerate(options, 1):
        if words in {str(n), option["label"].casefold(), option["value"].casefold()}:
            return option["value"]
    return None
