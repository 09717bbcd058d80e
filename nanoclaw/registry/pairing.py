"""Messages to the registry about pairing an owner's account on a chat network."""

from datetime import datetime, timedelta

from attrs import field, frozen

from nanoclaw.records import MessagingGroup, Wiring
from nanoclaw.records.pairing import PairingCode, TryVerdict, used
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store import Connection
from nanoclaw.store.central import (
    agent_groups,
    messaging_groups,
    pairing_codes,
    pending_approvals,
    people,
    refusals,
    unregistered_senders,
    user_roles,
    users,
    wirings,
)

VALID_S = 600.0
"""Seconds for which a code is valid."""
MOST_WRONG = 5
"""Wrong codes of one user after which no code of theirs is compared any more."""
MOST_WRONG_IN_ALL = 1_000
"""Wrong codes of all users after which the code is void."""


@frozen
class CreatePairingCode(CheckedMessage):
    """Store a new code for a channel. The one before is void."""

    channel_type: str
    code_hash: str = field(repr=False)
    salt: str = field(repr=False)
    person: str
    """The identity that the sender is linked to. If there is no such user, the sender becomes an owner."""
    agent_group_id: str
    """The agent that answers in their direct chat, unless an agent does already."""

    async def handle(self, actor: Registry) -> PairingCode:
        """Store it and return it. Raises `NotFound` if there is no such agent."""
        return await actor.commit(self._create, actor.clock.now())

    def _create(self, connection: Connection, now: datetime) -> PairingCode:
        group = agent_groups.require(connection, self.agent_group_id)
        code = PairingCode(
            self.channel_type,
            self.code_hash,
            self.salt,
            self.person,
            group.folder,
            now,
            now + timedelta(seconds=VALID_S),
        )
        pairing_codes.put(connection, code)
        return code


@frozen
class ForgetPairingCode(CheckedMessage):
    """Delete the code of a channel."""

    channel_type: str

    async def handle(self, actor: Registry) -> None:
        """Delete it, if there is one."""
        await actor.commit(pairing_codes.forget, self.channel_type)


@frozen
class TryPairingCode:
    """Compare what a user has typed in a direct chat with the code of the channel, and pair the user.

    The rows of the user and the chat exist.
    """

    messaging_group_id: str
    user_id: str
    code: str = field(repr=False)

    async def handle(self, actor: Registry) -> TryVerdict:
        """Pair the user with the right code, and count a wrong one."""
        verdict = await actor.commit(self._try, actor)
        if verdict == "paired":
            actor.changes.tell_all()
            actor.changes.tell_admitted()
            actor.changes.tell_pairing()
            actor.changes.tell_approvals()
        return verdict

    def _try(self, connection: Connection, actor: Registry) -> TryVerdict:
        chat, now = messaging_groups.require(connection, self.messaging_group_id), actor.clock.now()
        stored = pairing_codes.get(connection, chat.channel_type)
        verdict: TryVerdict = "none" if stored is None else self._verdict(connection, stored, now)
        if stored is not None and verdict == "wrong":
            pairing_codes.count_wrong(connection, stored.channel_type, self.user_id)
        if stored is not None and verdict == "paired":
            self._pair(connection, actor, stored, chat)
        return verdict

    def _verdict(self, connection: Connection, stored: PairingCode, now: datetime) -> TryVerdict:
        fits = stored.fits(self.code)
        if stored.used_by is not None:
            return ("again" if stored.used_by == self.user_id else "used") if fits else "none"
        if now >= stored.expires_at or now < stored.created_at - timedelta(seconds=VALID_S):
            return "expired" if fits else "none"
        if (
            stored.wrong >= MOST_WRONG_IN_ALL
            or pairing_codes.wrong_tries(connection, stored.channel_type, self.user_id) >= MOST_WRONG
        ):
            return "too many"
        return "paired" if fits else "wrong"

    def _pair(
        self, connection: Connection, actor: Registry, stored: PairingCode, chat: MessagingGroup
    ) -> None:
        now = actor.clock.now()
        self._make_owner(connection, stored.person, now)
        agent = self._wire(connection, actor, stored.folder, chat)
        refusals.lift(connection, chat.id, self.user_id)
        unregistered_senders.forget(connection, chat.channel_type, chat.platform_id, self.user_id)
        pending_approvals.end_early(connection, "admit_chat", chat.id, now)
        answer = f"You are paired. I know you here now as the owner{agent}"
        pairing_codes.mark_used(connection, used(stored, self.user_id, chat.platform_id, answer, now))

    def _make_owner(self, connection: Connection, person: str, now: datetime) -> None:
        """Link the user to the person, who is an owner then: whoever sees the code administers the host."""
        known = users.get(connection, person) is not None
        if known and person != self.user_id:
            people.link(connection, person, self.user_id, person, now)
        if not any(user_roles.is_owner(connection, each) for each in people.identities(connection, person)):
            granted = person if known else self.user_id
            user_roles.grant(connection, granted, "owner", None, None, now)

    def _wire(self, connection: Connection, actor: Registry, folder: str, chat: MessagingGroup) -> str:
        """Let the agent answer in the direct chat, unless one does. Return what the user is told of it."""
        if wirings.for_chat(connection, chat.id):
            return "."
        group = agent_groups.by_folder(connection, folder)
        if group is None:
            return f", but the agent {folder} is gone: `nanoclaw wirings create` chooses who answers here."
        wiring = Wiring(
            actor.new_id("wire", chat.id, group.id),
            chat.id,
            group.id,
            {},
            "all",
            "shared",
            0,
            actor.clock.now(),
        )
        wirings.create(connection, wiring)
        return f", and {group.name} answers in this chat."


@frozen
class ExpireShownCode:
    """End the life of a code that somebody has typed where others may read it."""

    channel_type: str
    code: str = field(repr=False)

    async def handle(self, actor: Registry) -> bool:
        """Return True if it was the code of the channel, and could still be used."""
        return await actor.commit(self._expire, actor.clock.now())

    def _expire(self, connection: Connection, now: datetime) -> bool:
        stored = pairing_codes.get(connection, self.channel_type)
        if stored is None or not stored.fits(self.code):
            return False
        if stored.used_by is not None or now >= stored.expires_at:
            return False
        pairing_codes.expire(connection, stored, now)
        return True


@frozen
class PairingAnswered:
    """Note that the chat in which a code was used was told, or never will be."""

    channel_type: str
    code_hash: str

    async def handle(self, actor: Registry) -> None:
        """Store it."""
        await actor.note(pairing_codes.mark_answered, self.channel_type, self.code_hash)
