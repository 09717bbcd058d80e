"""ask_user_question: a card with buttons, and what somebody chooses."""

from collections.abc import Mapping
from contextlib import suppress
from typing import cast

import trio

from agent_runner import inbound
from agent_runner.errors import InboundUnavailableError, ToolError
from agent_runner.providers import ToolSpec
from agent_runner.records import Inbound
from agent_runner.store import Connection
from agent_runner.tools.base import TO, Bench, Tool, find_address, schema, send
from agent_runner.tools.requests import take

PATIENCE = 300
MAX_PATIENCE = 86_400
LOOK_AGAIN = 10.0
"""A wake-up may have been lost."""


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
        answer = await _wait_for(bench, id_, patience(arguments))
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


async def _wait_for(bench: Bench, id_: str, patience_s: float) -> Inbound:
    with trio.move_on_after(patience_s):
        while True:
            seen = bench.session.changes.count
            if answer := await _look(bench, id_):
                return answer
            with trio.move_on_after(LOOK_AGAIN):
                await bench.session.changes.after(seen)
    if answer := await _look(bench, id_):
        return answer
    raise ToolError(
        f"nobody has answered within {patience_s:.0f} s; an answer that comes later will come as a message"
    )


async def _look(bench: Bench, id_: str) -> Inbound | None:
    now = bench.session.seams.clock.now()

    def look(connection: Connection) -> Inbound | None:
        delivered = inbound.delivered(connection, id_)
        if delivered is not None and delivered.status == "failed":
            raise ToolError("the question could not be delivered: nobody has seen it")
        return inbound.chosen(connection, f"answer-{id_}", now)

    with suppress(InboundUnavailableError):
        return await bench.session.host.read(look)
    return None


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
