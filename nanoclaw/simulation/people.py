"""People of a simulated workload: they decide approvals, and somebody changes their rights."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from random import Random

import trio
from attrs import Factory, define, frozen

from nanoclaw.operations import Admin
from nanoclaw.records import Address, Clicked, Outgoing, QuestionContent, UnknownSenderPolicy
from nanoclaw.simulation.fault_injector import UNREACHABLE
from nanoclaw.simulation.network import FaultyNetwork
from nanoclaw.simulation.rights import RightsLog
from nanoclaw.store import OperationRefused
from nanoclaw.testing.world.chats import Chat
from nanoclaw.testing.world.timeline import Timeline
from nanoclaw.testing.world.world import World

OWNER = "olga"
"""The owner of every home. The network can write to her first."""
CHANGES_PER_HOUR = 2.0
"""Average changes of rights an hour."""
EXPIRE_S = 7200.0
"""Seconds after which an approval expires."""
PRESSED_AFTER_S = 400.0
"""Average seconds until a person decides."""
LATE_S = 9000.0
TRY_AGAIN_S = 20.0
APPROVALS = "appr-"
"""The beginning of the ids of approvals."""
POLICIES: tuple[UnknownSenderPolicy, ...] = ("strict", "public", "request_approval")
RENAMES = "rename a chat"
"""The change that the network makes, not an operation."""
_PLANS = ("decide",) * 6 + ("twice", "stranger", "elsewhere", "not offered", "late", "never")


@frozen
class Change:
    """A change of a person's rights, names or destinations."""

    at: float
    verb: str
    draw: int
    """Draws the person and the agent."""

    def __str__(self) -> str:
        return f"somebody changes: {self.verb}"


def draw_changes(random: Random, length_s: float) -> Iterator[Change]:
    """Yield changes at random times."""
    at = random.expovariate(CHANGES_PER_HOUR / 3600)
    while at < length_s:
        yield Change(at, random.choice((*_CHANGES, RENAMES, RENAMES)), random.randrange(1 << 30))
        at += random.expovariate(CHANGES_PER_HOUR / 3600)


@define(eq=False)
class Decisions:
    """Clicks on the cards of approvals, some late, twice, of strangers, or with options that no card has."""

    seed: int
    network: FaultyNetwork
    rights: RightsLog
    strangers: Sequence[str]
    timeline: Timeline
    pressed: list[tuple[Clicked, float]] = Factory(list)
    """All clicks with the times at which they were offered first."""

    async def press(self) -> None:
        """Decide approvals until cancelled."""
        seen = 0
        async with trio.open_nursery() as nursery:
            while True:
                sent = await self.network.wait_for(seen + 1)
                for outgoing in sent[seen:]:
                    if isinstance(outgoing.content, QuestionContent) and is_approval(outgoing.content):
                        nursery.start_soon(self._look_at, outgoing, outgoing.content)
                seen = len(sent)

    async def _look_at(self, outgoing: Outgoing, card: QuestionContent) -> None:
        random = Random(f"decisions {self.seed} {card.title} {card.text}")  # noqa: S311 -- a simulation has no secrets
        plan = random.choice(_PLANS)
        if plan == "never":
            return
        await trio.sleep(LATE_S if plan == "late" else random.expovariate(1 / PRESSED_AFTER_S))
        address = outgoing.address
        user = f"{address.channel_type}:{address.platform_id.removeprefix('dm-')}"
        values = [random.choice(card.options).value for _ in range(2 if plan == "twice" else 1)]
        match plan:
            case "stranger":
                user = random.choice(self.strangers)
            case "elsewhere":
                address = Address(address.channel_type, "nowhere")
            case "not offered":
                values = ["everything"]
        for n, value in enumerate(values):
            await self._click(
                Clicked(address, f"{outgoing.message_out_id}-{n}", card.question_id, value, user)
            )

    async def _click(self, click: Clicked) -> None:
        self.pressed.append((click, trio.current_time()))
        self.timeline.add(
            "clicked", click.address.platform_id, click.user_id, click.event_id, repr(click.value)
        )
        with self.rights.changing():
            routed = await self.network.offer(click)
        if routed.dropped is not None:
            self.timeline.add("click dropped", click.address.platform_id, click.event_id, routed.dropped)


