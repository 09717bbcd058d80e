"""ask_user_question: a card with buttons, and what somebody chooses."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import cast

from agent_runner import inbound
from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.records import Inbound
from agent_runner.store import Connection
from agent_runner.tools.base import TO, Bench, Tool, find_address, schema, send
from agent_runner.tools.requests import take, wait_for

PATIENCE = 300
MAX_PATIENCE = 86_400


async def run(bench: Bench, arguments: Mapping[str, object]) -> str:
    """Show the card, and wait. A question that an interrupted turn has asked is not asked again."""
    content = {
        "type": "ask_question",
        **{name: arguments[name] for name in ("title", "question", "options")},
    }
    address = await find_address(bench, arguments.get("to"))
    before = _asked_before(bench, content)
    id_ = before or bench.session.seams.new_id("out")
    with bench.extras.awaiting(f"answer-{id_}"):
        if before is None:
            await send(bench, address, {**content, "questionId": id_}, id_)
        limit = patience(arguments)
        answer = await wait_for(bench, partial(_answer, id_), limit)
        if answer is None:
            raise ToolError(
                f"nobody has answered within {limit:.0f} s; an answer that comes later will come as a message"
            )
        await take(bench, answer)
    return str(answer.content.get("selectedOption"))


def patience(arguments: Mapping[str, object]) -> float:
    """How long a call waits, in seconds."""
    return float(cast("int", arguments.get("timeout_s", PATIENCE)))


def _asked_before(bench: Bench, content: Mapping[str, object]) -> str | None:
    """The id of the same question of the turn that this one repeats: its row has the same."""
    for sent in bench.turn.already_sent:
        id_ = str(sent.content.get("questionId"))
        if id_ not in bench.extras.resumed and content.items() <= sent.content.items():
            bench.extras.resumed.add(id_)
            return id_
    return None


def _answer(id_: str, connection: Connection, now: datetime) -> Inbound | None:
    """Also one that an earlier turn has had: what somebody chose stays chosen."""
    delivered = inbound.delivered(connection, id_)
    if delivered is not None and delivered.status == "failed":
        raise ToolError("the question could not be delivered: nobody has seen it")
    return inbound.answer(connection, f"answer-{id_}", now, of_any_status=True)


TOOL = Tool(
    ToolSpec(
        "ask_user_question",
        "Ask a question with buttons, and wait until somebody chooses. Returns the option that was chosen; "
        "fails if nobody does in time.",
        schema(
            {
                "title": {"type": "string", "description": "A few words above it.", "maxLength": 200},
                "question": {"type": "string", "description": "The question.", "maxLength": 4000},
                "options": {
                    "type": "array",
                    "items": {"type": "string", "maxLength": 100},
                    "minItems": 1,
                    "maxItems": 25,
                    "uniqueItems": True,
                    "description": "What stands on the buttons.",
                },
            },
            timeout_s={
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_PATIENCE,
                "description": f"How long to wait, in seconds; {PATIENCE} without it.",
            },
            to=TO,
        ),
    ),
    timeout=60.0,
    run=run,
    patience=patience,
)
