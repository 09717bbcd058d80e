import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import trio
import trio.testing
from attrs import Factory, define
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.channels.terminal import pipe
from nanoclaw.channels.terminal.pipe import Pipe
from nanoclaw.records import Routed
from tests.cli.commands import GUARD_S, NANOCLAW, environment, rows, run, running, wait_ready


def test_each_line_is_a_message_and_each_answer_is_printed(tmp_path: Path) -> None:
    result = run(tmp_path, "one\n\n  two  \r\nthree\n")
    assert (result.code, result.errors) == (0, [])
    assert result.output == "echo: one\necho: two\necho: three\n"


def test_help_has_the_keys_of_the_terminal_and_the_commands_of_the_agent(tmp_path: Path) -> None:
    result = run(tmp_path, "/help\n/clear\n/stop\n/status\n")
    assert (result.code, result.errors) == (0, [])
    for words in (
        "Ctrl-C, Ctrl-D    ends",
        "/compact* - have the model shorten the conversation",
        "The conversation is cleared",
        "Nothing is running.",
        "Provider: echo, model: its default",
    ):
        assert words in result.output


def test_a_message_not_answered_in_time_is_named_and_answered_by_the_next_run(tmp_path: Path) -> None:
    late = run(tmp_path, "too late\n", "--drain", "0", NANOCLAW_RUNTIME_COMMAND="/no/runner")
    assert late.code == 1
    assert late.errors == ["unanswered: too late (it is kept for the next run)"]
    assert run(tmp_path, "now\n").output == "echo: too late\necho: now\n"


def test_a_long_list_of_unanswered_messages_is_cut(tmp_path: Path) -> None:
    result = run(tmp_path, "x\n" * 30, "--drain", "0", NANOCLAW_RUNTIME_COMMAND="/no/runner")
    assert len(result.errors) == 21
    assert result.errors[-1] == "and 10 more"


def test_it_stops_immediately_without_input(tmp_path: Path) -> None:
    assert run(tmp_path).code == 0


def test_it_names_unanswered_messages_if_its_output_is_closed(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        assert host.stdin is not None
        assert host.stdout is not None
        assert host.stderr is not None
        host.stdout.close()
        host.stdin.write(b"hello\n")
        host.stdin.flush()
        next(line for line in host.stderr if b"delivery.held" in line)
        host.send_signal(signal.SIGTERM)
        plain = [line for line in host.stderr.read().decode().splitlines() if not line.startswith("{")]
        why = "standard output cannot be written: Broken pipe; it is kept for the next run"
        assert plain == [f"nanoclaw: unanswered: hello ({why})"]
        assert host.wait(GUARD_S) == 1


def test_it_ends_at_once_and_says_why_if_its_output_is_full(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*NANOCLAW, "run", "--home", str(tmp_path), "--drain", "3600"],
            input=b"hello\n",
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=GUARD_S,
            check=False,
        )
    why = "standard output cannot be written: No space left on device; it is kept for the next run"
    assert (done.returncode, done.stderr.decode().splitlines()[-1]) == (
        1,
        f"nanoclaw: unanswered: hello ({why})",
    )


def test_it_answers_even_if_its_logs_are_not_read(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        assert host.stdin is not None
        assert host.stdout is not None
        assert host.stderr is not None
        host.stderr.close()
        host.stdin.write(b"hello\n")
        host.stdin.close()
        assert host.stdout.read() == b"echo: hello\n"
        assert host.wait(GUARD_S) == 0


def test_it_does_not_start_without_a_standard_output(tmp_path: Path) -> None:
    closing = ["sh", "-c", 'exec "$@" >&-', "sh"]
    result = run(tmp_path, "hello\n", before=closing)
    assert result.code == 2
    assert result.errors == [
        "standard output is closed, so no answer could be shown; open it, or use --headless"
    ]


@pytest.fixture
def hang_ups_are_heard() -> Iterator[None]:
    """Undo `nohup`, which children inherit if the tests were started with it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_ups_are_heard")
def test_a_signal_stops_it_gracefully(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        with running(tmp_path) as host:
            wait_ready(host)
            host.send_signal(number)
            assert host.wait(10) == 0


def test_it_runs_without_a_terminal_until_it_is_stopped(tmp_path: Path) -> None:
    with running(tmp_path, "--headless") as host:
        assert host.stdin is not None
        host.stdin.close()  # ends no input
        wait_ready(host)
        host.send_signal(signal.SIGTERM)
        assert host.wait(10) == 0
        assert rows(tmp_path / "data/v2.db", "SELECT count(*) FROM messaging_groups") == [(1,)]


def test_a_second_host_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        wait_ready(first)
        second = run(tmp_path, "hello\n")
        assert (second.code, second.output) == (2, "")
        [error] = second.errors
        assert f"process {first.pid} owns it; stop that process" in error
        assert first.poll() is None


@define
class Scribe:
    """Records sent messages."""

    said: list[str] = Factory(list)

    async def say(self, text: str) -> Routed:
        self.said.append(text)
        return Routed()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=12) | st.text("ab \x1b", max_size=12).map(str.encode)), st.booleans())
def test_every_line_is_sent_in_order_or_refused_with_its_number(lines: list[bytes], ended: bool) -> None:  # noqa: FBT001 -- hypothesis gives it
    sent = b"\n".join(lines) + (b"\n" if ended else b"")
    said, refused = list[str](), set[int]()
    for number, line in enumerate(sent.split(b"\n"), start=1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError:
            refused.add(number)
        else:
            if len(line) > MAX_LINE:
                refused.add(number)
            elif text:
                said.append(text)
    assert _read(sent) == (said, refused)


MAX_LINE = 8


def _read(sent: bytes) -> tuple[list[str], set[int]]:
    reader, writer = os.pipe()
    with open(writer, "wb") as stream:  # noqa: PTH123 -- a descriptor; the pipe has planned
        stream.write(sent)
    scribe, front = Scribe(), Pipe()
    with (
        open(reader, "rb") as stdin,  # noqa: PTH123 -- a descriptor
        patch("sys.stdin", stdin),
        patch.multiple(pipe, MAX_LINE=MAX_LINE, CHUNK=5),
    ):
        trio.run(front.read, scribe)
    return scribe.said, set(front.refused)


async def test_an_unread_output_does_not_delay_shutdown() -> None:
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "w") as output:
            front = Pipe(output)
            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_refused, front, "x" * 1_000_000)
                    await trio.testing.wait_all_tasks_blocked()
                    front.cut()
                await _refused(front, "later")
    finally:
        os.close(reader)


async def _refused(front: Pipe, text: str) -> None:
    with pytest.raises(OSError, match="nobody reads"):
        await front.show(text)
