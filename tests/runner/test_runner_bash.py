"""The tool bash, with real processes."""

import os
from pathlib import Path

import pytest
import trio

from tests.runner.sandboxes import Call, Sandbox, is_alive
from tests.runner.world import World


@pytest.fixture
def sandbox(world: World) -> Sandbox:
    return Sandbox(world)


def pid_in(path: Path) -> int:
    return int(path.read_text())


def text_of(path: str) -> str:
    return Path(path).read_text()


async def test_a_command_returns_output_and_exit_code(sandbox: Sandbox) -> None:
    assert await sandbox.call("bash", command="echo out; echo err >&2; exit 3") == "out\nerr\n[exit code 3]"


async def test_a_signal_is_named(sandbox: Sandbox) -> None:
    assert await sandbox.call("bash", command="kill -SEGV $$") == "[exit code 139, ended by SIGSEGV]"


async def test_the_working_directory_stays_over_calls_and_turns(sandbox: Sandbox) -> None:
    await sandbox.call("bash", command="mkdir -p a/b; cd a; cd b; false")
    first, second = await sandbox.calls(
        ("bash", {"command": "pwd; cd .."}), ("bash", {"command": "pwd; exit 1"})
    )
    assert first == f"{sandbox.workspace}/a/b\n[exit code 0]"
    assert second == f"{sandbox.workspace}/a\n[exit code 1]"


async def test_a_working_directory_that_is_gone_is_told(sandbox: Sandbox) -> None:
    await sandbox.call("bash", command="mkdir a; cd a")
    (sandbox.workspace / "a").rmdir()
    found = await sandbox.call("bash", command="pwd")
    assert found.startswith(f"[{sandbox.workspace}/a is gone; the command ran in {sandbox.workspace}]\n")


async def test_a_command_has_no_input(sandbox: Sandbox) -> None:
    assert await sandbox.call("bash", command="read line || echo nothing") == "nothing\n[exit code 0]"


async def test_long_output_shows_its_ends_and_the_rest_is_in_a_file(sandbox: Sandbox) -> None:
    found = await sandbox.call("bash", command="seq 100000")
    assert found.startswith("1\n2\n")
    assert "bytes left out" in found
    assert "\n100000\n[exit code 0]\n" in found
    path = found.rpartition("[the output: ")[2].rstrip("]")
    assert text_of(path) == "".join(f"{n}\n" for n in range(1, 100_001))
    assert (await sandbox.call("read_file", path=path, offset=99_999)).startswith("99999\t99999\n")


async def test_much_output_is_bounded_in_memory_and_on_disk(sandbox: Sandbox) -> None:
    found = await sandbox.call("bash", command="head -c 200000000 /dev/zero | tr '\\0' x")
    assert "199,970,000 bytes left out" in found
    assert "[the first 16 MiB of the output: " in found
    assert sum(path.stat().st_size for path in (sandbox.workspace / "tmp").iterdir()) == 16 * 2**20


async def test_binary_output_is_not_shown(sandbox: Sandbox) -> None:
    assert "(5,000 bytes of binary output are not shown)" in await sandbox.call(
        "bash", command="head -c 5000 /dev/urandom"
    )


async def test_a_command_that_takes_too_long_is_killed_with_all_that_it_started(sandbox: Sandbox) -> None:
    command = "(setsid sleep 1000 & echo $! >left); sleep 1000 & echo $! >group; trap '' TERM; wait"
    found = await sandbox.call("bash", command=command, timeout_s=0.5)
    assert found == "[killed after 0.5 s, with all that it started; raise timeout_s, or use `&`]"
    assert not is_alive(pid_in(sandbox.workspace / "left"))
    assert not is_alive(pid_in(sandbox.workspace / "group"))


async def test_processes_that_start_others_without_end_are_killed(sandbox: Sandbox) -> None:
    loop = "while :; do setsid -f sleep 0.5 >/dev/null; sleep 0.01; done"
    command = f"for i in 1 2 3 4 5; do setsid sh -c 'echo $$ >>pids; {loop}' & done; wait"
    assert "[killed after 1 s" in await sandbox.call("bash", command=command, timeout_s=1)
    pids = (sandbox.workspace / "pids").read_text().split()
    assert len(pids) == 5
    assert not any(is_alive(int(pid)) for pid in pids)


async def test_a_background_process_runs_until_the_turn_ends(sandbox: Sandbox) -> None:
    seen: list[object] = []

    async def act(call: Call) -> None:
        seen.append(await call("bash", command="sleep 1000 & echo $! >first"))
        seen.append(
            await call("bash", command="setsid -f sh -c 'echo $$ >second; exec sleep 1000'; sleep 0.2")
        )
        seen.extend(is_alive(pid_in(sandbox.workspace / name)) for name in ("first", "second"))

    await sandbox.turn(act)
    assert "[a process goes on in the background until your turn ends, and writes to that file]" in str(
        seen[0]
    )
    assert seen[2:] == [True, True]
    assert not any(is_alive(pid_in(sandbox.workspace / name)) for name in ("first", "second"))


async def test_stop_leaves_no_process(sandbox: Sandbox, world: World) -> None:
    async def act(call: Call) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_when_there)
            await call("bash", command="sh -c 'echo $$ >pid; echo >started; exec sleep 1000'", timeout_s=1000)

    async def stop_when_there() -> None:
        await trio.to_thread.run_sync(started.read_text)  # until the command writes to the pipe
        world.put(100, "/stop")

    started = sandbox.workspace / "started"
    os.mkfifo(started)

    await sandbox.turn(act)
    assert not is_alive(pid_in(sandbox.workspace / "pid"))


async def test_commands_of_one_turn_run_one_after_the_other(sandbox: Sandbox) -> None:
    async def act(call: Call) -> None:
        async with trio.open_nursery() as nursery:
            for n in range(5):
                command = f"echo start >>log; sleep 0.05; echo end{n} >>log"
                nursery.start_soon(lambda text: call("bash", command=text), command)

    await sandbox.turn(act)
    lines = (sandbox.workspace / "log").read_text().split()
    assert lines[::2] == ["start"] * 5
    assert all(line.startswith("end") for line in lines[1::2])


async def test_a_command_has_the_way_into_the_web_and_no_place_of_the_model(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NANOCLAW_MODEL_SOCKET", "/secret")
    found = await sandbox.call("bash", command="echo $HTTPS_PROXY; echo [$NANOCLAW_MODEL_SOCKET]")
    assert found == "http://127.0.0.1:9\n[]\n[exit code 0]"


async def test_without_a_sandbox_there_is_no_shell(world: World) -> None:
    world.put(2, '!bash {"command": "true"}')
    async with world.running():
        await world.until_acked("in-2")
    assert world.texts()[0].startswith("there is no tool 'bash'")


async def test_programs_cannot_call_the_shell_that_runs_them(sandbox: Sandbox) -> None:
    request = '{"call": {"name": "bash", "arguments": {"command": "true"}}}'
    code = f"""
import os, socket
with socket.socket(socket.AF_UNIX) as client:
    client.connect(os.environ["NANOCLAW_TOOLS_SOCKET"])
    client.sendall(b{request!r} + b"\\n")
    print(client.recv(4096).decode())
"""
    sandbox.file("ask.py", code)
    assert "bash is a tool of the agent loop alone" in await sandbox.call("bash", command="python3 ask.py")
