"""Queries of inbound.db: plain functions of a connection, each served by an index."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from agent_runner.commands.call import Call, read_call
from agent_runner.records import Address, Claim, Delivered, Destination, Inbound, Target, Unreadable
from agent_runner.store import Connection
from agent_runner.text import load
from agent_runner.times import from_text_or

PAGE = 500
LONGEST_CONTENT = 1_000_000
"""Bytes of the content that may be a command or have a script. Scripts have up to 100,000 characters."""


@frozen
class Candidate:
    """The columns of an open row that decide if a turn may take it."""

    seq: int
    id: str
    tries: int
    process_after: object
    trigger: bool
    on_wake: bool
    call: Call | None = None
    """The slash command that the message calls."""
    is_task: bool = False
    has_script: bool = False
    """True if the row is a task with a script, which runs before the agent is woken."""

    @property
    def is_alone(self) -> bool:
        """Return True if the row has a turn alone: a retry, a command, or a task with a script."""
        return self.trigger and (bool(self.tries) or self.call is not None or self.has_script)


@frozen
class Fetched:
    """The rows of a batch as they are now, and the session's own chat."""

    messages: tuple[Inbound, ...]
    context: tuple[Inbound, ...]
    unreadable: tuple[Unreadable, ...]
    routing: Address | None
    sequence_floor: int
    destinations: tuple[Destination, ...] = ()


def open_rows(connection: Connection, after: int) -> list[Candidate]:
    """Return a page of pending rows, oldest first, above the sequence number `after`."""
    rows = connection.execute(
        """
        SELECT seq, id, tries, process_after, trigger, on_wake, kind, channel_type,
          CASE WHEN trigger AND octet_length(content) <= :longest AND
            (instr(content, '/') OR instr(content, '"script"')) THEN content END
        FROM messages_in
        WHERE status = 'pending' AND seq > :after
        ORDER BY seq LIMIT :page
        """,
        {"after": after, "page": PAGE, "longest": LONGEST_CONTENT},
    )
    return [_candidate(row) for row in rows]


def _candidate(row: Sequence[object]) -> Candidate:
    seq, id_, tries, process_after, trigger, on_wake, kind, channel_type, content = row
    call, is_task = read_call(kind, channel_type, content), kind == "task"
    return Candidate(
        _number(seq),
        str(id_),
        _number(tries),
        process_after,
        bool(trigger),
        bool(on_wake),
        call,
        is_task,
        has_script=is_task and _script(content) is not None,
    )


def _script(content: object) -> str | None:
    try:
        return script_of(load(content))
    except ValueError:
        return None


def script_of(content: Mapping[str, object]) -> str | None:
    """Return the script of a task's content, or None."""
    script = content.get("script")
    return script if isinstance(script, str) and script.strip() else None


def largest_seq(connection: Connection) -> int:
    """Return the largest sequence number of the host, or 0 if there is none."""
    value = connection.execute("SELECT max(seq) FROM messages_in").get
    return value if isinstance(value, int) else 0


def sequence_floor(connection: Connection) -> int:
    """Return the lower bound for the runner's next number: the largest that the host has used or seen.

    Numbers that the host has seen matter if outbound.db was lost and created again: it ignores them.
    """
    seen = connection.execute(
        "SELECT max(CAST(value AS INTEGER)) FROM meta WHERE key IN ('seq', 'outbound_seq')"
    ).get
    return max(largest_seq(connection), seen if isinstance(seen, int) else 0)


def fetch(connection: Connection, ids: Iterable[str], now: datetime) -> Fetched:
    """Return the rows of a batch, except those closed since. A row without a date gets `now`."""
    messages: list[Inbound] = []
    context: list[Inbound] = []
    unreadable: list[Unreadable] = []
    for row in (row for id_ in ids for row in _row(connection, id_)):
        parsed = _parse(row, now)
        if isinstance(parsed, Unreadable):
            unreadable.append(parsed)
        else:
            (messages if parsed.trigger else context).append(parsed)
    return Fetched(
        tuple(messages),
        tuple(context),
        tuple(unreadable),
        routing(connection),
        sequence_floor(connection),
        destinations(connection),
    )


def answer(
    connection: Connection, message_id: str, now: datetime, *, of_any_status: bool = False
) -> Inbound | None:
    """Return the host's answer to a request, or None if it has not come. A row without a date gets `now`.

    With `of_any_status`, also return an answer that an earlier turn was given.
    """
    rows = (_parse(row, now) for row in _row(connection, message_id, of_any_status=of_any_status))
    return next((row for row in rows if isinstance(row, Inbound)), None)


def read_again(connection: Connection, ids: Iterable[str], now: datetime) -> tuple[Inbound, ...]:
    """Return messages that an earlier turn was given, as context. Those that were pruned are left out."""
    found = (answer(connection, id_, now, of_any_status=True) for id_ in ids)
    return tuple(evolve(row, trigger=False) for row in found if row is not None)


def choice(connection: Connection, question_id: str, now: datetime) -> Inbound | None:
    """Return a user's choice that has not been handled, whatever the id that another build's host gave it."""
    rows = connection.execute(
        """
        SELECT id, seq, kind, channel_type, platform_id, thread_id, content, tries, timestamp, trigger
        FROM messages_in
        WHERE status = 'pending' AND kind = 'system' AND instr(content, :question_id)
        """,
        {"question_id": question_id},
    ).fetchall()
    found = (_parse(row, now) for row in rows)
    return next((row for row in found if isinstance(row, Inbound) and _answers(row, question_id)), None)


