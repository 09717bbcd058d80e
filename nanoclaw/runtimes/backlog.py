"""Slow work of a runtime in the background, such as building images: one piece at a time.

Work that has failed is done again if it is wanted after a delay, which doubles.
"""

from collections.abc import Awaitable, Callable

import structlog
import trio
from attrs import Factory, define, field, frozen

FIRST_RETRY_S, LONGEST_RETRY_S = 600.0, 21_600.0
"""Bounds of the delay before failed work may be tried again."""

_log = structlog.get_logger()


class WorkFailed(Exception):
    """A piece of work could not be done. The text says why."""


Report = Callable[[str], None]
"""Is told how far the work has come, in words such as `step 2 of 7`."""


@frozen
class Words:
    """The words for one kind of work."""

    begun: str
    """The event in the log when it begins."""
    done: str
    failed: str
    doing: str
    """What is said of it in between, such as `is being built`."""
    not_done: str
    """What is said of it when it has failed, such as `could not be built`."""
    advice: str
    """What to do then."""


@frozen
class Work:
    """A piece of work."""

    key: str
    """Names it. It is done once, however often it is wanted meanwhile."""
    purpose: str
    """What it makes, in words such as `the image of all agents`."""
    do: Callable[[Report], Awaitable[None]]
    """Does it. Raises WorkFailed, OSError."""


@frozen
class Failure:
    """The end of work that has failed."""

    purpose: str
    reason: str
    retry_at: float
    """The time of trio's clock."""
    delay_s: float


@define(eq=False)
class Backlog:
    """The work that is wanted, the present one, and what has failed."""

    words: Words
    _queue: dict[str, Work] = field(factory=dict, init=False)
    _failures: dict[str, Failure] = field(factory=dict, init=False)
    _present: tuple[Work, str] | None = field(default=None, init=False)
    _more: trio.Event = field(default=Factory(trio.Event), init=False)
    _ended: trio.Event = field(default=Factory(trio.Event), init=False)

    def want(self, work: Work) -> None:
        """Have work done, unless it waits already, or has failed a short while ago."""
        failure = self._failures.get(work.key)
        if failure is None or failure.retry_at <= trio.current_time():
            self._queue.setdefault(work.key, work)
            self._more.set()

    async def finish(self, work: Work) -> str | None:
        """Have work done, even if it failed a short while ago. Return why it failed, or None once it is done.

        Somebody else may have `drop` forget the failure: so look if what it makes is there.
        """
        self._failures.pop(work.key, None)
        self.want(work)
        while work.key in self._queue:
            await self._ended.wait()
        return self.failure(work.key)

    async def serve(self) -> None:
        """Do what is wanted, until cancelled."""
        while True:
            while not self._queue:
                self._more = trio.Event()
                await self._more.wait()
            await self._take(next(iter(self._queue.values())))

    async def idle(self) -> None:
        """Wait until all that was wanted has been tried."""
        while self._queue:
            await self._ended.wait()

    async def _take(self, work: Work) -> None:
        self._present = work, ""
        said = _log.bind(what=work.key, purpose=work.purpose)
        try:
            said.info(self.words.begun)
            await work.do(self._report)
        except (WorkFailed, OSError) as error:
            self._fail(work, str(error))
            said.warning(self.words.failed, reason=str(error))
        else:
            self._failures.pop(work.key, None)
            said.info(self.words.done)
        finally:
            self._present = None
            self._queue.pop(work.key, None)
            self._ended.set()
            self._ended = trio.Event()

    def _report(self, progress: str) -> None:
        if self._present is not None:
            self._present = self._present[0], progress

    def _fail(self, work: Work, reason: str) -> None:
        before = self._failures.get(work.key)
        delay_s = FIRST_RETRY_S if before is None else min(2 * before.delay_s, LONGEST_RETRY_S)
        self._failures[work.key] = Failure(work.purpose, reason, trio.current_time() + delay_s, delay_s)

    # -- words

    def failure(self, key: str) -> str | None:
        """Return in words why work has failed. None if it has not, or is about to be done again."""
        failure = self._failures.get(key)
        return None if failure is None or key in self._queue else self._failed(failure)

    def _failed(self, failure: Failure) -> str:
        return f"{failure.purpose} {self.words.not_done}: {failure.reason}; {self.words.advice}"

    @property
    def present(self) -> str | None:
        """The work that is being done, in words."""
        if self._present is None:
            return None
        work, progress = self._present
        return ", ".join(filter(None, [f"{work.purpose} {self.words.doing}", progress]))

    @property
    def problems(self) -> tuple[str, ...]:
        """The work that is being done, and the work that has failed, in words."""
        failed = (self._failed(each) for key, each in self._failures.items() if key not in self._queue)
        return tuple(filter(None, [self.present, *failed]))

    def drop(self, useless: Callable[[str], bool]) -> None:
        """Forget the failures of work that nobody wants any more."""
        for key in filter(useless, list(self._failures)):
            del self._failures[key]
