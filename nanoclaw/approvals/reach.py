"""Chooses who is shown an approval, and in which chat. Functions of a connection that only read.

The first circle in which somebody can be reached gets the cards: everybody in it who can be reached.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from attrs import Factory, frozen

from nanoclaw.approvals.eligible import circles
from nanoclaw.records import Address, ApprovalCard, MessagingGroup, PendingApproval
from nanoclaw.store import Connection
from nanoclaw.store.central import approval_cards, messaging_groups, people, user_dms

TERMINAL = Address("cli", "terminal")
TERMINAL_USER = "cli:local"


@frozen
class Networks:
    """The channels of the host, as far as they matter here."""

    channel_types: Sequence[str]
    finds_dms: Callable[[str], bool]
    """Returns True if a channel can find the direct chat of a user."""
    refused: frozenset[tuple[str, str]] = frozenset()
    """The pairs of channel and user for which that failed."""
    user_prefix: Callable[[str], str | None] = lambda _channel: None
    """Returns the prefix of the users of a channel, if it has another one than its name."""

    def of_prefix(self, prefix: str) -> Sequence[str]:
        """Return the channels whose users have a prefix."""
        return [each for each in self.channel_types if (self.user_prefix(each) or each) == prefix]


@frozen
class Search:
    """A direct chat that a channel must find."""

    channel_type: str
    user_id: str


@frozen
class Plan:
    """The cards to add for one approval, and the chats to find first."""

    cards: Sequence[ApprovalCard] = ()
    searches: Sequence[Search] = ()
    reached: bool = True
    """False if nobody can be reached now."""


def plan(connection: Connection, approval: PendingApproval, networks: Networks) -> Plan:
    """Return what is missing until everybody who is to be asked has a card."""
    shown = approval_cards.of_approval(connection, approval.approval_id)
    has = {each.user_id for each in shown if each.status != "failed"}
    failed = {each.user_id for each in shown} - has
    for circle in circles(connection, approval.agent_group_id):
        found = _Circle()
        for person in _persons(connection, circle):
            if has.intersection(person):
                found.reached.append(person[0])
            elif not failed.intersection(person):
                found.add(_way(connection, approval, person, networks))
        if found.reached or found.cards or found.searches:
            return Plan([_card(approval, each) for each in found.cards], found.searches)
    return Plan(reached=False)


@frozen
class _Reach:
    user_id: str
    address: Address


@frozen
class _Circle:
    """The people of one circle, by the way in which they are reached."""

    reached: list[str] = Factory(list)
    cards: list[_Reach] = Factory(list)
    searches: list[Search] = Factory(list)

    def add(self, way: _Reach | Search | None) -> None:
        if isinstance(way, _Reach):
            self.cards.append(way)
        elif way is not None:
            self.searches.append(way)


def _persons(connection: Connection, users: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the identities of each person once."""
    seen = set[str]()
    for user in users:
        if user not in seen:
            identities = people.identities(connection, user)
            seen.update(identities)
            yield identities


def _way(
    connection: Connection, approval: PendingApproval, person: Sequence[str], networks: Networks
) -> _Reach | Search | None:
    """Return the best way to a person: known chats and chats to find, those of the same network first."""
    here = approval.channel_type
    known = [
        each
        for each in _known(connection, person, networks)
        if each.address.channel_type in networks.channel_types
    ]
    found = [*_searches(person, here, networks)]
    same = [each for each in known if each.address.channel_type == here]
    same_searches = [each for each in found if each.channel_type == here]
    ways: list[_Reach | Search] = [*same, *same_searches, *known, *found]
    if TERMINAL_USER in person and TERMINAL.channel_type in networks.channel_types:
        ways.append(_Reach(TERMINAL_USER, TERMINAL))
    return next(iter(ways), None)


def _known(connection: Connection, person: Sequence[str], networks: Networks) -> Iterator[_Reach]:
    """Yield the direct chats that are known: those that were noted, then those named like their user."""
    for user in person:
        for dm in user_dms.for_user(connection, user):
            chat = messaging_groups.get(connection, dm.messaging_group_id)
            if chat is not None:
                yield _Reach(user, _address(chat))
    for user in person:
        kind, _, name = user.partition(":")
        for channel, platform_id in product(networks.of_prefix(kind), (user, name)):
            # many networks name the chat like its user
            chat = messaging_groups.by_address(connection, channel, platform_id)
            if chat is not None and not chat.is_group:
                yield _Reach(user, _address(chat))


def _address(chat: MessagingGroup) -> Address:
    return Address(chat.channel_type, chat.platform_id)


def _searches(person: Sequence[str], here: str | None, networks: Networks) -> Iterator[Search]:
    """Yield the chats that may be found: of an identity on its own channel, else on others."""
    types = sorted(networks.channel_types, key=lambda each: each != here)
    for user in person:
        kind = user.partition(":")[0]
        of_network = networks.of_prefix(kind)
        for channel in types:
            fits = channel in of_network
            if not of_network and kind != TERMINAL.channel_type:  # a channel may know users of any prefix
                fits = networks.user_prefix(channel) is None
            if fits and networks.finds_dms(channel) and (channel, user) not in networks.refused:
                yield Search(channel, user)


def _card(approval: PendingApproval, way: _Reach) -> ApprovalCard:
    where = way.address
    return ApprovalCard(
        approval.approval_id, way.user_id, where.channel_type, where.platform_id, where.thread_id
    )
