"""Checks of placement: the chat and thread of sessions, of tasks, and of what a turn sends."""

from collections.abc import Iterator

from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import SENT_TEXT, rows

_OWN = """
    SELECT sessions.id, platform_id, coalesce(thread_id, ''), session_mode = 'per-thread'
    FROM sessions JOIN messaging_groups ON messaging_groups.id = sessions.messaging_group_id
    JOIN messaging_group_agents USING (messaging_group_id, agent_group_id)
    """
_HEARD = """
    SELECT id, platform_id, coalesce(thread_id, '') FROM messages_in
    WHERE kind = 'chat' AND channel_type <> 'agent'
    """


def sessions_hear_their_own_place(snapshot: Snapshot) -> Iterator[str]:
    """A session of a chat or a thread has only messages of that chat or thread."""
    own = {id_: where for id_, *where in rows(snapshot.data / "v2.db", _OWN)}
    for paths in snapshot.sessions():
        if paths.root.name in own:
            chat, thread, threaded = own[paths.root.name]
            for id_, platform, within in rows(paths.inbound_db, _HEARD):
                if platform != chat or (threaded and within != thread):
                    heard = f"{id_} was sent to {platform}/{within}"
                    yield f"{paths.root.name}: it is the session of {chat}/{thread}, but {heard}"


_SERIES = """
    SELECT series_id, count(DISTINCT json_array(channel_type, platform_id, thread_id)) AS places
    FROM messages_in WHERE kind = 'task' AND series_id IS NOT NULL GROUP BY series_id HAVING places > 1
    """


def tasks_stay_in_their_place(snapshot: Snapshot) -> Iterator[str]:
    """All runs of a task have the chat and thread in which the agent requested it."""
    for paths in snapshot.sessions():
        for series, places in rows(paths.inbound_db, _SERIES):
            yield f"{paths.root.name}: the runs of {series} have {places} addresses"


_SENT = f"""
    SELECT id, turn_id, platform_id, thread_id FROM messages_out
    WHERE in_reply_to IS NULL AND platform_id IS NOT NULL AND json_extract(content, '$.operation') IS NULL
      AND coalesce({SENT_TEXT}, '') NOT LIKE '%says hello'
    """  # noqa: S608 -- a constant
"""The messages that a turn sent without naming a destination."""


def turns_send_to_their_own_chat(snapshot: Snapshot) -> Iterator[str]:
    """A message without a named destination goes to the chat of its turn's first message."""
    for paths in snapshot.sessions():
        for id_, turn, platform, thread in rows(paths.outbound_db, _SENT):
            home = snapshot.homes.get(turn)
            if home is not None and (home.platform_id, home.thread_id) != (platform, thread or None):
                yield f"{paths.root.name}: {id_} of a turn in {home} is addressed to {platform}/{thread}"