def is_approval(card: QuestionContent) -> bool:
    """Return whether a card is that of an approval."""
    return card.question_id.startswith(APPROVALS)


@frozen
class Household:
    """Whose rights change: users of the workload by their names, and visitors; and the chats."""

    world: World
    rights: RightsLog
    people: Sequence[str]
    visitors: Sequence[str]
    chats: Sequence[Chat]

    async def change(self, change: Change) -> None:
        """Make a change. It is tried until the host has done it or refuses it."""
        if change.verb == RENAMES:
            self._rename(change)
            return
        random = Random(change.draw)  # noqa: S311 -- a simulation has no secrets
        person, visitor = random.choice(self.people), random.choice(self.visitors)
        with self.rights.changing():
            while True:
                try:
                    admin = self.world.host.admin
                    agents = sorted(each.folder for each in await admin.agent_groups.list())
                    who = _Who(person, visitor, random.choice(agents), random.randrange(1 << 30))
                    self.world.timeline.add("changes", change.verb, who.person, who.visitor, who.agent)
                    await _CHANGES[change.verb](admin, who)
                except OperationRefused:
                    return
                except UNREACHABLE:
                    await trio.sleep(TRY_AGAIN_S)
                else:
                    return

    def _rename(self, change: Change) -> None:
        chat = self.chats[change.draw % len(self.chats)]
        chat.rename(f"{chat.address.platform_id} of {change.draw % 100}")
        self.world.timeline.add("renamed", chat.address.platform_id, chat.name)


@frozen
class _Who:
    person: str
    visitor: str
    agent: str
    draw: int


async def _admit(admin: Admin, who: _Who) -> None:
    await admin.members.add(who.visitor, await _id(admin, who.agent))


async def _remove(admin: Admin, who: _Who) -> None:
    await admin.members.remove(who.visitor, await _id(admin, who.agent))


async def _remove_person(admin: Admin, who: _Who) -> None:
    await admin.members.remove(who.person, await _id(admin, who.agent))


async def _promote(admin: Admin, who: _Who) -> None:
    await admin.roles.grant(who.person, "admin", await _id(admin, who.agent))


async def _demote(admin: Admin, who: _Who) -> None:
    await admin.roles.revoke(who.person, "admin", await _id(admin, who.agent))


async def _link(admin: Admin, who: _Who) -> None:
    await admin.users.link(who.person, who.visitor)


async def _unlink(admin: Admin, who: _Who) -> None:
    await admin.users.unlink(who.visitor)


async def _lift(admin: Admin, _who: _Who) -> None:
    for refusal in await admin.strangers.refused():
        await admin.strangers.lift(refusal.messaging_group_id, refusal.user_id)


async def _forget_destination(admin: Admin, who: _Who) -> None:
    for each in (await admin.destinations.of_agent(await _id(admin, who.agent)))[:1]:
        await admin.destinations.delete(each.agent_group_id, each.local_name)


async def _set_policy(admin: Admin, who: _Who) -> None:
    """Change who may write in a chat in which an agent listens."""
    agent = await _id(admin, who.agent)
    wired = sorted(each.messaging_group_id for each in await admin.wirings.for_agent(agent))
    if wired:
        chat = wired[who.draw % len(wired)]
        policy = POLICIES[who.draw // len(wired) % len(POLICIES)]
        await admin.messaging_groups.update(chat, unknown_sender_policy=policy)


async def _forget_rules(admin: Admin, _who: _Who) -> None:
    for rule in await admin.approvals.rules():
        await admin.approvals.forget_rule(rule.rule_id)


async def _id(admin: Admin, folder: str) -> str:
    group = await admin.agent_groups.by_folder(folder)
    return folder if group is None else group.id


_CHANGES: Mapping[str, Callable[[Admin, _Who], Awaitable[None]]] = {
    "admit a visitor": _admit,
    "remove a visitor": _remove,
    "remove a person": _remove_person,
    "promote a person": _promote,
    "demote a person": _demote,
    "link a visitor": _link,
    "unlink a visitor": _unlink,
    "lift refusals": _lift,
    "forget a destination": _forget_destination,
    "forget rules": _forget_rules,
    "set a policy": _set_policy,
}
