"""A runner answers and dies while the host commits the look before that."""

from collections.abc import Callable
from pathlib import Path

import trio
import trio.testing

from nanoclaw.runtimes import Death
from nanoclaw.store import ThreadExecutor
from nanoclaw.testing import FakeChannel
from tests.host.homes import only_session, rows
from tests.host.runtimes import FakeRuntime
from tests.host.test_deliveries import a_host, acks, container_runs, says


class Meanwhile(ThreadExecutor):
    """Calls a function once, during a commit to an `inbound.db`."""

    something: Callable[[], None] | None = None

    def after_commit(self, path: Path) -> None:
        something = self.something
        if path.name == "inbound.db" and something is not None:
            self.something = None
            something()


async def test_a_death_is_judged_by_the_acks_that_were_there_when_it_happened(tmp_path: Path) -> None:
    channel, runtime, executor = FakeChannel(), FakeRuntime(), Meanwhile()
    loop = trio.lowlevel.current_trio_token()
    async with a_host(tmp_path, channel, runtime, executor):
        [message] = (await channel.say("x", event_id="1")).message_ids
        runner = await runtime.wait_started(1)
        paths = only_session(tmp_path)

        async def die() -> None:
            runner.die(Death(orderly=False, reason="killed"))
            await trio.testing.wait_all_tasks_blocked()

        def answer_and_die() -> None:
            container_runs(paths, says("answer", 3, None), acks(message, "completed"))
            trio.from_thread.run(die, trio_token=loop)

        executor.something = answer_and_die
        container_runs(paths, says("middle", 1, None), acks(message, "processing"))
        assert await channel.wait_settled("1") == "completed"
    assert rows(paths.inbound_db, "SELECT status, tries FROM messages_in") == [("completed", 0)]
    assert [one.message_out_id for one in channel.sent] == ["middle", "answer"]
