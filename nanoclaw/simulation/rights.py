"""The rights of a simulated workload over time, as the central database had them.

They are read from the file, without the host's own readers, while something may change them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
from attrs import Factory, define, frozen

from nanoclaw.testing.invariants import opened_once, rows

_MEMBERS = """
    SELECT agent_group_id, user_id FROM agent_group_members
    UNION SELECT agent_group_id, user_id FROM user_roles WHERE agent_group_id IS NOT NULL
    UNION SELECT agent_groups.id, user_id FROM user_roles, agent_groups WHERE agent_group_id IS NULL
    """
_DECIDERS = """
    SELECT agent_group_id, user_id FROM user_roles WHERE agent_group_id IS NOT NULL
    UNION SELECT agent_groups.id, user_id FROM user_roles, agent_groups WHERE agent_group_id IS NULL
    UNION SELECT '', user_id FROM user_roles WHERE role = 'owner'
    """
_WIRED = """
    SELECT platform_id, agent_group_id FROM messaging_group_agents
    JOIN messaging_groups ON messaging_groups.id = messaging_group_id
    """
_BLOCKED = """
    SELECT platform_id, agent_groups.id, user_id FROM refusals
    JOIN messaging_groups ON messaging_groups.id = messaging_group_id
    JOIN agent_groups ON agent_groups.id = coalesce(agent_group_id, agent_groups.id)
    WHERE status = 'blocked' AND user_id IS NOT NULL
    """
_REACHED = """
    SELECT agent_group_id, platform_id FROM agent_destinations
    JOIN messaging_groups ON messaging_groups.id = target_id WHERE target_type = 'channel'
    """


@frozen
class Rights:
    """All rights at one moment."""

    members: frozenset[tuple[str, str]]
    """Pairs of agent and user, by any right and through any link."""
    deciders: frozenset[tuple[str, str]]
    """Pairs of agent and a user who may decide for it. The agent "" stands for what concerns none."""
    wired: frozenset[tuple[str, str]]
    """Pairs of chat and agent."""
    closed: frozenset[str]
    """Chats that are not public."""
    blocked: frozenset[tuple[str, str, str]]
    """Triples of chat, agent and a user who is blocked there, although the chat may be public."""
    destinations: frozenset[tuple[str, str]]
    """Pairs of agent and a chat to which it may send."""


def read_rights(database: Path) -> Rights:
    """Return the rights that a central database has now.

    Raises:
        apsw.Error: it cannot be read.
    """
    closed = rows(
        database, "SELECT platform_id FROM messaging_groups WHERE unknown_sender_policy <> 'public'"
    )
    links = _identities(dict(rows(database, "SELECT user_id, person_id FROM user_links")))
    return Rights(
        _of_persons(rows(database, _MEMBERS), links),
        _of_persons(rows(database, _DECIDERS), links),
        frozenset(rows(database, _WIRED)),
        frozenset(chat for (chat,) in closed),
        frozenset(
            (chat, agent, each)
            for chat, agent, user in rows(database, _BLOCKED)
            for each in links.get(user, {user})
        ),
        frozenset(rows(database, _REACHED)),
    )


def _identities(person_of: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    together = defaultdict[str, set[str]](set)
    for user, person in person_of.items():
        together[person] |= {user, person}
    return {user: frozenset(users) for users in together.values() for user in users}


def _of_persons(
    pairs: list[tuple[str, str]], links: Mapping[str, frozenset[str]]
) -> frozenset[tuple[str, str]]:
    return frozenset((agent, each) for agent, user in pairs for each in links.get(user, {user}))


@define(eq=False)
class RightsLog:
    """The rights over time. Each entry holds from its moment until the next one's."""

    database: Path
    now: Callable[[], float]
    entries: list[tuple[float, Rights]] = Factory(list)
    under_way: int = 0
    """The number of changes that may take effect at any moment."""

    def look(self) -> None:
        """Note the rights if they differ from those noted last. A file that cannot be read is left out."""
        with suppress(apsw.Error), opened_once():
            rights = read_rights(self.database)
            if not self.entries or self.entries[-1][1] != rights:
                self.entries.append((self.now(), rights))

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Note the rights at each commit while the block runs."""
        self.look()
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
            self.look()

    def since(self, moment: float) -> Iterator[Rights]:
        """Yield the rights that held at any time from that moment on."""
        for n, (_, rights) in enumerate(self.entries):
            if n + 1 == len(self.entries) or self.entries[n + 1][0] >= moment:
                yield rights

    def between(self, one: float, two: float) -> Iterator[Rights]:
        """Yield the rights that held at any time between two moments."""
        for n, (began, rights) in enumerate(self.entries):
            ended = self.entries[n + 1][0] if n + 1 < len(self.entries) else two
            if began <= two and ended >= one:
                yield rights


def admits(rights: Rights, chat: str, user: str | None, agent: str | None = None) -> bool:
    """Return whether a user may talk to an agent in a chat; without `agent`, to any agent there."""
    agents = [each for place, each in rights.wired if place == chat and agent in {None, each}]
    return any(
        (each, user) in rights.members
        or (chat not in rights.closed and (chat, each, user) not in rights.blocked)
        for each in agents
    )
