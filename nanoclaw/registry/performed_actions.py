"""The message to the registry that performs an agent's request that concerns the whole host."""

import json
from collections.abc import Callable, Mapping

import structlog
from attrs import field, frozen

from nanoclaw.records.content import storable
from nanoclaw.registry.actor import Registry
from nanoclaw.store import Connection, StoreError
from nanoclaw.store.central import performed_actions
from nanoclaw.store.central.performed_actions import PerformedAction
from nanoclaw.system.foreign import ForeignError, foreign_code, text_of

MAX_REASON = 250
"""Limit in characters of what an agent reads of a failed handler."""

_log = structlog.get_logger()


class ActionRefused(Exception):
    """The error of a request that cannot be performed. The text is for the agent."""


@frozen
class PerformAction:
    """Perform a request once. The same transaction stores its outcome under the id of its outbound row.

    `perform` is a function of a connection. If it raises, its changes are rolled back and the request fails.
    """

    session_id: str
    message_out_id: str
    perform: Callable[[Connection], Mapping[str, object]] = field(repr=False)

    async def handle(self, actor: Registry) -> PerformedAction:
        """Perform the request, or return its earlier outcome."""
        done, changed = await actor.commit(self._once, actor)
        if changed:
            actor.changes.tell_all()  # a handler may change anything that sessions project, or ask people
        return done

    def _once(self, connection: Connection, actor: Registry) -> tuple[PerformedAction, bool]:
        """Return the outcome, and whether this call changed anything."""
        before = performed_actions.get(connection, self.session_id, self.message_out_id)
        if before is not None:
            return before, False
        done = self._perform(connection)
        now = actor.clock.now()
        performed_actions.keep(connection, self.session_id, self.message_out_id, done, now)
        return done, done.completed

    def _perform(self, connection: Connection) -> PerformedAction:
        result = "{}"
        try:
            with connection, foreign_code(ActionRefused, StoreError):  # a savepoint
                result = _text(self.perform(connection))
        except (ActionRefused, StoreError) as error:
            return _failed(text_of(error))
        except ForeignError as error:  # a faulty handler of a third party must not stop the registry
            if not connection.in_transaction:
                raise error.error from None  # the disk failed, and SQLite has rolled back all of it
            _log.error("action.crashed", request=self.message_out_id, exc_info=error.error)
            return _failed(f"the host failed to do it: {error}"[:MAX_REASON])
        return PerformedAction(completed=True, result=result)


def _failed(reason: str) -> PerformedAction:
    return PerformedAction(completed=False, result=_text({"error": reason}))


def _text(result: Mapping[str, object]) -> str:
    """Return a result as JSON that can be stored. It may contain text from a hostile agent."""
    return storable(json.dumps(dict(result), ensure_ascii=False, allow_nan=False))
