"""Echo recognizes the calls of an interrupted turn by the content of its rows."""

import pytest

from agent_runner.providers.repeats import Repeats
from agent_runner.records import Sent

ASIDE = Sent(3, "chat", None, {"text": "aside"})
CARD = Sent(7, "chat", None, {"type": "card", "card": {"title": "T", "lines": ["a"]}, "fallbackText": "T\na"})
TEA = Sent(5, "system", None, {"action": "schedule_task", "prompt": "tea", "zone": "UTC"})


def test_each_row_stands_for_one_call() -> None:
    repeats = Repeats([ASIDE, TEA])
    assert repeats.find("send_message", {"text": "aside"}) == ASIDE
    assert repeats.find("send_message", {"text": "aside"}) is None
    assert repeats.find("schedule_task", {"prompt": "tea", "process_after": "2025-07-01"}) == TEA


def test_a_card_is_recognized_by_what_it_shows() -> None:
    assert Repeats([CARD]).find("send_card", {"title": "T", "lines": ["b"]}) is None
    assert Repeats([CARD]).find("send_card", {"title": "T", "lines": ["a"]}) == CARD


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("send_message", {"text": "other"}),
        ("edit_message", {"text": "aside", "message_id": 3}),
        ("send_file", {"text": "aside", "path": "a"}),
        ("schedule_task", {"prompt": "coffee"}),
        ("update_task", {"prompt": "tea"}),
        ("schedule_task", {"prompt": "tea", "timezone": "Asia/Tokyo"}),
    ],
)
def test_another_call_is_no_repeat(tool: str, arguments: dict[str, object]) -> None:
    assert Repeats([ASIDE, TEA]).find(tool, arguments) is None
