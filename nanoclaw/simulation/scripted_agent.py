"""The agent of simulated workloads: it follows the commands in a message and answers each message.

`#12 send slow=20` calls `send_message`, waits 20 s, and is answered `re #12`. The agent has no memory: a
repeated turn repeats everything that `already_sent` does not have.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import trio
from attrs import frozen

from agent_runner.errors import ProviderError, ToolError
from agent_runner.providers import Toolbox
from agent_runner.providers.repeats import Repeats
from agent_runner.records import Inbound, Reply, Result, Turn
from nanoclaw.system.clock import Clock

FILE = "notes.txt"
"""A file in the workspace of every agent."""
SEVERAL_S = 60
"""A question that waits so long lets a user choose several options."""
SILENT_S = 4000.0
DELIVERED_S = 3.0
"""Seconds until a sent message has arrived and can be edited."""
EVERY_FAILS = "900"
"""Seconds between the runs of a task that always fails."""
SPOKEN = ("chat", "task")
OPTIONS = {"zone": "timezone", "catch_up": "catch_up"}
_NEXT_RUN = re.compile(r"(?P<id>\S+): next run (?P<next>\S+ \S+) .*?(?P<recurs>, recurrence)?[^,]*: ")
RULE = re.compile(r"(?P<id>\S+): .*?, recurrence (?P<rule>[^@:]+): ")


@frozen
class ScriptedAgent:
    """The brain of a simulated agent. `clock` returns the world's clock."""

    clock: Callable[[], Clock]

    async def __call__(self, turn: Turn, tools: Toolbox) -> Result:
        """Take a turn."""
        repeats = Repeats(list(turn.already_sent))
        rows, replies = list(turn.messages), list[Reply]()
        while rows:
            row = rows.pop(0)
            if row.kind in SPOKEN:
                work = _MessageWork(row, _words(row), tools, repeats, self.clock())
                rows += await work.do()
                replies.append(Reply(f"re {work.name}", row.id))
        return Result(tuple(replies), tuple(row.id for row in turn.messages))


def _words(row: Inbound) -> list[str]:
    return str(row.content.get("text") or row.content.get("prompt") or "?").split()


def options_of(value: str) -> tuple[str, dict[str, object]]:
    """Split a value at semicolons: its first part, and arguments of a tool."""
    first, *rest = value.split(";")
    found = dict(each.split("=", 1) for each in rest)
    return first, {OPTIONS[name]: option for name, option in found.items()}


