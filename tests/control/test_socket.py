"""The control socket: access, requests, and the effect of one client on others."""

import json
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.control import connection, listener, wire
from nanoclaw.control.address import NAME, socket_path
from nanoclaw.control.peers import uid_of_peer
from nanoclaw.system.sockets import nameable
from tests.control.clients import GUARD_S, RawClient, connected, listening, silent


async def test_the_socket_is_private_to_its_user_and_removed_with_the_host(tmp_path: Path) -> None:
    async with listening(tmp_path):
        mode = socket_path(tmp_path).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not socket_path(tmp_path).exists()


async def test_the_socket_of_a_dead_host_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead, nameable(socket_path(tmp_path)) as name:
        dead.bind(name)
    async with listening(tmp_path), connected(tmp_path) as client:
        assert (await client.ask("tree"))["name"] == "host"


async def test_another_file_of_that_name_is_left_alone_and_the_host_keeps_running(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("mine")
    with structlog.testing.capture_logs() as logs:
        async with listening(tmp_path, usable=False) as opened:
            assert opened.node.state == "buried"
    [buried] = [log for log in logs if log["event"] == "actor.buried"]
    assert buried["reason"].endswith(
        "control.sock: the control socket cannot be made: it is not a socket; move it away"
    )
    assert (tmp_path / NAME).read_text() == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the path has to fit")
async def test_a_long_path_to_the_data_directory_works(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 40) / ("longer" * 20)
    data.mkdir(parents=True)
    async with listening(data), connected(data) as client:
        assert (await client.ask("tree"))["name"] == "host"


# -- access -----------------------------------------------------------


async def test_the_kernel_identifies_the_client() -> None:
    left, right = trio.socket.socketpair()
    with left, right:
        assert uid_of_peer(left) == os.geteuid()


async def test_another_user_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "uid_of_peer", lambda _: 4711)
    async with listening(tmp_path), silent(tmp_path) as stream:
        client = RawClient(stream)
        assert await client.error() == {
            "id": None,
            "code": "forbidden",
            "message": "this host is not that of user 4711",
        }
        await client.ended()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_a_process_of_another_user_is_refused(tmp_path: Path) -> None:
    program = (
        "import os, socket; os.setgid(65534); os.setuid(65534)\n"
        f"peer = socket.socket(socket.AF_UNIX); peer.connect('/proc/self/cwd/{NAME}')\n"
        "print(peer.recv(1000).decode())"
    )
    async with listening(tmp_path):
        socket_path(tmp_path).chmod(0o666)  # no client should do this
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_mode & 0o005 != 0o005:
                folder.chmod(0o755)
        done = await trio.run_process([sys.executable, "-c", program], cwd=tmp_path, capture_stdout=True)
    assert json.loads(done.stdout)["error"]["code"] == "forbidden"


async def test_clients_beyond_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_CLIENTS", 2)
    async with listening(tmp_path), connected(tmp_path), connected(tmp_path), silent(tmp_path) as third:
        assert (await RawClient(third).error())["code"] == "busy"


# -- requests ------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "id_", "message"),
    [
        (b"hello", None, "this line is not JSON: "),
        (b"\xff\xfe\xfd", None, "this line is not JSON: "),
        (b"[" * 100_000, None, "this line is not JSON: "),
        (b"[1]", None, "this line is a JSON list, not an object"),
        (b'{"v": 1, "method": "tree"}', None, "id: must be a text or number"),
        (b'{"v": 1, "id": true, "method": "tree"}', None, "id: must be a text or number"),
        (b'{"v": 1, "id": "%s", "method": "tree"}' % (b"x" * 101), None, "id: must be a text or number"),
        (b'{"v": 2, "id": 5, "method": "tree"}', 5, "v: this host speaks version 1 of the protocol"),
        (
            b'{"v": 1, "id": "a", "method": "nap"}',
            "a",
            "method: must be status, tree, chat, listen, shown, logs, names, confirmation or an operation",
        ),
        (
            b'{"v": 1, "id": "a", "method": 1}',
            "a",
            "the request must have a method (text) and params (object)",
        ),
        (b'{"v": 1, "id": "a", "method": "chat"}', "a", "required field missing @ params.text"),
        (b'{"v": 1, "id": "a", "method": "chat", "params": {"text": 5}}', "a", "params.text"),
        (
            b'{"v": 1, "id": "a", "method": "tree", "params": {"x": 1}}',
            "a",
            "extra fields found (x) @ params",
        ),
        (b'{"v": 1, "id": "a", "method": "logs", "params": {"last": true}}', "a", "params.last"),
    ],
)
async def test_a_malformed_request_gets_an_error_and_the_next_one_is_served(
    tmp_path: Path, line: bytes, id_: Any, message: str
) -> None:
    async with listening(tmp_path), connected(tmp_path) as client:
        await client.send_raw(line + b"\n")
        error = await client.error()
        assert (error["id"], error["code"]) == (id_, "bad_request")
        assert message in error["message"]
        assert await client.ask("tree")


