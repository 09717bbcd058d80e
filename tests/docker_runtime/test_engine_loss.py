"""The engine is absent, hangs, is killed or restarted: messages wait, none is lost, and none counts a try."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from nanoclaw.host import Host
from nanoclaw.records.status import HostReport
from nanoclaw.runtimes import Hindered, NotNow
from nanoclaw.testing import FakeChannel, wire
from nanoclaw.testing.conformance import make_session
from nanoclaw.testing.conformance.sessions import until_it_lives
from tests.docker_runtime.docker_homes import GUARD_S, containers, docker_host, install_of, tries_of, until
from tests.docker_runtime.serving import running, scripted, served
from tests.engine.fixtures import EngineForTests

CHATS = 4
ROUNDS = 3
STOP_S = 12.0
"""Seconds within which a host stops whose engine hangs: the grace, and the time until it gives up."""


@pytest.fixture
def away(own_engine: EngineForTests) -> Iterator[EngineForTests]:
    """An engine that does not run yet."""
    own_engine.engine.stop()
    yield own_engine
    back(own_engine)


@pytest.fixture
def there(own_engine: EngineForTests) -> EngineForTests:
    """An engine that runs, without containers of other tests."""
    back(own_engine)
    return own_engine


def back(engine: EngineForTests) -> None:
    if not engine.engine.answers():
        engine.engine.start()


async def until_state(host: Host, *, ready: bool) -> HostReport:
    while (report := await host.status()).runtime_ready is not ready:  # noqa: ASYNC110 -- it has no event
        await trio.sleep(0.05)
    return report


async def until_started_in_vain(host: Host, times: int) -> None:
    """Wait until a session has tried so often to start its runner."""
    while not any(  # noqa: ASYNC110 -- it has no event
        each.details is not None and each.details.runner.failures >= times
        for each in (await host.status()).living_sessions
    ):
        await trio.sleep(0.05)


async def test_a_host_starts_without_its_engine_and_answers_once_it_comes(
    away: EngineForTests, tmp_path: Path
) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with docker_host(tmp_path, away, channel) as host:
            await channel.say("hello", event_id="e1")
            report = await until_state(host, ready=False)
            assert report.runtime_state is not None
            assert report.runtime_state.startswith(f"the container engine at {away.socket} cannot be reached")
            await until_started_in_vain(host, 2)
            await trio.to_thread.run_sync(away.engine.start)
            assert "hello" in str((await channel.reply_to("e1")).content)
            assert (await host.status()).runtime_ready
    assert tries_of(tmp_path) == [0]


@pytest.mark.slow
async def test_an_engine_killed_and_restarted_under_load_loses_and_doubles_nothing(
    there: EngineForTests, tmp_path: Path
) -> None:
    channel = FakeChannel()
    with trio.fail_after(2 * GUARD_S):
        async with docker_host(tmp_path, there, channel) as host:
            for n in range(CHATS):
                await wire(host, channel.address(f"chat-{n}"))

            async def talk(chat: str) -> None:
                for n in range(ROUNDS * 4):
                    event = f"{chat}-{n}"
                    await channel.say(event, chat=chat, event_id=event)
                    await channel.reply_to(event)

            async with trio.open_nursery() as nursery:
                for n in range(CHATS):
                    nursery.start_soon(talk, f"chat-{n}")
                for n in range(ROUNDS):
                    await channel.wait_for((n + 1) * CHATS)
                    await trio.to_thread.run_sync(there.engine.kill)
                    await until_state(host, ready=False)
                    await trio.to_thread.run_sync(there.engine.start)
            install_id = await install_of(host)
            names = [each["Names"][0] for each in containers(there.engine, install_id)]
            assert len(names) == len(set(names)) <= CHATS
        replies = [str(each.in_reply_to) for each in channel.sent]
    assert sorted(replies) == sorted(f"chat-{n}-{m}" for n in range(CHATS) for m in range(ROUNDS * 4))
    assert set(tries_of(tmp_path)) == {0}
    assert containers(there.engine, install_id) == []


async def test_a_host_stops_in_time_though_its_engine_hangs(there: EngineForTests, tmp_path: Path) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with docker_host(tmp_path, there, channel):
            await channel.say("hello", event_id="e1")
            await channel.reply_to("e1")
            hanging = there.engine.hanging()
            hanging.__enter__()
            began = trio.current_time()
        try:
            assert trio.current_time() - began < STOP_S
            [container] = list((tmp_path / "data/sessions").glob("*/*/outbound"))
            assert container.is_dir()
        finally:
            hanging.__exit__(None, None, None)
        async with docker_host(tmp_path, there, channel) as host:
            await channel.say("again", event_id="e2")
            await channel.reply_to("e2")
            assert len(containers(there.engine, await install_of(host))) == 1


async def test_an_engine_that_hangs_is_a_state_and_takes_no_thread_of_the_host(
    there: EngineForTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (("engine", "CALL_S"), ("watch", "ANSWER_S"), ("watch", "CHECK_S")):
        monkeypatch.setattr(f"nanoclaw.runtimes.docker.{module}.{name}", 0.5)
    spec = await make_session(tmp_path)
    with trio.fail_after(GUARD_S):
        async with served(there, tmp_path.name) as runtime:
            with there.engine.hanging():
                await until(lambda: not runtime.state.ready)  # it is asked every half second here
                with pytest.raises(NotNow, match=r"has not answered|cannot be reached|does not answer"):
                    await runtime.run(spec)
                assert await trio.to_thread.run_sync(lambda: "a thread of the host") is not None
            await until(lambda: runtime.state.ready)
            async with running(runtime, spec):
                await until_it_lives(spec.paths)


async def test_a_container_that_ends_with_its_engine_does_not_count(
    there: EngineForTests, tmp_path: Path
) -> None:
    """Its runner does not end by SIGTERM, so the engine kills it when it comes back."""
    script = "open('/workspace/agent/up', 'w').close(); import time; time.sleep(1000)"
    spec, deaths = await scripted(tmp_path, script), list[object]()
    with trio.fail_after(GUARD_S):
        async with served(there, tmp_path.name) as runtime, trio.open_nursery() as nursery:

            async def live(*, task_status: trio.TaskStatus[object]) -> None:
                deaths.append(await runtime.run(spec, task_status=task_status))

            await nursery.start(live)
            await until((spec.workspace / "up").exists)
            await trio.to_thread.run_sync(there.engine.kill)
            await trio.to_thread.run_sync(there.engine.start)
    [death] = deaths
    assert isinstance(death, Hindered)
    assert "the container engine was stopped or restarted" in death.reason
