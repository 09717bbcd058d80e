"""Requests of an agent to its own session: rows of kind `system` (contract 5).

One transaction performs the action, makes its delivery final and stores its answer. So it runs once
(contract 4, Delivery). These are plain functions of a connection. Everything in a request may be hostile.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import structlog
from attrs import frozen

from nanoclaw.records import answer_id
from nanoclaw.records.content import BadContent, dump_content, load_request, storable
from nanoclaw.registry import ActionRefused
from nanoclaw.scheduling import ScheduleError
from nanoclaw.session.requests import ActionContext, RequestFields
from nanoclaw.session.task_requests import TASK_ACTIONS, Action
from nanoclaw.store import Connection
from nanoclaw.store.session import messages_in
from nanoclaw.store.session.messages_in import NewMessage, OpenMessage
from nanoclaw.store.session.outbound import MessageOut

LOCAL_ACTIONS = frozenset(TASK_ACTIONS)
"""Names of the requests that a session performs itself."""

_log = structlog.get_logger()


@frozen
class AnsweredAction:
    """An action whose answer is stored. `error` says why it was refused."""

    opened: Sequence[OpenMessage]
    """New or changed messages, including the answer."""
    closed: Sequence[str] = ()
    error: str | None = None


def perform(connection: Connection, row: MessageOut, context: ActionContext) -> AnsweredAction | None:
    """Perform the request in a row and store the answer. A refusal is an answer, too, and wakes the agent.

    Return None, and change nothing, if the host performs this request.
    """
    values: Mapping[str, object] = {}
    try:
        values = load_request(row.content)
        if values.get("action") in context.host_actions:
            return None
        request = RequestFields(values, row)
        with _savepoint(connection):
            result = _action(request, context)(connection, request, context)
    except (ActionRefused, BadContent, ScheduleError) as error:
        _log.info("action.refused", request=row.id, reason=str(error))
        answer = store_answer(connection, row, context.now, _name(values), {"error": str(error)}, failed=True)
        return AnsweredAction(answer, error=str(error))
    answer = store_answer(connection, row, context.now, _name(values), result.result, failed=False)
    return AnsweredAction([*result.opened, *answer], result.closed)


@contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    """Run the block in a savepoint, so that a refused action changes nothing."""
    with connection:
        yield


def store_answer(  # noqa: PLR0913 -- the parts of an answer
    connection: Connection,
    row: MessageOut,
    now: datetime,
    action: str | None,
    result: Mapping[str, object],
    *,
    failed: bool,
) -> list[OpenMessage]:
    """Store the answer to a request. A failure wakes the agent.

    Return no message if it is stored already, or if nothing waits for it. Foreign runners never ack such
    rows, and take only the newest few rows, so these would hide the messages of users.
    """
    if not row.awaited:
        return []
    status = "failed" if failed else "completed"
    content = {"action": action, "status": status, "result": result, "requestId": row.id}
    answer = messages_in.insert(
        connection,
        NewMessage(
            id=answer_id(row.id),
            kind="system",
            timestamp=now,
            address=row.address,
            content=dump_content(content),
            trigger=failed,
        ),
    )
    return [] if answer is None else [answer]


def _name(values: Mapping[str, object]) -> str | None:
    name = values.get("action")
    return storable(name[:100]) if isinstance(name, str) else None


def _action(request: RequestFields, context: ActionContext) -> Action:
    name = request.needed("action")
    if name not in TASK_ACTIONS:
        known = ", ".join([*TASK_ACTIONS, *sorted(context.host_actions)])
        raise ActionRefused(f"action {name!r:.100} is unknown; this host performs {known}")
    return TASK_ACTIONS[name]