@frozen
class _MessageWork:
    """One message's commands."""

    row: Inbound
    words: list[str]
    tools: Toolbox
    repeats: Repeats
    clock: Clock

    @property
    def name(self) -> str:
        return self.words[0]

    async def do(self) -> list[Inbound]:
        """Perform all commands; return the follow-ups that `follow` waited for."""
        await trio.lowlevel.checkpoint()
        taken = list[Inbound]()
        for word in self.words[1:]:
            verb, _, value = word.partition("=")
            command = _COMMANDS.get(verb)
            if command is not None:
                taken += await command(self, value) or ()
        return taken

    async def call(self, tool: str, **arguments: object) -> str:
        """Call a tool, unless an interrupted turn did. A refusal is returned as text."""
        if self.repeats.find(tool, arguments):
            return ""
        try:
            return await self.tools.call(tool, arguments)
        except ToolError as error:
            return f"refused: {error}"

    async def send(self, _value: str) -> None:
        await self.call("send_message", text=f"{self.name} on it")

    async def to(self, value: str) -> None:
        await self.call("send_message", text=f"{self.name} says hello", to=value)

    async def file(self, _value: str) -> None:
        await self.call("send_file", path=FILE, text=f"{self.name} in a file")

    async def edit(self, _value: str) -> None:
        said = await self.call("send_message", text=f"{self.name} first")
        await trio.sleep(DELIVERED_S)
        if said.startswith("sent as message "):
            await self.call("edit_message", message_id=int(said.split()[-1]), text=f"{self.name} second")

    async def react(self, _value: str) -> None:
        await self.call("add_reaction", message_id=self.row.seq, emoji="👍")

    async def slow(self, value: str) -> None:
        await trio.sleep(float(value))

    async def silent(self, _value: str) -> None:
        if not self.row.tries:
            await trio.sleep(SILENT_S)

    async def fail(self, value: str) -> None:
        if self.row.tries < int(value):
            raise ProviderError(f"{self.name} cannot be done now")

    async def later(self, value: str) -> None:
        if not self.row.tries:
            at = self.clock.now() + timedelta(seconds=float(value))
            raise ProviderError(f"{self.name} can be done then", retry_at=at)

    async def broken(self, _value: str) -> None:
        if not self.row.tries:
            raise ValueError(self.name)

    async def follow(self, value: str) -> list[Inbound]:
        taken = list[Inbound]()
        with trio.move_on_after(float(value)):
            while True:
                taken += await self.tools.follow_ups()
        return taken

    async def once(self, value: str) -> None:
        at = self.clock.now() + timedelta(seconds=float(value))
        await self.call("schedule_task", prompt=f"{self.name}-once send", process_after=at.isoformat())

    async def every(self, value: str) -> None:
        seconds, options = options_of(value)
        failing = " fail=9" if seconds == EVERY_FAILS else ""
        prompt = f"{self.name}-every send{failing}"
        await self.call("schedule_task", prompt=prompt, recurrence=f"@every {seconds}", **options)

    async def cron(self, value: str) -> None:
        times, options = options_of(value)
        recurrence = times.replace("_", " ")
        again = f" again={value[2:4]}" if value.startswith("*/") else ""
        prompt = f"{self.name}-cron slow=2{again}"
        await self.call("schedule_task", prompt=prompt, recurrence=recurrence, **options)

    async def again(self, value: str) -> None:
        """From a task's second run on, move its next run this many minutes back, once."""
        own = [line for line in (await self.call("list_tasks")).splitlines() if f": {self.name} " in line]
        match = _NEXT_RUN.match(own[0]) if own else None
        if match and match["recurs"] and match["id"] != self.row.id:
            before = datetime.fromisoformat(match["next"]) - timedelta(minutes=float(value))
            await self.call(
                "update_task", task_id=match["id"], process_after=before.isoformat(), recurrence=""
            )

    async def renew(self, _value: str) -> None:
        """Set the schedule of the first cron task again, so that its next slot is computed anew."""
        tasks = (await self.call("list_tasks")).splitlines()
        match = next(filter(None, map(RULE.match, tasks)), None)
        if match is not None:
            await self.call("update_task", task_id=match["id"], recurrence=match["rule"])

    async def ask(self, value: str) -> None:
        """Ask a question with buttons, and send the chosen option; at times several may be chosen."""
        chosen = await self.call(
            "ask_user_question",
            title=self.name,
            question=f"{self.name}: shall I?",
            options=["yes", "no"],
            multiple=int(value) == SEVERAL_S,
            timeout_s=int(value),
        )
        await self.call(
            "send_message", text=f"{self.name} chose {chosen.split(':')[0].replace(chr(10), '+')}"
        )

    async def create(self, value: str) -> None:
        """Ask for another agent."""
        await self.call("create_agent", name=value, instructions=f"You are {value}.")

    async def change(self, tool: str, arguments: Mapping[str, object]) -> None:
        """Change the first task in the list."""
        tasks = await self.call("list_tasks")
        if ":" in tasks and not tasks.startswith("refused"):
            await self.call(tool, task_id=tasks.partition(":")[0], **arguments)

    async def cancel(self, _value: str) -> None:
        await self.change("cancel_task", {})

    async def pause(self, _value: str) -> None:
        await self.change("pause_task", {})

    async def resume(self, _value: str) -> None:
        await self.change("resume_task", {})

    async def update(self, _value: str) -> None:
        await self.change("update_task", {"prompt": f"{self.name}-updated"})


_COMMANDS: Mapping[str, Callable[[_MessageWork, str], Awaitable[list[Inbound] | None]]] = {
    "send": _MessageWork.send,
    "to": _MessageWork.to,
    "file": _MessageWork.file,
    "edit": _MessageWork.edit,
    "react": _MessageWork.react,
    "slow": _MessageWork.slow,
    "silent": _MessageWork.silent,
    "fail": _MessageWork.fail,
    "break": _MessageWork.broken,
    "later": _MessageWork.later,
    "follow": _MessageWork.follow,
    "ask": _MessageWork.ask,
    "create": _MessageWork.create,
    "renew": _MessageWork.renew,
    "once": _MessageWork.once,
    "every": _MessageWork.every,
    "cron": _MessageWork.cron,
    "again": _MessageWork.again,
    "cancel": _MessageWork.cancel,
    "pause": _MessageWork.pause,
    "resume": _MessageWork.resume,
    "update": _MessageWork.update,
}
