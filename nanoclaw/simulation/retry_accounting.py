"""Counts how many tries of each message failed turns and deaths of runners have used up."""

from collections import Counter
from collections.abc import Mapping

import apsw
from attrs import Factory, define

from nanoclaw.records import SessionPaths
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.world.world import World

ENDS = ("host killed", "host failed", "host ended")
Claims = Mapping[str, object]
"""By message, the turn and time of its claim."""


@define(eq=False)
class RetryAccounting:
    """Records the claims of each runner when it ends. Its death costs each of them at most one try."""

    world: World
    spent: Counter[str]
    """Tries used up, by message, including turns that failed."""
    host_lives: bool = True
    """True until the host is killed."""
    unknown: set[str] = Factory(set)
    """Sessions whose count is unknown because the runner's file could not be read."""
    _born_with: dict[str, Claims] = Factory(dict)

    def note(self, event: str, details: tuple[object, ...]) -> None:
        """Count the cost of a timeline event."""
        if event.startswith("host "):
            self.host_lives = event == "host ready" or (self.host_lives and event not in ENDS)
        elif event == "runner started":
            self._born_with[str(details[0])] = self._claims(str(details[0]))
        elif event == "runner ended" and self.host_lives:
            inherited = self._born_with.get(str(details[0]), {})
            claims = self._claims(str(details[0]))
            self.spent.update(id_ for id_, claim in claims.items() if inherited.get(id_) != claim)

    def _claims(self, session: str) -> Claims:
        sql = "SELECT message_id, turn_id, status_changed FROM processing_ack WHERE status = 'processing'"
        [folder] = (self.world.home / "data").glob(f"sessions/*/{session}")
        try:
            return {id_: claim for id_, *claim in rows(SessionPaths(folder).outbound_db, sql)}
        except apsw.Error:
            self.unknown.add(session)
            return {}
