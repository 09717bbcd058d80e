"""The runner's queries do not get slower with the history."""

from collections.abc import Callable
from contextlib import closing

import apsw
import pytest

from agent_runner import inbound, outbound
from agent_runner.inbound import Candidate
from agent_runner.open_tasks import open_tasks
from agent_runner.outbound import Ack
from agent_runner.records import Address, Claim, OutgoingRow
from tests.runner.world import EPOCH, World

SMALL = {"session_routing", "destinations", "container_state", "CONSTANT"}


def scans(connection: apsw.Connection, call: Callable[[apsw.Connection], object]) -> list[str]:
    """Return the tables that the statements of `call` scan."""
    steps = [step.split() for step in plan(connection, call)]
    return [step[1] for step in steps if step[0] == "SCAN" and step[1] not in SMALL]


def plan(connection: apsw.Connection, call: Callable[[apsw.Connection], object]) -> list[str]:
    """Return the query plans of the statements of `call`."""
    statements: list[tuple[str, object]] = []

    def trace(_cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
        statements.append((sql, bindings))
        return True

    connection.exec_trace = trace
    call(connection)
    connection.exec_trace = None
    steps = [str(row[3]) for sql, values in statements for row in explain(connection, sql, values)]
    assert steps
    return steps


def explain(connection: apsw.Connection, sql: str, values: object) -> list[tuple[object, ...]]:
    return connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()  # type: ignore[arg-type]  # as traced


CLAIM = Claim("in-2", 0)
ROW = OutgoingRow("out-1", EPOCH, Address("tg", "chat-1"), {"text": "x"}, "turn-1")
INBOUND: dict[str, Callable[[apsw.Connection], object]] = {
    "open_rows": lambda db: inbound.open_rows(db, 0),
    "largest_seq": inbound.largest_seq,
    "fetch": lambda db: inbound.fetch(db, ["in-2"], EPOCH),
    "answer": lambda db: inbound.answer(db, "answer-out-1", EPOCH),
    "destination": lambda db: inbound.destination(db, "x"),
    "destination_names": inbound.destination_names,
    "delivered": lambda db: inbound.delivered(db, "out-1"),
    "target": lambda db: inbound.target(db, 2),
}
OUTBOUND: dict[str, Callable[[apsw.Connection], object]] = {
    "unsettled": lambda db: outbound.unsettled(
        db, [Candidate(2, "in-2", 0, None, trigger=True, on_wake=False)]
    ),
    "unclaimed": lambda db: outbound.unclaimed(
        db, [Candidate(2, "in-2", 0, None, trigger=True, on_wake=False)]
    ),
    "claim_more": lambda db: outbound.claim_more(db, [CLAIM], EPOCH, "turn-1"),
    "unclaim": lambda db: outbound.unclaim(db, [CLAIM], "turn-1"),
    "claim": lambda db: [outbound.claim(db, [CLAIM], EPOCH, f"turn-{n}") for n in range(3)],
    "close": lambda db: outbound.close(db, [CLAIM], EPOCH, Ack("released", "turn-1", EPOCH, "x")),
    "forget_turn": lambda db: outbound.forget_turn(db, "turn-1"),
    "send": lambda db: outbound.send(db, ROW, 2),
    "target": lambda db: outbound.target(db, 3),
    "is_sent": lambda db: outbound.is_sent(db, "out-1"),
}


@pytest.mark.parametrize("name", INBOUND)
def test_no_question_to_inbound_grows_with_history(world: World, name: str) -> None:
    world.put(2)
    with closing(apsw.Connection(str(world.config.inbound_db))) as connection:
        assert scans(connection, INBOUND[name]) == []


@pytest.mark.parametrize("name", OUTBOUND)
def test_no_statement_on_outbound_grows_with_history(world: World, name: str) -> None:
    with world.outbound() as connection:
        assert scans(connection, OUTBOUND[name]) == []


def test_open_tasks_are_read_from_their_index_alone(world: World) -> None:
    with closing(apsw.Connection(str(world.config.inbound_db))) as connection:
        plans = plan(connection, lambda db: open_tasks(db, EPOCH))
    assert plans == ["SCAN messages_in USING INDEX idx_messages_in_open_tasks"]


def test_a_scan_would_be_noticed(world: World) -> None:
    with world.outbound() as connection:
        assert scans(connection, lambda db: db.execute("SELECT * FROM messages_out").fetchall()) == [
            "messages_out"
        ]


def test_a_row_that_the_host_has_closed_since_the_look_is_not_taken(world: World) -> None:
    ids = [world.put(2), world.put(4)]
    world.host("UPDATE messages_in SET status = 'completed' WHERE id = ?", ids[0])
    with closing(apsw.Connection(str(world.config.inbound_db))) as connection:
        assert [row.id for row in inbound.fetch(connection, ids, EPOCH).messages] == ids[1:]
