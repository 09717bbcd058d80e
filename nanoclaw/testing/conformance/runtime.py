"""The conformance suite of a runtime: it tests `nanoclaw.runtimes.protocol` with our own runner.

@asynccontextmanager
async def mine() -> AsyncIterator[RuntimeUnderTest]:
    yield RuntimeUnderTest(MyRuntime(), await make_session(home), kill=lambda runner: runner.machine.kill())
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio
from attrs import Factory, define, evolve, frozen

from nanoclaw.runtimes import Death, Runner, RunnerSpec, Runtime, StartFailed
from nanoclaw.system.clock import SystemClock
from nanoclaw.system.foreign import ungrouped
from nanoclaw.testing.conformance.checks import Check, NotConforming, checks_of, hook, only, require
from nanoclaw.testing.conformance.sessions import (
    is_sound,
    leave_hot_journal,
    leave_message,
    lives,
    said,
    until_answered,
    until_it_lives,
)
from nanoclaw.testing.conformance.steps import step, step_context
from nanoclaw.testing.conformance.watches import CancelAfter
from nanoclaw.testing.world.executor import InlineExecutor

SOON_S = 10.0
"""Seconds for a step without waiting, on a slow machine."""
QUIET_S = 1.0
"""Seconds for two ends at the same time."""
STARTED_S = 1.0
"""Seconds within which a started runner would take its lock."""
STARTS = (1, 3, 9)
"""The numbers of task steps after which a start is cancelled."""
STARTS_S, ANSWERS_S, RECOVERS_S = 30.0, 30.0, 45.0
"""Seconds for a start, an answer and a recovery, on a slow machine."""
NOTE = "note.txt"
NOBODY = "a-provider-that-nobody-has"


@frozen
class RuntimeUnderTest:
    """A runtime, a session for it (`make_session`), and what its tester can do to a runner.

    `Runner` is what the runtime itself reported as started. A hook may be left out.
    """

    runtime: Runtime
    """The subject."""
    spec: RunnerSpec
    """A session with one waiting message, of `make_session`."""
    grace_s: float = 10.0
    """Seconds after which a runner that ignores `stop` is killed."""
    kill: Callable[[Runner], None] | None = None
    """Kills a runner without `stop`, as SIGKILL does."""
    hang: Callable[[Runner], None] | None = None
    """Freezes a runner, as SIGSTOP does."""
    host_dies: Callable[[], None] | None = None
    """Simulates the host's death, before its tasks are cancelled. Give it if runners outlive the host."""
    other: RunnerSpec | None = None
    """Another session of the same home: `make_session(home, session="sess-2")`."""


@define(eq=False)
class _Life:
    """A started runner, and its death after its end."""

    runner: Runner
    _deaths: list[Death]
    _gone: trio.Event
    scope: trio.CancelScope = Factory(trio.CancelScope)

    async def death(self, limit_s: float) -> Death:
        with trio.move_on_after(limit_s):
            await self._gone.wait()
        if not self._gone.is_set():
            raise NotConforming(f"`run` has not returned {limit_s:g} s later")
        if not self._deaths or not isinstance(self._deaths[0], Death):
            raise NotConforming(f"`run` returned {self._deaths}, which is no Death")
        return self._deaths[0]


@asynccontextmanager
async def _running(it: RuntimeUnderTest) -> AsyncIterator[_Life]:
    """Yield a started runner that has the session's lock."""
    deaths, gone = list[Death](), trio.Event()

    async def live(*, task_status: trio.TaskStatus[Runner]) -> None:
        try:
            with ungrouped(StartFailed):
                deaths.append(await it.runtime.run(it.spec, task_status=task_status))
        except StartFailed as error:
            raise NotConforming(f"a runner with a valid specification does not start: {error}") from error
        finally:
            gone.set()

    async with trio.open_nursery() as nursery:
        with step("run() to report the runner as started", STARTS_S):
            runner = await nursery.start(live)
        with step("the runner to take the session's lock", STARTS_S):
            await until_it_lives(it.spec.paths)
        yield _Life(runner, deaths, gone, nursery.cancel_scope)
        nursery.cancel_scope.cancel()


def runtime_checks(open_: Callable[[], AbstractAsyncContextManager[RuntimeUnderTest]]) -> Sequence[Check]:
    """Return the checks. Each opens its own runtime and session."""

    @asynccontextmanager
    async def open_subject() -> AsyncIterator[RuntimeUnderTest]:
        async with step_context("the runtime under test", open_()) as it:
            yield it

    return checks_of(CHECKS, open_subject)


async def _until_answered(spec: RunnerSpec, id_: str = "in-1") -> None:
    with step(f"the runner of {spec.session_id} to answer {id_}", ANSWERS_S):
        await until_answered(spec.paths, id_)


async def _recover(it: RuntimeUnderTest) -> None:
    with step("recover()", RECOVERS_S), ungrouped(StartFailed):
        await it.runtime.recover(it.spec)


async def _survivors(it: RuntimeUnderTest) -> Sequence[str]:
    with step("survivors()"):
        return await it.runtime.survivors()


