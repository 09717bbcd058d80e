"""The provider's suite, continued: every kind of message (contract 5), and any text."""

from collections.abc import Awaitable, Callable, Mapping

from attrs import evolve

from agent_runner.errors import ProviderError
from agent_runner.foreign import foreign_code
from agent_runner.records import Inbound, Result, Turn
from nanoclaw.testing.conformance.checks import NotConforming, require
from nanoclaw.testing.conformance.providers import OpenUnderTest, answers, require_known
from nanoclaw.testing.conformance.steps import step
from nanoclaw.testing.conformance.turns import Tools, message, of_kind, require_result, turn_of

Content = Mapping[str, object]
HUGE = 100_000
"""Characters."""
AUTHOR = {"userId": "u1", "userName": "ann", "fullName": "Ann", "isBot": False, "isMe": False}
TASK: Content = {"taskId": "task-1", "nextRun": None}
OTHERS: Mapping[str, tuple[str, Content]] = {
    "a webhook": ("webhook", {"source": "ci", "event": "failed", "payload": {"build": 7}}),
    "a late answer to a question": (
        "system",
        {"type": "question_response", "questionId": "q1", "selectedOption": "Yes", "userId": "test:ann"},
    ),
    "the answer to a request": (
        "system",
        {"action": "schedule_task", "status": "completed", "requestId": "out-1", "result": TASK},
    ),
    "the refusal of a request": (
        "system",
        {"action": "schedule_task", "status": "failed", "requestId": "out-1", "result": {"error": "no"}},
    ),
    "news of a delivery": (
        "system",
        {"type": "delivery", "status": "failed", "messageId": 3, "reason": "too long"},
    ),
    "a continuation": ("system", {"type": "continuation"}),
}
TEXTS: Mapping[str, str] = {
    "an empty text": "",
    "a blank text": " \n\t ",
    "a text of one emoji": "\N{THUMBS UP SIGN}",
    "a text with odd characters": "\x00\x1b[2J \u202e {text} %s \\ \ufffd",
    "a huge text": "word " * (HUGE // 5),
}


async def tasks_are_done(it: OpenUnderTest) -> None:
    """A task is answered. It has a `prompt`, no text and no sender, and possibly no chat."""
    for content in (
        {"prompt": it.question},
        {"prompt": it.question, "script": "date", "scriptOutput": "now"},
    ):
        await _answered(it, of_kind(1, "task", content), "a task")


async def what_is_said_in_other_words_is_answered(it: OpenUnderTest) -> None:
    """A message is answered if it has files, is a reply, or has the form of the chat library."""
    plain = message(1, it.question)
    files = [{"type": "image", "name": "a.png", "localPath": "in/inbox/in-1/a.png"}]
    more = {"attachments": files, "replyTo": {"sender": "Bob", "text": "hm"}, "isMention": True}
    sdk = {
        "id": "1",
        "threadId": "t",
        "text": it.question,
        "author": AUTHOR,
        "metadata": {},
        "attachments": [],
    }
    await _answered(it, evolve(plain, content={**plain.content, **more}), "a message with files")
    await _answered(it, of_kind(1, "chat-sdk", sdk), "a message of kind chat-sdk")


async def _answered(it: OpenUnderTest, asked: Inbound, what: str) -> None:
    tools = Tools()
    result = await _settled(it, turn_of(asked), what, tools)
    require(
        result is not None, f"{what} with the question {it.question!r} must be answered, got ProviderError"
    )
    done = result is not None and (answers(result) or tools.calls)
    require(done, f"{what} with the question {it.question!r} must be answered, got {result}")


async def every_kind_of_message_is_taken(it: OpenUnderTest) -> None:
    """Other kinds end with a result or a `ProviderError`, and as context they do not prevent an answer."""
    for what, (kind, content) in OTHERS.items():
        await _settled(it, turn_of(of_kind(1, kind, content)), what)
    context = tuple(of_kind(n, *other, trigger=False) for n, other in enumerate(OTHERS.values(), 10))
    turn = evolve(turn_of(message(9, it.question)), context=context)
    result = await _settled(it, turn, "a question with such context")
    require(
        result is not None and answers(result), f"{it.question!r} was not answered because of its context"
    )


async def any_text_is_taken(it: OpenUnderTest) -> None:
    """Any text ends with a result or a `ProviderError`, and the next question is answered."""
    for what, text in TEXTS.items():
        await _settled(it, turn_of(message(1, text)), what)
        await _settled(it, turn_of(of_kind(1, "task", {"prompt": text})), f"a task with {what}")
    await _answered(it, message(1, it.question), "the message after odd ones")


async def _settled(it: OpenUnderTest, turn: Turn, what: str, tools: Tools | None = None) -> Result | None:
    """Return the result of a turn, or None on `ProviderError`."""
    try:
        with step(f"a turn with {what}", it.turn_s), foreign_code(ProviderError, Exception):
            result = await it.handler.run(turn, tools or Tools())
    except ProviderError:
        return None
    except NotConforming:
        raise
    except Exception as error:
        raise NotConforming(f"{what} raised {error!r}, expected a result or ProviderError") from error
    found = require_result(result, f"for {what}")
    require_known(found, {one.id for one in turn.messages})
    return found


CHECKS: tuple[Callable[[OpenUnderTest], Awaitable[None]], ...] = (
    tasks_are_done,
    what_is_said_in_other_words_is_answered,
    every_kind_of_message_is_taken,
    any_text_is_taken,
)
