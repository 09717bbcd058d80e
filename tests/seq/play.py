"""The life of one session in steps. A kill may cut any step short; a model says what the files must hold."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Literal

from attrs import define, field

from agent_runner.errors import ToolError
from agent_runner.tools.targets import find_target
from nanoclaw.records import SessionPaths
from nanoclaw.testing.world.executor import InlineExecutor
from tests.seq.model import Numbers, Side, Where
from tests.seq.sides import Date, Host, Runner
from tests.store.openings import Killed

Fate = Literal["lives", "before", "after"]
FATES: Sequence[Fate] = ("lives", "lives", "lives", "lives", "lives", "lives", "before", "after")
"""The fate of a side at a commit: it survives, or dies right before or right after."""


@define(eq=False)
class Play:
    """A session, its two sides, and the model of their files."""

    root: Path
    random: Random
    executor: InlineExecutor = field(factory=InlineExecutor)
    date: Date = field(factory=Date)
    trace: list[str] = field(factory=list)
    foreign: bool = False
    """True if a foreign runner has written without moving the mark."""
    known: int = 0
    """The numbers that the runner's turn knows. The turn may not look again for a long time."""
    host: Host = field(init=False)
    runner: Runner = field(init=False)
    numbers: Numbers = field(init=False)
    _ids: int = 0

    def __attrs_post_init__(self) -> None:
        paths = SessionPaths(self.root)
        self.host = Host(paths, self.executor, self.date)
        self.runner = Runner(paths, self.executor, self.date, self.random)
        sides = Side(paths.inbound_db, "messages_in", 0), Side(paths.outbound_db, "messages_out", 1)
        self.numbers = Numbers(*sides)

    async def run(self, steps: "Sequence[Step]") -> None:
        """Run these steps. An error after a step is raised with all steps so far."""
        try:
            for side in (self.host, self.runner):
                await self.commit(side, side.open)
            for step in steps:
                self.trace.append(step.__name__)
                await step(self)
                await self._compare_targets(4)
            await self._compare_targets(None)
        except BaseException as error:
            error.add_note("\n".join(self.trace))
            raise
        finally:
            await self.runner.close()
            await self.host.close()

    def new_id(self, prefix: str) -> str:
        """Return an id that no row has yet."""
        self._ids += 1
        return f"{prefix}-{self._ids}"

    # -- killing ---------------------------------------------------------------

    async def commit(self, side: Host | Runner, change: Callable[[], Awaitable[object]]) -> bool:
        """Run a change that may die at its first commit, and return whether it must be on disk."""
        fate = self.random.choice(FATES)
        self.trace.append(f"  {type(side).__name__} {fate}")
        try:
            with self._fated(side, fate):
                await change()
        except Killed:
            await self.rise(side)
            return fate == "after"
        return True

    @contextmanager
    def _fated(self, side: Host | Runner, fate: Fate) -> Iterator[None]:
        def die(path: Path, when: str, n: int) -> None:
            if (path, when) == (side.file, fate):
                raise Killed(f"{path} at commit {n}")

        self.executor.on_commit = die
        try:
            yield
        finally:
            self.executor.on_commit = None

    async def rise(self, side: Host | Runner) -> None:
        """Restart a side that died or was stopped, with the state on disk."""
        await side.close()
        await side.open()
        if side is self.runner:
            await self.read_floor()

    async def read_floor(self) -> None:
        """Begin a turn."""
        self.known = await self.runner.floor()
        expected = max(self.numbers.inbound.mark, self.numbers.seen)
        assert self.known == expected, f"the floor is {self.known}, not {expected}"

    # -- comparing -------------------------------------------------------------

    async def _compare_targets(self, count: int | None) -> None:
        """Check that each assigned number stands for its message or for nothing, and others for nothing."""
        known = sorted(set(self.numbers.known()))
        never = [0, -1, 1 << 63, self.numbers.inbound.top + 2, self.numbers.outbound.top + 2]
        if count is not None:
            never = [self.random.choice(never)]
            known = [*known[-2:], *self.random.sample(known, min(count, len(known)))]
        for number in (*known, *never):
            found, expected = await self._found(number), self.numbers.target(number)
            assert found == expected, f"{number} stands for {found}, not for {expected}"

    async def _found(self, number: int) -> tuple[Where, str] | None:
        try:
            found = await find_target(self.runner.context, number)
        except ToolError:
            return None
        where = found.address
        return (where.channel_type, where.platform_id, where.thread_id), found.id


Step = Callable[[Play], Awaitable[None]]
