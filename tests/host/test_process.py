"""The process runtime with real processes: deaths, the lifeline, environment and output of the child."""

import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MemoryReceiveStream

from agent_runner.providers.discovery import PROVIDERS
from nanoclaw.host import open_host
from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import Runner, RunnerSpec, StartFailed, stderr
from nanoclaw.runtimes.known_providers import BUILT_IN, KnownProviders
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.runtimes.protocol import Death
from nanoclaw.runtimes.stderr import MAX_LINE, MAX_LINES, WINDOW_S, StderrLog
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config

ROOT = Path(__file__).parents[2]


def spec(home: Path, provider: str = "echo") -> RunnerSpec:
    return RunnerSpec("sess-1", SessionPaths(home), home, provider, {"AGENT_PROVIDER": provider})


def running(code: str, *arguments: str, grace_s: float = 0.2) -> ProcessRuntime:
    """Return a runtime whose runner is a line of Python."""
    return ProcessRuntime(command=(sys.executable, "-c", code, *arguments), grace_s=grace_s)


@define(eq=False)
class Log:
    """Collects log events."""

    lines: list[tuple[str, dict[str, object]]] = field(factory=list)

    def log(self, _level: int, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    kept = Log()
    monkeypatch.setattr(stderr, "_log", kept)
    return kept


# -- deaths --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "orderly", "reason"),
    [
        ("pass", True, "the runner ended with status 0"),
        ("exit(3)", False, "the runner ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", False, "the runner was killed by SIGKILL"),
        ("import os; os.kill(os.getpid(), 40)", False, "the runner was killed by signal 40"),
    ],
)
async def test_a_death_is_reported_with_its_cause(
    tmp_path: Path,
    code: str,
    orderly: bool,  # noqa: FBT001 -- parametrized
    reason: str,
) -> None:
    with trio.fail_after(GUARD_S):
        assert await running(code).run(spec(tmp_path)) == Death(orderly=orderly, reason=reason)


async def test_a_death_is_reported_with_the_last_output(tmp_path: Path, log: Log) -> None:
    code = "import sys; [print(n, file=sys.stderr) for n in range(9)]; exit(1)"
    with trio.fail_after(GUARD_S):
        death = await running(code).run(spec(tmp_path))
    assert death.reason.splitlines()[1:] == ["  4", "  5", "  6", "  7", "  8"]
    assert [fields["line"] for _, fields in log.lines] == [str(n) for n in range(9)]


def written(*lines: object) -> str:
    """Return a line of Python that writes lines of JSON and fails."""
    texts = [json.dumps(line) for line in lines]
    return f"import sys; [print(text, file=sys.stderr) for text in {texts!r}]; exit(5)"


async def test_the_reason_of_our_runner_is_a_sentence_and_not_json(tmp_path: Path, log: Log) -> None:
    code = written(
        {"event": "runner.started", "level": "info", "provider": "own"},
        {"event": "inbound.unavailable", "level": "warning", "reason": "inbound.db is locked"},
        {"event": "runner.failed", "level": "error", "error": "E", "reason": 'no "key"\nat all.'},
    )
    with trio.fail_after(GUARD_S):
        death = await running(code).run(spec(tmp_path))
    assert death.reason == 'no "key" at all (the runner ended with status 5)\n  inbound.db is locked'
    assert log.lines[-1][1]["runner"] == {"error": "E", "reason": 'no "key"\nat all.'}


async def test_the_json_of_other_runners_is_read_for_its_words(tmp_path: Path, log: Log) -> None:
    code = written({"level": 50, "msg": "no key"}, {"error": {"code": 1}, "message": "no model"}, {"a": 1}, 7)
    with trio.fail_after(GUARD_S):
        death = await running(code).run(spec(tmp_path))
    assert death.reason.splitlines() == [
        "the runner ended with status 5",
        "  no key",
        "  no model",
        '  {"a": 1}',
        "  7",
    ]
    assert len(log.lines) == 4


async def test_a_program_that_is_not_there_is_no_runner(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="does not start: /nowhere"):
        await ProcessRuntime(command=("/nowhere",)).run(spec(tmp_path))


