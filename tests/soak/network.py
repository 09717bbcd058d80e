"""The chat network outside: a process of its own, which is never killed and knows nothing of hosts' deaths.

Its users write, its channel's connections come and go. What it was asked, what it has, and what was confirmed
to it stands in its log. It answers late, twice, or not at all, as the round's seed has it.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, Literal

import trio
from attrs import Factory, define, field

from nanoclaw.system.sockets import nameable
from tests.soak.lifeline import end_with_parent
from tests.soak.places import Places
from tests.soak.plan import DAILY, Plan, Saying
from tests.soak.talk import Talk

Manner = Literal["at once", "late", "twice", "silent", "lost"]
MANNERS: tuple[Manner, ...] = ("at once", "late", "twice", "silent", "lost")
WEIGHTS = (75, 10, 8, 5, 4)
LATE_S = (0.02, 0.15)
RECURRING = re.compile(r"^(task-[^:]+): .*, recurrence", re.MULTILINE)
"""In the answer to `list_tasks`."""


def serve(places: Places, plan: Plan) -> None:
    """Run the network until it is killed or the soak ends."""
    trio.run(_Network(places, plan).run)


@define(eq=False)
class _Network:
    places: Places
    plan: Plan
    random: Random = field(init=False)
    confirmed: set[str] = Factory(set)
    said: dict[str, dict[str, str]] = Factory(dict)
    """All events so far, by id, as they are offered."""
    has: dict[str, int] = Factory(dict)
    """How often it has a message, by key."""
    replies: dict[str, str] = Factory(dict)
    """The text that answers an event."""
    intake: Talk | None = None
    rested: set[int] = Factory(set)
    """By number of the question, the host's answer whether it is at rest."""
    numbers: Iterator[int] = Factory(count)
    changed: trio.Event = Factory(trio.Event)

    def __attrs_post_init__(self) -> None:
        self.random = Random(f"network {self.plan.seed}")

    async def run(self) -> None:
        with trio.socket.socket(trio.socket.AF_UNIX) as socket:
            with nameable(self.places.socket) as name:
                await socket.bind(name)
            socket.listen()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, self._connection, [trio.SocketListener(socket)])
                nursery.start_soon(self._users)
                nursery.start_soon(end_with_parent)

    # -- the host's two connections

    async def _connection(self, stream: trio.SocketStream) -> None:
        talk = Talk(stream)
        async with stream, trio.open_nursery() as nursery:
            async for heard in talk.hear():
                match heard:
                    case {"i am": "sender"}:
                        pass
                    case {"i am": "receiver"}:
                        await self._receive(talk)
                    case {"deliver": key, "chat": chat, "text": text, "answers": answers}:
                        self.places.network.note("asked", key=key, chat=chat, text=text, answers=answers)
                        nursery.start_soon(self._deliver, talk, heard, self._manner())
                    case {"find": key}:
                        await self._try(talk, of=key, has=key in self.has)
                    case {"confirmed": event_id}:
                        self._confirm(event_id)
                    case {"rested": number}:
                        self.rested.add(number)
                        self._change()

    def _manner(self) -> Manner:
        if self.plan.reliable:
            return "at once"
        manner = self.random.choices(MANNERS, WEIGHTS)[0]
        return "silent" if manner == "lost" and self.plan.repeat == "again" else manner

    async def _deliver(self, talk: Talk, asked: dict[str, Any], manner: Manner) -> None:
        if manner == "late" and self.plan.repeat != "look up":
            await trio.sleep(self.random.uniform(*LATE_S))
        if manner != "lost":
            self._take(asked)
        if manner == "late" and self.plan.repeat == "look up":  # readers also see deliveries in progress
            await trio.sleep(self.random.uniform(*LATE_S))
        for _ in range({"lost": 0, "silent": 0, "twice": 2}.get(manner, 1)):
            await self._try(talk, of=asked["deliver"], has=True)

    def _take(self, asked: dict[str, Any]) -> None:
        key = asked["deliver"]
        if self.plan.repeat == "idempotent" and key in self.has:
            return
        self.has[key] = self.has.get(key, 0) + 1
        if asked["answers"]:
            self.replies[asked["answers"]] = asked["text"]
        self.places.network.note(
            "has", key=key, **{name: asked[name] for name in ("chat", "text", "answers")}
        )

    async def _receive(self, talk: Talk) -> None:
        self.intake = talk
        self._change()
        for event_id, event in list(self.said.items()):
            if event_id not in self.confirmed:
                await self._try(talk, **event)

    def _confirm(self, event_id: str) -> None:
        if event_id not in self.confirmed:
            self.places.network.note("confirmed", event_id=event_id, chat=self.said[event_id]["chat"])
            self.confirmed.add(event_id)
            self._change()

    async def _try(self, talk: Talk, **values: Any) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # the host will send it again
            await talk.say(**values)

    def _change(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    # -- its users

    async def _users(self) -> None:
        begun = trio.current_time()
        for saying in self.plan.sayings:
            await trio.sleep_until(begun + saying.at)
            await self._say(saying.chat, saying.event_id, self._text(saying))
        await self._end_tasks()
        await self._ask_until_answered("finish")

    def _text(self, saying: Saying) -> str:
        number = saying.event_id.removeprefix("event-")
        match saying.kind:
            case "plain":
                return f"plain {number}"
            case "mid":
                return _call("send_message", text=f"mid {number}")
            case "once":
                due = datetime.now(UTC) + timedelta(seconds=self.random.uniform(0.2, 0.6))
                return _call("schedule_task", prompt=f"once {number}", process_after=due.isoformat())
            case "every":
                return _call("schedule_task", prompt=f"every {number}", recurrence="@every 1")
            case "daily":
                start = datetime.now(UTC).replace(microsecond=0).isoformat()
                return _call("schedule_task", prompt=f"daily {number}", process_after=start, recurrence=DAILY)

    async def _say(self, chat: str, event_id: str, text: str) -> None:
        self.places.network.note("said", event_id=event_id, chat=chat, text=text)
        self.said[event_id] = {"say": event_id, "chat": chat, "text": text}
        if self.intake is not None:
            await self._try(self.intake, **self.said[event_id])

    async def _end_tasks(self) -> None:
        """Ask what recurs and cancel it, until nothing does: an answer may be lost, a task be there twice."""
        chats = {saying.chat for saying in self.plan.sayings if saying.kind == "every"}
        asked = 0
        while chats:
            await self._ask_until_answered("rest")
            asked += 1
            for chat in sorted(chats):
                await self._say(chat, f"list-{asked}-{chat}", "!list_tasks {}")
            await self._ask_until_answered("rest")
            for chat in sorted(chats):
                listed = self.replies.get(f"list-{asked}-{chat}")
                recurring = sorted(RECURRING.findall(listed or ""))
                if listed is not None and not recurring:
                    chats.remove(chat)
                for n, task in enumerate(recurring):
                    await self._say(chat, f"cancel-{asked}-{chat}-{n}", _call("cancel_task", task_id=task))

    async def _ask_until_answered(self, what: Literal["rest", "finish"]) -> None:
        """Once all is confirmed, ask the host, and each that follows it, for its rest."""
        while not self.said.keys() <= self.confirmed:
            await self.changed.wait()
        number, asked_of = next(self.numbers), None
        while what == "finish" or number not in self.rested:
            changed = self.changed
            if self.intake is not None and self.intake is not asked_of:
                asked_of = self.intake
                await self._try(asked_of, ask=what, number=number)
            await changed.wait()


def _call(tool: str, **arguments: object) -> str:
    return f"!{tool} {json.dumps(arguments)}"