# -- starting --------------------------------------------------------------------


async def a_runner_that_was_started_works(it: RuntimeUnderTest) -> None:
    """A runner is reported as started and answers what waits in its session."""
    async with _running(it) as life:
        require(callable(getattr(life.runner, "stop", None)), f"it reported {life.runner!r}, no Runner")
        await _until_answered(it.spec)


async def one_that_cannot_work_does_not_end_in_order(it: RuntimeUnderTest) -> None:
    """An unknown provider is reported by `StartFailed` or by the runner's death."""
    broken = evolve(it, spec=evolve(it.spec, provider=NOBODY, environment=_with_provider(it.spec)))
    try:
        with step("run() with a provider that does not exist", STARTS_S + ANSWERS_S), ungrouped(StartFailed):
            death = await broken.runtime.run(broken.spec)
    except StartFailed as error:
        require(str(error), "StartFailed has no text")
        return
    require(not death.orderly, f"its provider does not exist, but it reports an orderly end: {death}")
    require(death.reason, "its death has no reason")


def _with_provider(spec: RunnerSpec) -> dict[str, str]:
    return {**spec.environment, "AGENT_PROVIDER": NOBODY}


async def it_works_in_the_places_of_its_specification(it: RuntimeUnderTest) -> None:
    """A runner uses the workspace, the outbox and the heartbeat file of its specification."""
    only(it.spec.provider == "echo", "the session's provider is not `echo`")
    paths = it.spec.paths
    (it.spec.workspace / NOTE).write_text("of the agent", "utf-8")
    await leave_message(paths, "in-2", f'!send_file {{"path": "{NOTE}"}}', InlineExecutor(), SystemClock())
    async with _running(it):
        await _until_answered(it.spec, "in-2")
        sent = {id_: content for id_, content in (await said(paths)).items() if content.get("files")}
        require(
            sent, f"it was to send {NOTE} of its workspace, and said {list((await said(paths)).values())}"
        )
        files = [paths.outbox / id_ / NOTE for id_ in sent]
        there = [file.is_file() and file.read_text("utf-8") for file in files]
        require(there == ["of the agent"], f"it sent {NOTE}, and it is not in {files}")
        require(paths.heartbeat.exists(), f"it took a turn, and there is no heartbeat: {paths.heartbeat}")


async def sessions_have_runners_of_their_own(it: RuntimeUnderTest) -> None:
    """Two sessions have two runners, and stopping one does not stop the other."""
    other = evolve(it, spec=hook(it.other, "other"))
    async with _running(it) as life, _running(other):
        await _until_answered(it.spec)
        await _until_answered(other.spec)
        life.runner.stop()
        await life.death(it.grace_s + SOON_S)
        await trio.sleep(QUIET_S)
        require(lives(other.spec.paths), "stopping the runner of one session stopped that of another")


async def a_session_may_have_another_one_afterwards(it: RuntimeUnderTest) -> None:
    """A second runner of a session starts only once the first has gone."""
    for _ in range(2):
        async with _running(it) as life:
            life.runner.stop()
            await life.death(it.grace_s + SOON_S)


# -- ending ----------------------------------------------------------------------


async def a_runner_that_is_asked_to_go_ends_in_order(it: RuntimeUnderTest) -> None:
    """A stopped runner ends, and `run` returns after that."""
    async with _running(it) as life:
        await _until_answered(it.spec)
        life.runner.stop()
        death = await life.death(it.grace_s + SOON_S)
        require(not lives(it.spec.paths), "`run` has returned, but a runner still has the session's lock")
        require(death.orderly, f"a stopped runner must end in order, got {death}")


async def stop_may_be_repeated(it: RuntimeUnderTest) -> None:
    """Stopping never raises, also after the runner has gone."""
    async with _running(it) as life:
        for _ in range(2):
            _stop(life.runner)
        await life.death(it.grace_s + SOON_S)
        _stop(life.runner)


def _stop(runner: Runner) -> None:
    try:
        runner.stop()
    except Exception as error:
        raise NotConforming(f"stop raised {error!r}") from error


async def a_death_is_reported(it: RuntimeUnderTest) -> None:
    """A death is reported by itself, with its reason, and not as an orderly end."""
    kill = hook(it.kill, "kill")
    async with _running(it) as life:
        kill(life.runner)
        death = await life.death(SOON_S)
        require(not death.orderly, f"a killed runner must not end in order, got {death}")
        require(death.reason, "its death has no reason")


async def one_that_hangs_is_killed_after_the_grace(it: RuntimeUnderTest) -> None:
    """A runner that ignores `stop` is killed after the grace."""
    hang = hook(it.hang, "hang")
    async with _running(it) as life:
        hang(life.runner)
        life.runner.stop()
        await life.death(it.grace_s + SOON_S)
        require(not lives(it.spec.paths), "`run` has returned, but a runner still has the session's lock")


async def cancellation_stops_the_runner_first(it: RuntimeUnderTest) -> None:
    """Cancelling `run` leaves no runner behind."""
    async with _running(it) as life:
        life.scope.cancel()
    require(not lives(it.spec.paths), "`run` was cancelled, but a runner still has the session's lock")


