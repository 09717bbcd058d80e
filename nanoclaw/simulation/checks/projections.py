"""Check that the projections in session files match the central database."""

from collections.abc import Iterator

from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import (
    rows,
)


def projections_are_true(snapshot: Snapshot) -> Iterator[str]:
    """The destinations in a session file equal those in the central database."""
    sql = """
        SELECT local_name, target_type, channel_type, platform_id, iif(target_type = 'agent', target_id, NULL)
        FROM agent_destinations JOIN sessions USING (agent_group_id)
        LEFT JOIN messaging_groups ON target_type = 'channel' AND messaging_groups.id = target_id
        WHERE sessions.id = :id ORDER BY 1
        """
    projected = """
        SELECT name, type, channel_type, platform_id, agent_group_id FROM destinations ORDER BY 1
        """
    for paths in snapshot.sessions():
        true = rows(snapshot.data / "v2.db", sql, id=paths.root.name)
        told = rows(paths.inbound_db, projected)
        heard = (
            paths.root.name in snapshot.awake and paths.root.name in snapshot.attended and not snapshot.shaken
        )
        if heard and told != true:
            yield f"{paths.root.name}: its destinations are {told}, but must be {true}"