async def test_a_provider_with_tools_needs_leave_to_run_without_isolation(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="process_providers"):
        await running("pass").run(spec(tmp_path, "claude"))
    allowed = ProcessRuntime(command=(sys.executable, "-c", "pass"), allowed=("claude",))
    assert (await allowed.run(spec(tmp_path, "claude"))).orderly


async def test_a_recovery_that_fails_says_why(tmp_path: Path, log: Log) -> None:
    code = "import sys; print(sys.argv[1:], file=sys.stderr); exit(4)"
    with pytest.raises(StartFailed, match=r"(?s)could not be recovered.*status 4.*'recover'"):
        await running(code).recover(spec(tmp_path))
    assert log.lines


# -- stopping ------------------------------------------------------------------


async def started(runtime: ProcessRuntime, home: Path, nursery: trio.Nursery, deaths: list[Death]) -> Runner:
    """Start a runner in a nursery."""

    async def live(*, task_status: trio.TaskStatus[Runner]) -> None:
        deaths.append(await runtime.run(spec(home), task_status=task_status))

    runner: Runner = await nursery.start(live)
    return runner


async def test_the_end_of_its_lifeline_asks_a_runner_to_go(tmp_path: Path) -> None:
    deaths: list[Death] = []
    with trio.fail_after(GUARD_S):
        async with trio.open_nursery() as nursery:
            runner = await started(running("import sys; sys.stdin.read()"), tmp_path, nursery, deaths)
            runner.stop()
            runner.stop()
    assert deaths[0].orderly


async def test_a_runner_that_does_not_go_is_killed_after_the_grace(tmp_path: Path) -> None:
    deaths: list[Death] = []
    code = "import signal; signal.pause()"
    with trio.fail_after(GUARD_S):
        async with trio.open_nursery() as nursery:
            (await started(running(code), tmp_path, nursery, deaths)).stop()
    assert deaths == [Death(orderly=False, reason="the runner was killed by SIGKILL")]


async def test_cancellation_stops_the_runner_first(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = "import sys; sys.stdin.read(); open(sys.argv[1], 'w')"
    with trio.fail_after(GUARD_S):
        async with trio.open_nursery() as nursery:
            await started(running(code, str(mark), grace_s=5), tmp_path, nursery, [])
            nursery.cancel_scope.cancel()
    assert mark.exists()


async def test_child_processes_of_a_runner_do_not_outlive_it(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    child = "import sys, signal; f = open(sys.argv[1], 'w'); signal.pause()"
    code = "import sys, subprocess; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]]); sys.stdin.read()"
    with trio.fail_after(GUARD_S):
        async with trio.open_nursery() as nursery:
            runner = await started(running(code, child, str(fifo)), tmp_path, nursery, [])
            held = await trio.to_thread.run_sync(fifo.open)
            runner.stop()
        assert await trio.to_thread.run_sync(held.read) == ""
        held.close()


@pytest.mark.slow
async def test_no_runner_outlives_a_host_that_was_killed(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "tests.host.short_host", str(tmp_path / "home"), str(fifo)]
    with trio.fail_after(GUARD_S * 4):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.run_process, command, cwd=ROOT, check=False))
            held = await trio.to_thread.run_sync(fifo.open, abandon_on_cancel=True)
            assert await trio.to_thread.run_sync(held.read, abandon_on_cancel=True) == ""
            held.close()


# -- what the child sees -------------------------------------------------------


async def test_a_runner_sees_nothing_of_the_hosts_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_TOKEN", "secret")
    monkeypatch.setenv("NANOCLAW_HOME", "secret")
    seen = tmp_path / "seen"
    code = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    with trio.fail_after(GUARD_S):
        await running(code, str(seen)).run(spec(tmp_path))
    environment = json.loads(await trio.Path(seen).read_text())
    assert "secret" not in environment.values()
    assert set(environment) <= {
        *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONPATH", "AGENT_PROVIDER"),
        *("SESSION_INBOUND_DB_PATH", "SESSION_OUTBOUND_DB_PATH", "SESSION_HEARTBEAT_PATH"),
        *("NANOCLAW_WORKSPACE", "NANOCLAW_SCHEMA_DIR", "NANOCLAW_LIFELINE"),
    }