async def a_start_that_is_cancelled_leaves_nobody(it: RuntimeUnderTest) -> None:
    """A start that is cancelled anywhere leaves no runner."""
    for steps in STARTS:
        with trio.move_on_after(STARTED_S) as scope, CancelAfter(scope, steps):
            await it.runtime.run(it.spec)
        with trio.move_on_after(STARTED_S):
            await until_it_lives(it.spec.paths)
            raise NotConforming(f"`run` was cancelled after {steps} steps, and a runner has come alive since")


# -- outliving a host ------------------------------------------------------------


async def without_a_dead_host_nobody_has_survived(it: RuntimeUnderTest) -> None:
    """`survivors` names only the runners of a dead host."""
    survivors = await _survivors(it)
    require(it.spec.session_id not in survivors, f"nothing was ever started, and it names {list(survivors)}")


async def one_that_outlives_its_host_is_adopted(it: RuntimeUnderTest) -> None:
    """A surviving runner is named, adopted by `run`, and can be stopped like any other."""
    host_dies, session = hook(it.host_dies, "host_dies"), it.spec.session_id
    async with _running(it) as life:
        host_dies()
        life.scope.cancel()
    require(lives(it.spec.paths), "the runner did not outlive its dead host")
    require(
        session in await _survivors(it),
        "a runner outlived its host, but `survivors` does not name it",
    )
    async with _running(it) as life:
        life.runner.stop()
        death = await life.death(it.grace_s + SOON_S)
        require(death.orderly, f"it was adopted and asked to go: {death}")
    require(
        not lives(it.spec.paths), "an adopted runner was stopped, but a runner still has the session's lock"
    )


async def an_adoption_that_is_cancelled_leaves_nobody(it: RuntimeUnderTest) -> None:
    """A `run` that is cancelled anywhere stops the survivor that it would have adopted."""
    host_dies = hook(it.host_dies, "host_dies")
    for steps in STARTS:
        async with _running(it) as life:
            host_dies()
            life.scope.cancel()
        require(it.spec.session_id in await _survivors(it), "the runner did not outlive its dead host")
        with trio.move_on_after(STARTED_S) as scope, CancelAfter(scope, steps):
            await it.runtime.run(it.spec)
        require(
            not lives(it.spec.paths),
            f"`run` was cancelled after {steps} steps, and the runner that it would have adopted lives",
        )


async def one_that_was_started_otherwise_is_not_adopted(it: RuntimeUnderTest) -> None:
    """A survivor with another specification is replaced, here by one that cannot work."""
    host_dies = hook(it.host_dies, "host_dies")
    async with _running(it) as life:
        host_dies()
        life.scope.cancel()
    with trio.move_on_after(it.grace_s + SOON_S):
        await one_that_cannot_work_does_not_end_in_order(it)
        return
    raise NotConforming("its provider was changed to an unknown one, but the old runner was adopted")


# -- recovering ------------------------------------------------------------------


async def what_a_dead_runner_left_half_done_is_rolled_back(it: RuntimeUnderTest) -> None:
    """Recovery rolls back the journal, and its runner ends."""
    outbound = it.spec.paths.outbound_db
    leave_hot_journal(outbound)
    await _recover(it)
    require(not lives(it.spec.paths), "`recover` has returned, but a runner still has the session's lock")
    require(is_sound(outbound), "`recover` has returned, but did not roll back the transaction")


async def a_sound_database_is_left_as_it_is(it: RuntimeUnderTest) -> None:
    """Recovery works if there is nothing to recover."""
    await _recover(it)
    require(is_sound(it.spec.paths.outbound_db), "`recover` has damaged a sound database")


async def what_cannot_be_recovered_is_said(it: RuntimeUnderTest) -> None:
    """A failed recovery raises `StartFailed` with the runner's error."""
    it.spec.paths.outbound_db.write_bytes(b"this is no database, " * 1000)
    try:
        await _recover(it)
    except StartFailed as error:
        require(str(error), "StartFailed has no text")
        return
    raise NotConforming("`recover` must raise StartFailed for a file that is not a database")


CHECKS: tuple[Callable[[RuntimeUnderTest], Awaitable[None]], ...] = (
    a_runner_that_was_started_works,
    one_that_cannot_work_does_not_end_in_order,
    it_works_in_the_places_of_its_specification,
    sessions_have_runners_of_their_own,
    a_session_may_have_another_one_afterwards,
    a_runner_that_is_asked_to_go_ends_in_order,
    stop_may_be_repeated,
    a_death_is_reported,
    one_that_hangs_is_killed_after_the_grace,
    cancellation_stops_the_runner_first,
    a_start_that_is_cancelled_leaves_nobody,
    without_a_dead_host_nobody_has_survived,
    one_that_outlives_its_host_is_adopted,
    an_adoption_that_is_cancelled_leaves_nobody,
    one_that_was_started_otherwise_is_not_adopted,
    what_a_dead_runner_left_half_done_is_rolled_back,
    a_sound_database_is_left_as_it_is,
    what_cannot_be_recovered_is_said,
)
