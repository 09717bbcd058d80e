"""The programs of the scripted model: what it does about a message, step by step.

A program is a generator. It yields calls of tools, and is sent their results. For each request of a turn the
model runs it from its beginning, with the results that the request has.
"""

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import TypeAlias

from attrs import define, field, frozen

from nanoclaw.simulation.model_conversation import Conversation, SpokenMessage
from nanoclaw.simulation.scripted_agent import DELIVERED_S, EVERY_FAILS, FILE, RULE, options_of
from nanoclaw.testing import ModelBreak, ModelCall, ModelFailure
from nanoclaw.testing.models import Reaction

HALF = 0.5
ODD_CALL = 0.05
"""The share of messages about which the model makes each kind of odd call."""
QUICK_TRIES = 3
"""The requests of one try of a turn, if its server fails at once."""
LONG_S = 30
"""Seconds after which a failing server wants to be asked again: too long to wait for within a turn."""
_NUMBER = re.compile(r"(?:sent as|as) message (\d+)")


@frozen
class Calls:
    """Tools to call, after a pause."""

    calls: tuple[ModelCall, ...]
    after_s: float = 0.0


@frozen
class Trouble:
    """The model's server fails the first requests that come to this point."""

    name: str
    key: str
    reaction: Reaction
    times: int = 1


Step: TypeAlias = Calls | Trouble
Program: TypeAlias = Generator[Step, Sequence[str], None]


def program_of(message: SpokenMessage, conversation: Conversation, random: Random, now: datetime) -> Program:
    """Return the program of a message. `random` draws the same for each request about it."""
    return _Work(message, conversation, random, now).run()


