"""Questions as blocks with buttons. See "Block Kit" in Slack's documentation."""

from collections.abc import Mapping, Sequence
from typing import Any

from nanoclaw.channels.cards import shortened
from nanoclaw.channels.slack.dialect import escaped
from nanoclaw.channels.slack.receiving import LONGEST_VALUE, button_value
from nanoclaw.records import Option, QuestionContent

LONGEST_LABEL = 75
"""Slack's limit of the text of a button, in characters."""
LONGEST_SECTION = 3_000
"""Slack's limit of the text of a section, in characters."""
IN_A_ROW = 5

Block = Mapping[str, Any]


def fits(question: QuestionContent) -> bool:
    """Return True if buttons can show a question: Slack limits what a button carries."""
    values = (button_value(question.question_id, each.value) for each in question.options)
    return all(len(value) <= LONGEST_VALUE for value in values)


def blocks(question: QuestionContent) -> Sequence[Block]:
    """Return the blocks of a question: its title, its text and its buttons."""
    text = escaped(question.text)
    sections = [text[at : at + LONGEST_SECTION] for at in range(0, len(text), LONGEST_SECTION)]
    rows = [question.options[at : at + IN_A_ROW] for at in range(0, len(question.options), IN_A_ROW)]
    return [
        _section(f"*{escaped(question.title)}*"[:LONGEST_SECTION]),
        *map(_section, sections),
        *(_row(question.question_id, at, row) for at, row in enumerate(rows)),
    ]


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _row(question_id: str, at: int, options: Sequence[Option]) -> Block:
    buttons = [_button(question_id, f"{at}-{n}", option) for n, option in enumerate(options)]
    return {"type": "actions", "block_id": f"row-{at}", "elements": buttons}


def _button(question_id: str, action_id: str, option: Option) -> Block:
    return {
        "type": "button",
        "action_id": action_id,
        "text": {"type": "plain_text", "text": shortened(option.label, LONGEST_LABEL), "emoji": True},
        "value": button_value(question_id, option.value),
    }
