"""`agents graph`: who may write to whom."""

from pathlib import Path

from nanoclaw.records import Address
from tests.operations.desk import a_desk


async def test_the_graph_has_chats_agents_and_their_names_for_each_other(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.admin.wirings.connect(Address("cli", "notes"), "main", chat_name="Notes")
        await desk.perform("agents.create", folder="helper", name="Helper")
        await desk.perform("destinations.add", agent="main", name="colleague", to_agent="helper")
        found = await desk.perform("agents.graph")
    shown = [tuple(each[key] for key in ("writer", "reader", "name", "through")) for each in found]
    assert shown == [
        ("cli:notes", "main", None, "wiring"),
        ("main", "cli:notes", "notes", "destination"),
        ("main", "helper", "colleague", "destination"),
    ]
    assert [(each["writer_type"], each["reader_type"]) for each in found] == [
        ("chat", "agent"),
        ("agent", "chat"),
        ("agent", "agent"),
    ]