@define(eq=False)
class _Work:
    message: SpokenMessage
    conversation: Conversation
    random: Random
    now: datetime
    _calls: list[ModelCall] = field(factory=list, init=False)
    """Calls whose results do not matter. They are made with others, or at the end."""
    _pause_s: float = field(default=0.0, init=False)
    _one_by_one: bool = field(default=False, init=False)
    _trusting: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        return self.message.name

    def run(self) -> Program:
        self._one_by_one = self.random.random() < HALF
        self._trusting = self.random.random() < HALF
        self._calls += self._odd_calls()
        for n, word in enumerate(self.message.words[1:]):
            verb, _, value = word.partition("=")
            command = _COMMANDS.get(verb)
            if command is not None:
                yield from command(self, value, f"{self.name} {n} {verb}")
            if self._calls and self._one_by_one:
                yield from self.made()
        if self._calls or self._pause_s:
            yield from self.made()

    def _odd_calls(self) -> Iterator[ModelCall]:
        odd = (
            ModelCall("fly_to_the_moon", {"speed": "high"}),
            ModelCall("send_message", '{"text": "half of an obj'),
            ModelCall("send_message", {"text": 5}),
            ModelCall("send_message", {"text": f"{self.name} to nobody", "to": "nowhere"}),
            ModelCall("remember", {"text": f"{self.name} was said"}),
            ModelCall("recall", {"query": "said"}),
            ModelCall("get_status", {}),
        )
        yield from (call for call in odd if self.random.random() < ODD_CALL)

    def made(self, *last: ModelCall) -> Generator[Step, Sequence[str], str]:
        """Make the calls that wait, then `last`. Return the result of the last one."""
        calls = (*self._calls, *last) or (ModelCall("get_status", {}),)
        pause, self._pause_s = self._pause_s, 0.0
        self._calls = []
        results = yield Calls(calls, pause)
        return results[-1] if results else ""

    def call(self, tool: str, **arguments: object) -> Generator[Step, Sequence[str], str]:
        """Call a tool at once, and return its result."""
        return (yield from self.made(ModelCall(tool, arguments)))

    def later(self, tool: str, **arguments: object) -> Program:
        """Call a tool with the next ones, unless an interrupted turn has sent the text.

        Half of the time the model does not read what was sent: then the loop must not do it again.
        """
        if not self._trusting or arguments.get("text") not in self.conversation.sent:
            self._calls.append(ModelCall(tool, arguments))
        yield from ()

    def send(self, _value: str, _key: str) -> Program:
        yield from self.later("send_message", text=f"{self.name} on it")

    def to(self, value: str, _key: str) -> Program:
        yield from self.later("send_message", text=f"{self.name} says hello", to=value)

    def file(self, _value: str, _key: str) -> Program:
        yield from self.later("send_file", path=FILE, text=f"{self.name} in a file")

    def edit(self, _value: str, _key: str) -> Program:
        said = yield from self.call("send_message", text=f"{self.name} first")
        self._pause_s += DELIVERED_S
        if number := _NUMBER.search(said):
            yield from self.call("edit_message", message_id=int(number[1]), text=f"{self.name} second")

    def react(self, _value: str, _key: str) -> Program:
        yield from self.later("add_reaction", message_id=self.message.seq, emoji="👍")

    def slow(self, value: str, _key: str) -> Program:
        self._pause_s += float(value)
        yield from ()

    def follow(self, value: str, _key: str) -> Program:
        self._pause_s += float(value)
        yield from self.made()

    def fail(self, value: str, key: str) -> Program:
        busy = ModelFailure(503, headers={"retry-after": str(LONG_S)})
        yield Trouble("down", key, busy, int(value))

    def much_later(self, value: str, key: str) -> Program:
        yield Trouble("down for long", key, ModelFailure(503, headers={"retry-after": value}))

    def broken(self, _value: str, key: str) -> Program:
        yield Trouble("broken", key, ModelBreak(kind="no events"), QUICK_TRIES)

    def silent(self, _value: str, key: str) -> Program:
        yield Trouble("silent", key, ModelBreak(kind="silent"))

    def once(self, value: str, _key: str) -> Program:
        at = self.now + timedelta(seconds=float(value))
        yield from self.later("schedule_task", prompt=f"{self.name}-once send", process_after=at.isoformat())

    def every(self, value: str, _key: str) -> Program:
        seconds, options = options_of(value)
        failing = " fail=9" if seconds == EVERY_FAILS else ""
        prompt = f"{self.name}-every send{failing}"
        yield from self.later("schedule_task", prompt=prompt, recurrence=f"@every {seconds}", **options)

    def cron(self, value: str, _key: str) -> Program:
        times, options = options_of(value)
        again = f" again={value[2:4]}" if value.startswith("*/") else ""
        prompt = f"{self.name}-cron slow=2{again}"
        yield from self.later("schedule_task", prompt=prompt, recurrence=times.replace("_", " "), **options)

    def renew(self, _value: str, _key: str) -> Program:
        listed = (yield from self.call("list_tasks")).splitlines()
        match = next(filter(None, map(RULE.match, listed)), None)
        if match is not None:
            yield from self.call("update_task", task_id=match["id"], recurrence=match["rule"])

    def create(self, value: str, _key: str) -> Program:
        yield from self.later("create_agent", name=value, instructions=f"You are {value}.")

    def ask(self, value: str, _key: str) -> Program:
        chosen = yield from self.call(
            "ask_user_question",
            title=self.name,
            question=f"{self.name}: shall I?",
            options=["yes", "no"],
            timeout_s=int(value),
        )
        yield from self.later("send_message", text=f"{self.name} chose {chosen.split(':')[0]}")

    def change(self, tool: str, **arguments: object) -> Program:
        listed = yield from self.call("list_tasks")
        if ":" in listed and not listed.startswith("Error"):
            yield from self.call(tool, task_id=listed.partition(":")[0], **arguments)

    def cancel(self, _value: str, _key: str) -> Program:
        yield from self.change("cancel_task")

    def pause(self, _value: str, _key: str) -> Program:
        yield from self.change("pause_task")

    def resume(self, _value: str, _key: str) -> Program:
        yield from self.change("resume_task")

    def update(self, _value: str, _key: str) -> Program:
        yield from self.change("update_task", prompt=f"{self.name}-updated")


_COMMANDS: Mapping[str, Callable[[_Work, str, str], Program]] = {
    "send": _Work.send,
    "to": _Work.to,
    "file": _Work.file,
    "edit": _Work.edit,
    "react": _Work.react,
    "slow": _Work.slow,
    "silent": _Work.silent,
    "fail": _Work.fail,
    "break": _Work.broken,
    "later": _Work.much_later,
    "follow": _Work.follow,
    "ask": _Work.ask,
    "create": _Work.create,
    "renew": _Work.renew,
    "once": _Work.once,
    "every": _Work.every,
    "cron": _Work.cron,
    "cancel": _Work.cancel,
    "pause": _Work.pause,
    "resume": _Work.resume,
    "update": _Work.update,
}