async def test_a_runner_has_no_file_of_the_hosts_open(tmp_path: Path) -> None:
    seen, secret = tmp_path / "seen", (tmp_path / "secret").open("w")
    code = "import os, sys; open(sys.argv[1], 'w').write(repr(os.listdir('/proc/self/fd')))"
    with trio.fail_after(GUARD_S), secret:
        await running(code, str(seen)).run(spec(tmp_path))
    # The three standard descriptors, one for the file, and one for the listing.
    assert len(await trio.Path(seen).read_text()) <= len("['0', '1', '2', '3', '4']")


@pytest.mark.slow
async def test_modules_in_an_agents_workspace_are_not_imported(tmp_path: Path) -> None:
    workspace = tmp_path / "groups" / "main" / "workspace"
    workspace.mkdir(parents=True)
    for module in ("apsw", "trio", "agent_runner", "sitecustomize"):
        (workspace / f"{module}.py").write_text("raise SystemExit('planted')")
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel]) as host:
            await wire(host, channel.address(), agent="main")
            await channel.say("hello", event_id="1")
            await channel.reply_to("1")


# -- stderr --------------------------------------------------------------------


async def drained(chunks: Sequence[bytes]) -> StderrLog:
    """Return a log that has read these chunks."""
    stream = MemoryReceiveStream()
    log = StderrLog("sess-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.drain, stream)
        for chunk in chunks:
            stream.put_data(chunk)
            await trio.testing.wait_all_tasks_blocked()
        stream.put_eof()
    return log


async def test_a_line_of_our_runner_becomes_an_event_of_its_session(log: Log) -> None:
    await drained([b'{"event": "runner.turn.started", "level": "info", "turn": "turn-1"}\n'])
    assert log.lines == [("runner.turn.started", {"session": "sess-1", "runner": {"turn": "turn-1"}})]


@pytest.mark.parametrize(
    "line",
    ["[]", "{}", '{"event": "x", "level": []}', '{"event": "x", "level": "loud"}', "{" * 4000, "1" * 4000],
)
async def test_any_other_line_is_quoted(log: Log, line: str) -> None:
    await drained([line.encode() + b"\n"])
    assert log.lines == [("runner.stderr", {"session": "sess-1", "line": line})]


async def test_a_line_without_end_is_cut_and_the_next_one_read(log: Log) -> None:
    await drained([b"x" * 10_000] * 5 + [b"\nnext"])
    assert [len(str(fields["line"])) for _, fields in log.lines] == [MAX_LINE, 4]


async def test_more_lines_than_a_person_reads_are_counted(
    log: Log, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    stream, reader = MemoryReceiveStream(), StderrLog("sess-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.drain, stream)
        stream.put_data(b"x\n" * (MAX_LINES + 50))
        await trio.sleep(WINDOW_S)
        stream.put_data(b"next\n")
        stream.put_eof()
    events = [event for event, _ in log.lines]
    assert events == ["runner.stderr"] * MAX_LINES + ["runner.stderr_dropped", "runner.stderr"]
    assert log.lines[-2][1]["lines"] == 50


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10))
def test_no_bytes_end_the_log(chunks: list[bytes]) -> None:
    kept, before = Log(), stderr._log
    stderr._log = kept
    try:
        trio.run(drained, chunks)
    finally:
        stderr._log = before
    whole = b"".join(chunks).split(b"\n")
    assert len(kept.lines) == len([line for line in whole if line.decode("utf-8", "replace").rstrip()])


def test_an_unknown_provider_is_refused_with_the_nearest_name() -> None:
    runtime = ProcessRuntime(known=KnownProviders(("echo", "shout")), allowed=("echo", "ecco"))
    refusal = runtime.refusal("ecco")
    assert refusal is not None
    assert refusal.startswith("there is no provider 'ecco'; did you mean echo? Known: echo, shout.")
    assert "process_providers" in (runtime.refusal("shout") or "")
    assert runtime.refusal("echo") is None


def test_the_host_knows_the_providers_of_its_runner() -> None:
    assert set(BUILT_IN) == set(PROVIDERS)
