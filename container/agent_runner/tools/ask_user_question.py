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
from agent_runner.tools.base import AGENT, TO, BuiltinTool, ToolContext, find_address, schema, send, text
from agent_runner.tools.requests import claim_answer, wait_for_answer

ANSWER_TIMEOUT = 60
"""Seconds that a call waits at most, and without an argument: so long an open question blocks its session."""
NO_ANSWER = "no answer yet"
"""The beginning of the result if nobody has chosen in time."""
EXPIRED = "the question has expired: nobody answered in time"
MOST_OF_SEVERAL, LONGEST_OF_SEVERAL = 24, 98
"""Limits where several options may be chosen: a button and two characters of each label are the host's."""
STAYS_OPEN = (
    "The question stays open, and its answer will come as a message. Do not ask again. Do what you can "
    "without the answer, or end your turn."
)


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Show the card and wait. A question that an interrupted turn has asked is not asked again."""
    address = await find_address(context, arguments.get("to"))
    content = {"type": "ask_question", **_card(arguments), **_answerers(context, arguments, address)}
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
    return _in_words(answer.content)


def _card(arguments: Mapping[str, object]) -> Mapping[str, object]:
    """Return the part of the content that describes the card. Raises ToolError."""
    options = cast("list[str]", arguments.get("options", []))
    multiple, free_text = arguments.get("multiple") is True, arguments.get("free_text") is True
    if not options and not free_text:
        raise ToolError("options is missing: without options, a question needs free_text")
    if multiple and (len(options) > MOST_OF_SEVERAL or any(len(one) > LONGEST_OF_SEVERAL for one in options)):
        raise ToolError(
            f"with multiple, there are at most {MOST_OF_SEVERAL} options of {LONGEST_OF_SEVERAL} characters"
        )
    given = {name: arguments[name] for name in ("title", "question", "options") if arguments.get(name)}
    flags = {"multiple": multiple and bool(options), "freeText": free_text}
    expiry = {"expiresS": arguments["expires_s"]} if "expires_s" in arguments else {}
    return {**given, **{name: True for name, on in flags.items() if on}, **expiry}


def _answerers(
    context: ToolContext, arguments: Mapping[str, object], address: Address
) -> Mapping[str, object]:
    """Return the part of the content that says who may answer. Raises ToolError."""
    who = arguments.get("who", "member")
    if who != "asker":
        return {} if who == "member" else {"who": who}
    said = [*context.turn.messages, *context.turn_state.follow_ups]
    senders = (_sender(each) for each in reversed(said) if _same_chat(each.address, address))
    asker = next(filter(None, senders), None)
    if asker is None:
        raise ToolError("no user of that chat has written in this turn: who must be member or admin")
    return {"who": who, "asker": asker}


def _sender(message: Inbound) -> str | None:
    """Return the id of the user who wrote a message, with the prefix of its network."""
    author = message.content.get("author")
    found = message.content.get("senderId") or (
        author.get("userId") if isinstance(author, Mapping) else message.content.get("userId")
    )
    if not isinstance(found, str) or not found or message.address is None:
        return None
    return found if ":" in found else f"{message.address.channel_type}:{found}"


def _same_chat(one: Address | None, other: Address) -> bool:
    chat = (other.channel_type, other.platform_id)
    return one is not None and (one.channel_type, one.platform_id) == chat and one.channel_type != AGENT


def _in_words(content: Mapping[str, object]) -> str:
    """Return an answer as the result of the call. Raises ToolError if the question was withdrawn."""
    match content:
        case {"withdrawn": True}:
            raise ToolError("an administrator deleted the question: nobody will answer it")
        case {"expired": True}:
            return EXPIRED
        case {"selectedOptions": list(chosen)}:
            return "\n".join(map(str, chosen))
        case _:
            return str(content.get("selectedOption"))


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
        "Ask a question with buttons, and wait until a user answers. Returns the option that was chosen; "
        "with `multiple` one option each line; with `free_text` perhaps a text. If nobody answers in time, "
        "or somebody writes instead, it says so; the answer then comes as a message, in a later turn.",
        schema(
            {
                "title": text("A few words above it.", maxLength=200),
                "question": text("The question.", maxLength=4000),
            },
            options={
                "type": "array",
                "items": text("The label of a button.", maxLength=100),
                "maxItems": 25,
                "uniqueItems": True,
                "description": "The options, one button each. Needed unless free_text is true.",
            },
            who={
                "enum": ["asker", "member", "admin"],
                "description": "Who may answer: the user who wrote the newest message of this turn in that "
                "chat, everybody whom you hear there (the default), or your administrators.",
            },
            multiple={"type": "boolean", "description": "True if several options may be chosen."},
            free_text={
                "type": "boolean",
                "description": "True if a message in the chat is an answer, too. In a group, say who.",
            },
            expires_s={
                "type": "integer",
                "minimum": 10,
                "maximum": 2_592_000,
                "description": "Seconds until the question expires, which you are told; 7 days without it.",
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
