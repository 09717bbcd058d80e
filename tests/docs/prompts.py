"""The generated parts of docs/prompts.md: what a model reads, of an example. They are golden texts.

    python -m tests.docs.prompts --write

rewrites them; without `--write` it only says whether they are out of date.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
from attrs import evolve, frozen

from agent_runner.prompt import read_output, render_follow_ups, render_turn, system_prompt
from agent_runner.providers.http import NoHttp
from agent_runner.records import Address, Destination, Inbound, Note, Notebook, Sent, Turn
from nanoclaw.testing.conformance.contexts import MemoryState, session_context
from tests.docs.configuration import BLOCK
from tests.docs.generated import cell, write_or_compare

PAGE = Path(__file__).parents[2] / "docs" / "prompts.md"
HOME, FAMILY, COOK = Address("telegram", "100"), Address("telegram", "200"), Address("agent", "ag-cook")
NOON = datetime(2026, 3, 2, 11, tzinfo=UTC)


def row(seq: int, kind: str = "chat", address: Address = HOME, /, **content: object) -> Inbound:
    return Inbound(f"in-{seq}", seq, kind, address, content, 0, NOON + timedelta(minutes=seq))


PHOTO = {"type": "image", "name": "list.png", "localPath": "in/inbox/in-6/list.png"}
CHAT = (
    row(4, id="p4", text="Tom is ill. See <https://example.org>", sender="Ann", senderId="telegram:1"),
    row(
        *(6, "chat"),
        id="p6",
        text="Then who buys this?",
        sender="Ben",
        senderId="telegram:2",
        replyTo={"id": "p4", "sender": "Ann", "text": "Tom is ill. See <https://example.org>"},
        attachments=[PHOTO],
        isMention=True,
    ),
    row(8, "chat", COOK, text="The soup is ready.", sender="Cook", senderId="agent:ag-cook"),
)
CONTEXT = (evolve(row(2, text="good morning", sender="Ben", senderId="telegram:2"), trigger=False),)
QUESTION = {"title": "Shopping", "question": "Shall I add milk?", "questionId": "out-1"}
LATER = (
    row(24, id="p4", text="Tom is well again.", sender="Ann", senderId="telegram:1", editOf=4),
    row(26, "system", type="deleted", userId="telegram:2", messageId=6),
    row(28, "system", type="reaction", emoji="👍", sender="Ben", senderId="telegram:2", messageId=3),
)
OTHERS = (
    row(10, "task", prompt="Tell them about new mail.", script="…", scriptOutput={"new": 2}),
    row(12, "webhook", source="github", event="push", payload={"branch": "main"}),
    row(14, "system", type="question_response", selectedOption="Yes", userId="telegram:1", **QUESTION),
    row(
        14,
        "system",
        type="question_response",
        selectedOption="Yes, No",
        selectedOptions=["Yes", "No"],
        userId="telegram:1",
        **QUESTION,
    ),
    row(
        14,
        "system",
        type="question_response",
        selectedOption="as you like",
        freeText=True,
        userId="telegram:1",
        **QUESTION,
    ),
    row(14, "system", type="question_response", expired=True, **QUESTION),
    row(
        16, "system", action="schedule_task", status="failed", requestId="out-3", result={"error": "too many"}
    ),
    row(
        17,
        "system",
        action="create_agent",
        status="completed",
        requestId="out-4",
        approval="appr-1",
        decision="approved",
        result={"name": "Cook", "destination": "cook"},
    ),
    row(18, "system", type="delivery", status="failed", messageId=5, reason="the chat is gone"),
    row(20, "system", type="agent_message", status="cut", **{"from": "Cook"}, reason="more than 10 hops"),
    row(22, "system", type="disk", status="nearly_full", reason="6.5 GiB of 8.0 GiB of disk space are used"),
)
SENT = (
    Sent(3, "chat", FAMILY, {"text": "Tom is ill."}),
    Sent(5, "system", HOME, {"action": "schedule_task", "prompt": "Ask how Tom is.", "processAfter": "2h"}),
)
TURN = Turn(
    "turn-1",
    CHAT,
    CONTEXT,
    SENT,
    context_omitted=12,
    assistant_name="Nano",
    agent_group_name="home",
    timezone="Europe/Berlin",
    destinations=(
        Destination("cook", "Cook", COOK),
        Destination("family", "Our family", FAMILY),
        Destination("flat", "Flat", HOME),
    ),
    home=HOME,
    admin_user_ids=("telegram:1",),
    now=NOON + timedelta(hours=1),
)
ANSWERS = (
    "Ben buys it.",
    'Done.\n<message to="family">Ben goes shopping.</message>',
    "<internal>Nobody asked me.</internal>",
    '<internal>Ask Cook.</internal>I ask. <message to="cook">More soup?',
    '<message to="mum">Hello</message>',
    "Write `<internal>` around it.",
)


@frozen
class Notes:
    """The notes of the example."""

    set_aside: str | None = None

    async def notebook(self) -> Notebook:
        newest = (Note(7, "Ben's birthday is 4 May.", "birthday", "2026-02-20T10:00:00.000Z"),)
        used = (Note(2, "Tom is allergic to nuts.", "", "2026-01-05T10:00:00.000Z"),)
        return Notebook(newest, used, 12)


def write_files(workspace: Path, shared: Path) -> None:
    """Write the files of the example."""
    (shared / "skills" / "recipes").mkdir(parents=True)
    (shared / "CLAUDE.md").write_text("Answer in the language of the question.\n")
    header = "---\nname: recipes\ndescription: Finds recipes for what is in the fridge.\n---\n"
    (shared / "skills" / "recipes" / "SKILL.md").write_text(header)
    (workspace / "skills" / "letters").mkdir(parents=True)
    (workspace / "skills" / "letters" / "SKILL.md").write_text("# Letters\n")
    (workspace / "CLAUDE.md").write_text("Ann and Ben share a flat. Keep their shopping list.\n")


def system() -> Iterator[str]:
    with session_context(MemoryState(), NoHttp(), {}) as context:
        write_files(context.workspace, context.shared)
        yield from _fenced(trio.run(system_prompt, evolve(context, notes=Notes()), TURN), "text")


def messages() -> Iterator[str]:
    yield from _fenced(render_turn(TURN), "xml")


def others() -> Iterator[str]:
    yield from _fenced(render_follow_ups(TURN, OTHERS), "xml")


def later() -> Iterator[str]:
    edit, *remarks = LATER
    rows = (*(evolve(each, trigger=False) for each in remarks), edit)
    yield from _fenced(render_follow_ups(TURN, rows), "xml")


def answers() -> Iterator[str]:
    yield "| answer | to the conversation | elsewhere |"
    yield "|---|---|---|"
    for answer in ANSWERS:
        output = read_output(answer, TURN)
        home = " ".join(reply.text for reply in output.replies if reply.to is None)
        elsewhere = [f"`{reply.to}`: {reply.text}" for reply in output.replies if reply.to is not None]
        elsewhere += [
            f"`{name}` is unknown: nothing is sent, and the agent is told" for name in output.unknown
        ]
        cells = (f"`{answer}`" if "`" not in answer else f"`` {answer} ``", home, "; ".join(elsewhere))
        yield f"| {' | '.join(cell(each).replace(chr(10), ' ') for each in cells)} |"


def _fenced(text: str, language: str) -> Sequence[str]:
    return [f"```{language}", text, "```"]


BLOCKS: Mapping[str, Callable[[], Iterator[str]]] = {
    "system": system,
    "messages": messages,
    "later": later,
    "others": others,
    "answers": answers,
}


def up_to_date(text: str) -> str:
    """Return the page with up-to-date blocks."""
    return BLOCK.sub(lambda block: f"{block[1]}{chr(10).join(BLOCKS[block[2]]())}\n{block[3]}", text)


if __name__ == "__main__":
    sys.exit(write_or_compare(PAGE, up_to_date(PAGE.read_text("utf-8")), sys.argv[1:]))