async def test_a_request_that_is_too_long_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_REQUEST", 1000)
    async with listening(tmp_path), connected(tmp_path) as client:
        await client.send_raw(b"x" * 200_000 + b"\n")
        assert (await client.error())["code"] == "too_long"
        assert await client.ask("tree")


async def test_a_message_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_TEXT", 10)
    async with listening(tmp_path) as opened, connected(tmp_path) as client:
        await client.send(1, "chat", text="é" * 6)
        assert (await client.error())["code"] == "too_long"
        assert opened.echo.offered == []


def hostile_lines() -> st.SearchStrategy[bytes]:
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )
    methods = st.sampled_from(["status", "tree", "chat", "listen", "logs"]) | st.text(max_size=8)
    params = json_values | st.fixed_dictionaries(
        {},
        optional={
            "text": json_values,
            "last": json_values,
            "session": json_values,
            "follow": st.booleans() | json_values,
        },
    )
    requests = st.fixed_dictionaries(
        {"v": st.just(1) | json_values, "id": st.integers() | json_values, "method": methods},
        optional={"params": params},
    )
    return st.one_of(st.binary(max_size=200), requests.map(lambda r: json.dumps(r).encode()))


@settings(max_examples=40, deadline=None)
@given(lines=st.lists(hostile_lines(), max_size=8), end=st.binary(max_size=50))
def test_the_next_client_is_served_whatever_earlier_clients_send(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes
) -> None:
    async def main() -> None:
        data = tmp_path_factory.getbasetemp()
        async with listening(data) as opened:
            async with silent(data) as hostile:
                await hostile.send_all(b"".join(line + b"\n" for line in lines) + end)
                await hostile.send_eof()
                with trio.fail_after(GUARD_S):
                    await RawClient(hostile).ended()
            async with connected(data) as client:
                await client.send("own", "chat", text="hello")
                assert (await client.message())[1] == "echo: hello"
            assert opened.node.last_crash is None

    trio.run(main)


# -- effect on other clients ------------------------------------------------------


async def test_a_client_that_does_not_read_is_disconnected_and_delays_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STALL_S", 0.05)
    async with listening(tmp_path) as opened, silent(tmp_path) as deaf, connected(tmp_path) as client:
        for number in range(3000):
            opened.ring.add(None, "info", {"event": f"{number}", "text": "x" * 1000})
        await deaf.send_all(
            json.dumps({"v": 1, "id": 1, "method": "logs", "params": {"last": 3000}}).encode() + b"\n"
        )
        assert await client.ask("tree")
        while opened.node.state == "running":
            try:
                await deaf.send_all(b"\n")
            except trio.BrokenResourceError:
                break
        assert await client.ask("tree")


async def test_a_client_that_disconnects_during_its_request_is_forgotten(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened, connected(tmp_path) as client:
        async with connected(tmp_path) as leaving:
            await leaving.send(1, "logs", follow=True)
            await leaving.send_raw(b'{"v": 1, "id"')
        await client.send(1, "chat", text="hello")
        assert await client.message() == (1, "echo: hello")
        assert opened.node.last_crash is None


# -- the log -------------------------------------------------------------------


async def test_the_log_is_sent_and_followed_and_filtered_by_session(tmp_path: Path) -> None:
    async with listening(tmp_path) as opened, connected(tmp_path) as client:
        for session in ("sess-a", "sess-b", None):
            opened.ring.add(None, "info", {"event": "old", "session": session})
        await client.send(7, "logs", session="sess-a", follow=True, last=10)
        assert (await client.receive())["event"]["session"] == "sess-a"
        opened.ring.add(None, "info", {"event": "new", "session": "sess-b"})
        opened.ring.add(None, "info", {"event": "new", "session": "sess-a"})
        answer = await client.receive()
        assert answer["id"] == 7
        assert (answer["event"]["event"], answer["event"]["session"]) == ("new", "sess-a")


async def test_a_client_may_follow_only_a_few_logs_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_FOLLOWED", 1)
    async with listening(tmp_path), connected(tmp_path) as client:
        await client.send(1, "logs", follow=True)
        await client.send(2, "logs", follow=True)
        assert await client.error() == {
            "id": 2,
            "code": "busy",
            "message": "a client may follow 1 times at once",
        }