def said_since(connection: Connection, floor: int, address: Address | None, now: datetime) -> Inbound | None:
    """Return a message to answer that was stored above the sequence number `floor` in a chat, or None."""
    rows = connection.execute(
        """
        SELECT id, seq, kind, channel_type, platform_id, thread_id, content, tries, timestamp, trigger
        FROM messages_in
        WHERE status = 'pending' AND seq > :floor AND trigger AND kind IN ('chat', 'chat-sdk')
        ORDER BY seq LIMIT :page
        """,
        {"floor": floor, "page": PAGE},
    ).fetchall()
    found = (_parse(row, now) for row in rows)
    return next((row for row in found if isinstance(row, Inbound) and row.address == address), None)


def _answers(row: Inbound, question_id: str) -> bool:
    return (row.content.get("type"), row.content.get("questionId")) == ("question_response", question_id)


def _row(
    connection: Connection, message_id: str, *, of_any_status: bool = False
) -> Sequence[Sequence[object]]:
    return connection.execute(
        """
        SELECT id, seq, kind, channel_type, platform_id, thread_id, content, tries, timestamp, trigger
        FROM messages_in
        WHERE id = :id AND (status = 'pending' OR :of_any_status)
        """,
        {"id": message_id, "of_any_status": of_any_status},
    ).fetchall()


def _parse(row: Sequence[object], now: datetime) -> Inbound | Unreadable:
    id_, seq, kind, channel_type, platform_id, thread_id, content, tries, timestamp, trigger = row
    claim = Claim(str(id_), _number(tries))
    try:
        parsed = load(content)
    except ValueError as error:
        return Unreadable(claim, f"content is not readable: {error}")
    address = to_address(channel_type, platform_id, thread_id)
    when = from_text_or(timestamp, now)
    return Inbound(claim.id, _number(seq), str(kind), address, parsed, claim.tries, when, bool(trigger))


def routing(connection: Connection) -> Address | None:
    """Return the address of the session's own chat."""
    row = connection.execute("SELECT channel_type, platform_id, thread_id FROM session_routing").fetchall()
    return to_address(*row[0]) if row else None


def destination(connection: Connection, name: str) -> Address | None:
    """Return the current address of a destination, by its name."""
    rows = connection.execute(
        "SELECT type, channel_type, platform_id, agent_group_id FROM destinations WHERE name = :name",
        {"name": name},
    ).fetchall()
    if not rows:
        return None
    type_, channel_type, platform_id, agent_group_id = rows[0]
    return to_address("agent", agent_group_id) if type_ == "agent" else to_address(channel_type, platform_id)


def address_for(connection: Connection, name: str, home: Address | None) -> Address | None:
    """Return the current address of a destination. In the chat that is being answered, it is `home`."""
    found = destination(connection, name)
    return None if found is None else in_thread(found, home)


def in_thread(address: Address, home: Address | None) -> Address:
    """Return the address, or `home`, which has the thread, if both are the same chat."""
    same = home and (address.channel_type, address.platform_id) == (home.channel_type, home.platform_id)
    return home if home and same else address


def destinations(connection: Connection) -> tuple[Destination, ...]:
    """Return all destinations, now. One without an address is left out."""
    rows = connection.execute(
        """
        SELECT name, display_name, type, channel_type, platform_id, agent_group_id
        FROM destinations ORDER BY name
        """
    ).fetchall()
    found = (
        (
            str(name),
            str(display or name),
            to_address("agent", agent) if type_ == "agent" else to_address(*chat),
        )
        for name, display, type_, *chat, agent in rows
    )
    return tuple(Destination(name, display, address) for name, display, address in found if address)


def destination_names(connection: Connection) -> list[str]:
    """Return the names of all destinations, now."""
    return [str(name) for (name,) in connection.execute("SELECT name FROM destinations ORDER BY name")]


def delivered(connection: Connection, message_out_id: str) -> Delivered | None:
    """Return the final outcome of a sent message, or None if it has none yet."""
    rows = connection.execute(
        "SELECT status, platform_message_id FROM delivered WHERE message_out_id = :id",
        {"id": message_out_id},
    ).fetchall()
    if not rows:
        return None
    status, platform_message_id = rows[0]
    return Delivered(str(status), None if platform_message_id is None else str(platform_message_id))


def is_answered(connection: Connection, question_id: str) -> bool:
    """Return True if a question has an answer, or was not delivered."""
    query = """
        SELECT EXISTS (SELECT 1 FROM messages_in WHERE id = :answer)
          OR EXISTS (SELECT 1 FROM delivered WHERE message_out_id = :id AND status = 'failed')
        """
    return bool(connection.execute(query, {"answer": f"answer-{question_id}", "id": question_id}).get)


def target(connection: Connection, seq: int) -> Target | None:
    """Return the inbound message with an even number."""
    rows = connection.execute(
        "SELECT channel_type, platform_id, thread_id, content FROM messages_in WHERE seq = :seq", {"seq": seq}
    ).fetchall()
    if not rows:
        return None
    *address, content = rows[0]
    try:
        return Target(to_address(*address), load(content))
    except ValueError:
        return Target(to_address(*address))


def to_address(channel_type: object, platform_id: object, thread_id: object = None) -> Address | None:
    """Return the address in these columns, or None if it is incomplete."""
    if not channel_type or not platform_id:
        return None
    return Address(str(channel_type), str(platform_id), str(thread_id) if thread_id else None)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
