"""Makes what the page shows from the transcript: JSON of messages, cards, drafts and conversations."""

from collections.abc import Mapping, Sequence
from mimetypes import guess_type
from typing import Any

from nanoclaw.channels.cards import MARKS
from nanoclaw.channels.http.web import markdown
from nanoclaw.records import DONE
from nanoclaw.store.transcript.entries import Entry, Thread

Json = Mapping[str, Any]
LONGEST_TITLE = 60


def message(entry: Entry, assistant: str) -> Json:
    """Return a message, or a card, as the page shows it."""
    content, is_users = entry.content, entry.kind == "user"
    text = str(content.get("text", ""))
    shown: dict[str, Any] = {
        "id": entry.message_id,
        "seq": entry.seq,
        "thread": entry.thread,
        "author": "user" if is_users else "assistant",
        "name": entry.author or assistant,
        "at": entry.created_at.isoformat(),
        "edited": bool(content.get("edited")),
        "files": [_file(each) for each in content.get("files", ())],
        "reactions": list(dict.fromkeys(content.get("reactions", ()))),
        "mine_reactions": list(content.get("user_reactions", ())),
    }
    if is_users:
        return {**shown, "text": text, "deleted": bool(content.get("deleted"))}
    if "question_id" in content:
        return {**shown, "card": _question(content)}
    if "card" in content:
        return {**shown, "card": _card(content)}
    return {**shown, **_body(text, is_markdown=bool(content.get("markdown", False)))}


def rendered_parts(entry: Entry) -> Sequence[str]:
    """Return the texts of a message that are rendered as Markdown."""
    if entry.kind == "user":
        return ()
    text = str(entry.content.get("text", ""))
    is_list = "card" in entry.content and "question_id" not in entry.content
    return (text.partition("\n")[2] if is_list else text,)


def draft(thread: str, text: str) -> Json:
    """Return a draft. Without HTML it removes the one that is shown."""
    return {"thread": thread, "html": markdown.html(text) if text else ""}


def conversation(thread: Thread, name: str) -> Json:
    """Return a conversation as the list shows it."""
    title = _title(thread.first) if thread.first.thread else "Inbox"
    return {"thread": name, "title": title, "seq": thread.last_seq, "at": thread.last_at.isoformat()}


def file_type(name: str) -> str:
    """Return the media type of a file by its name."""
    return guess_type(name)[0] or "application/octet-stream"


def _title(first: Entry) -> str:
    files: Sequence[Json] = first.content.get("files", ())
    named = str(files[0]["name"]) if files else ""
    text = str(first.content.get("title") or first.content.get("text") or named)
    return text.strip().split("\n")[0][:LONGEST_TITLE]


def _body(text: str, *, is_markdown: bool) -> Json:
    if not is_markdown or not text:
        return {"text": text, "plain": text[:300]}
    rendered = markdown.html(text)
    return {"text": text, "html": rendered, "plain": markdown.plain(rendered)}


def _file(file: Json) -> Json:
    name = str(file["name"])
    found = {"name": name, "size": file["size"], "type": file_type(name)}
    return {**found, "url": f"files/{file['id']}"} if "id" in file else found


def _question(question: Json) -> Json:
    return {
        "title": question["title"],
        "html": markdown.html(str(question["text"])),
        "question_id": question["question_id"],
        "options": [_option(each) for each in question["options"]],
        "free_text": bool(question.get("free_text")),
    }


def _option(option: Json) -> Json:
    label = str(option["label"])
    marked = label.startswith(MARKS)
    return {
        "value": option["value"],
        "label": label[len(MARKS[0]) :] if marked else label,
        "chosen": label.startswith(MARKS[1]) if marked else None,
        "done": option["value"] == DONE,
    }


def _card(content: Json) -> Json:
    """Return a card to look at. The first line of its text is its title."""
    title, _, lines = str(content.get("text", "")).partition("\n")
    return {"title": title, "html": markdown.html(lines)}
