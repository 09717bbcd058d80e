"""The tool ask_user_question: show a card with buttons, and wait until a user chooses."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import cast

from agent_runner import inbound
from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.records import Address, Inbound
from agent_runner.store import Connection
from agent_runner.tools.base import TO, BuiltinTool, ToolContext, find_address, schema, send, text
from agent_runner.tools.requests import claim_answer, wait_for_answer

ANSWER_TIMEOUT = 60
"""Seconds that a call waits at most, and without an argument: so long an open question blocks its session."""
NO_ANSWER = "no answer yet"
"""The beginning of the result if nobody has chosen in time."""
STAYS_OPEN = (
    "The question stays open, and its answer will come as a message. Do not ask again. Do what you can "
    "without the answer, or end your turn."
)


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Show the card and wait. A question that an interrupted turn has asked is not asked again."""
    content = {
        "type": "ask_question",
        **{name: arguments[name] for name in ("title", "question", "options")},
    }
    address = await find_address(context, arguments.get("to"))
    before, floor = _asked_before(context, content), await context.session.inbound.read(inbound.largest_seq)
    id_ = before or context.session.seams.new_id("out")
    with context.turn_state.reserved(f"answer-{id_}"):
        if before is None:
            await send(context, address, {**content, "questionId": id_}, id_)
        limit = answer_timeout(arguments)
        answer = await wait_for_answer(context, partial(_answer_or_message, id_, floor, address), limit)
        if answer is None:
            return f"{NO_ANSWER}: nobody has chosen within {limit:.0f} s. {STAYS_OPEN}"
        if answer.kind != "system":  # it is taken as a follow-up, or has a turn of its own
            return f"{NO_ANSWER}: somebody wrote a message instead. {STAYS_OPEN}"
        await claim_answer(context, answer)
    if answer.content.get("withdrawn"):
        raise ToolError("an administrator deleted the question: nobody will answer it")
    return str(answer.content.get("selectedOption"))


def answer_timeout(arguments: Mapping[str, object]) -> float:
    """Return how long a call waits for an answer, in seconds."""
    return float(cast("float", arguments.get("timeout_s", ANSWER_TIMEOUT)))


def _asked_before(context: ToolContext, content: Mapping[str, object]) -> str | None:
    """Return the id of the same question of the turn that this one repeats, or None."""
    for sent in context.turn.already_sent:
        id_ = str(sent.content.get("questionId"))
        if id_ not in context.turn_state.resumed_questions and content.items() <= sent.content.items():
            context.turn_state.resumed_questions.add(id_)
            return id_
    return None


def _answer_or_message(
    id_: str, floor: int, address: Address | None, connection: Connection, now: datetime
) -> Inbound | None:
    """Read the answer, or a message above `floor` in the chat of the question: it may be meant as one."""
    return _answer(id_, connection, now) or inbound.said_since(connection, floor, address, now)


def _answer(id_: str, connection: Connection, now: datetime) -> Inbound | None:
    """Read the answer, also one that an earlier turn was given: a choice is final."""
    delivered = inbound.delivered(connection, id_)
    if delivered is not None and delivered.status == "failed":
        raise ToolError("the question could not be delivered, so no user has seen it")
    answer = inbound.answer(connection, f"answer-{id_}", now, of_any_status=True)
    return answer or inbound.choice(connection, id_, now)


TOOL = BuiltinTool(
    ToolSpec(
        "ask_user_question",
        "Ask a question with buttons, and wait until a user chooses. Returns the option that was chosen. If "
        "nobody chooses in time, or somebody writes instead, it says so; the answer then comes as a message, "
        "in a later turn.",
        schema(
            {
                "title": text("A few words above it.", maxLength=200),
                "question": text("The question.", maxLength=4000),
                "options": {
                    "type": "array",
                    "items": text("The label of a button.", maxLength=100),
                    "minItems": 1,
                    "maxItems": 25,
                    "uniqueItems": True,
                    "description": "The options, one button each.",
                },
            },
            timeout_s={
                "type": "integer",
                "minimum": 1,
                "maximum": ANSWER_TIMEOUT,
                "description": f"How long to wait, in seconds; {ANSWER_TIMEOUT} without it.",
            },
            to=TO,
        ),
    ),
    timeout=60.0,
    run=run,
    waits_for=answer_timeout,
)
