"""Programs of the state machine: steps as values, played from beginning to end in one simulated world.

A step does something and returns; what it started goes on. After the last one everything is healed, the world
comes to rest, and what must hold is asked of its files and of its network.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol

import trio
from attrs import Factory, define

from nanoclaw.channels.protocol import Repeat
from nanoclaw.host import HostFailed
from nanoclaw.records import ChatMessage, InboundEvent, SessionPaths
from nanoclaw.simulation.network import FaultyNetwork
from nanoclaw.simulation.scripted_agent import FILE, ScriptedAgent
from nanoclaw.store.deliveries import NOTICE
from nanoclaw.testing import Chat, World, WorldError, simulate
from nanoclaw.testing.invariants import AT_REST, Asked, Evidence, rows, violations
from nanoclaw.testing.world.executor import When
from nanoclaw.testing.world.transcript import attached

PLACES = ("ann", "bob", "club", "forum/one", "forum/two")
DOWN_S = 2.0
"""How long a host that ended stays down."""
CONFIRMED_S = 0.5
"""Who speaks waits so long for the host, at most; then it is confirmed some time later."""
TROUBLED_S = 10.0
"""After the last step, before everything is healed."""
REST_S = 24 * 3600.0
"""By then everything that was accepted has an outcome, even if the clock was set back again and again."""
LOOK_S = 61.7
"""How often it is looked for, and no period of a task."""

Side = Literal["host", "runner"]


class Broken(AssertionError):
    """Something that must hold does not; the text says what, and what had happened."""


class Step(Protocol):
    """One step of a program."""

    async def do(self, stage: "Stage") -> None:
        """Do it, soon."""
        ...


@define(eq=False)
class Trap:
    """Kills once, at a commit."""

    side: Side
    when: When
    left: int

    def springs(self, side: Side, when: When) -> bool:
        self.left -= (side, when) == (self.side, self.when)
        return self.left <= 0


@define(eq=False)
class Stage:
    """One world, while a program is played in it."""

    world: World
    network: FaultyNetwork
    nursery: trio.Nursery
    traps: list[Trap] = Factory(list)
    said: int = 0
    failure: Exception | None = None
    """What the host failed of, where nobody killed it."""
    _chats: dict[str, Chat] = Factory(dict)
    _turns: dict[str, trio.Lock] = Factory(dict)
    """Who speaks next in a chat: its events are offered one after the other."""
    _open: int = 0

    async def furnish(self) -> None:
        """People, chats, and one agent that does as it is told."""
        world = self.world
        ann, bob = world.user("ann"), world.user("bob")
        await world.start()
        world.agent("main", ScriptedAgent(lambda: world.clock))
        for chat in (world.chat(ann), world.chat(bob), world.group("club", [ann, bob])):
            await world.wire(chat)
            self._chats[chat.name] = chat
        forum = self._chats["forum"] = world.group("forum", [ann, bob])
        await world.wire(forum, session_mode="per-thread")
        workspace = world.home / "groups" / "main" / "workspace"
        workspace.mkdir(parents=True)
        (workspace / FILE).write_text("notes")
        world.commit_hooks.append(self._at_commit)

    def event(self, place: str, text: str, *, file: bool) -> InboundEvent:
        name, _, thread = place.partition("/")
        chat = self._chats[name].thread(thread) if thread else self._chats[name]
        user = chat.members[self.said % len(chat.members)]
        files = {"a.txt": text.encode()} if file else {}
        entry = self.world.said(chat, user, text, files)
        message = ChatMessage(entry.id or "", text, user.name, user.id, attached(files))
        return InboundEvent(chat.address, message.id, message, chat_name=chat.name, is_group=chat.is_group)

    async def offer(self, event: InboundEvent) -> None:
        """Wait for a while until it is confirmed; the network does not give up."""
        confirmed = trio.Event()
        self.nursery.start_soon(self._offer, event, confirmed)
        with trio.move_on_after(CONFIRMED_S):
            await confirmed.wait()

    async def _offer(self, event: InboundEvent, confirmed: trio.Event) -> None:
        self._open += 1
        async with self._turns.setdefault(event.address.platform_id, trio.Lock()):
            await self.network.offer(event)
        self._open -= 1
        confirmed.set()

    def kill(self, side: Side) -> None:
        if side == "host":
            self.world.kill_host_now()
        else:
            self.world.kill_runner()

    def _at_commit(self, path: Path, when: When, n: int) -> None:
        del n
        side: Side = "runner" if path.name == "outbound.db" else "host"
        for trap in [trap for trap in self.traps if trap.springs(side, when)]:
            self.traps.remove(trap)
            self.kill(side)

    async def keep_host(self) -> None:
        """Start it again whenever it ended; one that fails is broken."""
        while True:
            failure = await self.world.ended()
            if failure is not None:
                self.failure = failure
                self.nursery.cancel_scope.cancel()
            await trio.sleep(DOWN_S)
            with suppress(WorldError):  # it was killed while it started
                await self.world.start()

    # -- its end

    async def rest(self) -> None:
        """Let faults have their effect, then heal, and wait until everything has its result."""
        await trio.sleep(TROUBLED_S)
        self.traps.clear()
        self.network.heal()
        with trio.move_on_after(REST_S):
            while self._open or violations(self.evidence(), AT_REST):  # noqa: ASYNC110 -- files tell nobody
                await trio.sleep(LOOK_S)

    def evidence(self) -> Evidence:
        accepted = tuple(id_ for one in self.network.accepted for id_ in one.routed.message_ids)
        asked = tuple(Asked(one.message_out_id, one.address) for one in self.network.attempts)
        return Evidence(self.world.home / "data", accepted, asked)

    def check(self) -> None:
        """Raise Broken where something does not hold."""
        if self.failure is not None:
            raise Broken(f"the host failed: {self.failure!r}\n{self.world.report()}") from self.failure
        evidence = self.evidence()
        found = [*violations(evidence), *self._unanswered(evidence)]
        if self._open:
            found.append(f"{self._open} messages were never confirmed")
        if found:
            raise Broken("\n".join([*found, self.world.report()]))

    def _unanswered(self, evidence: Evidence) -> list[str]:
        """What was accepted, and nobody has heard an answer to or why there is none."""
        answered = {one.in_reply_to for one in self.network.sent}
        in_vain = {id_ for paths in evidence.sessions() for id_ in _answered_in_vain(paths)}
        return [
            f"never answered: {one.event.message.text}"
            for one in self.network.accepted
            if one.event.message.id not in answered and not in_vain.intersection(one.routed.message_ids)
        ]


def _answered_in_vain(paths: SessionPaths) -> set[str]:
    """Messages whose answer, or notice that there is none, was given up; the agent knows."""
    failed = "SELECT message_out_id FROM delivered WHERE status = 'failed'"
    given_up = {id_ for (id_,) in rows(paths.inbound_db, failed)}
    replies = rows(paths.outbound_db, "SELECT id, in_reply_to FROM messages_out")
    return {to for id_, to in replies if id_ in given_up} | {id_.removeprefix(NOTICE) for id_ in given_up}


async def _play(world: World, network: FaultyNetwork, steps: Sequence[Step]) -> None:
    async with trio.open_nursery() as nursery:
        stage = Stage(world, network, nursery)
        await stage.furnish()
        nursery.start_soon(stage.keep_host)
        for step in steps:
            await step.do(stage)
        await stage.rest()
        nursery.cancel_scope.cancel()
    with suppress(HostFailed):  # which is known
        await world.stop()
    stage.check()


def run_program(
    steps: Sequence[Step], *, seed: int = 0, repeat: Repeat = "idempotent", **arguments: Any
) -> None:
    """Run a program; `arguments` are the world's.

    Raises:
        Broken: something that must hold does not.
    """
    network = FaultyNetwork(repeat=repeat)
    settings: dict[str, Any] = {"retry.base_s": 1.0, "delivery.backoff_s": (1.0, 5.0, 20.0, 60.0)}
    simulate(
        lambda world: _play(world, network, steps),
        seed=seed,
        channel=network,
        settings=settings,
        **arguments,
    )
