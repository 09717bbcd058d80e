"""The gateway over real sockets, before a real server: streams, errors, hostile runners, its restarts."""

import json
import math
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import trio
from structlog.testing import CapturingLogger
from trio.testing import wait_all_tasks_blocked

from agent_runner.system import HttpxClients
from nanoclaw.gateway import Caller, DoorFailed, SessionModels, doors, proxy, serving
from nanoclaw.gateway.doors import MAX_CONNECTIONS
from nanoclaw.gateway.limits import MAX_AT_ONCE, MAX_BODY, RunnerLimits
from nanoclaw.gateway.serving import MOST_SMALL_PIECES
from tests.gateway.stage import KEY, Stage, a_stage, model
from tests.gateway.upstreams import Asked, Reply, open_upstream

POST = b"POST /model/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: %d\r\n\r\n"
CHAT = "http://gateway/model/chat/completions"
MESSAGES = "http://gateway/model/v1/messages"


async def hello(_asked: Asked, reply: Reply) -> None:
    await reply.whole(b'{"hello": "world"}')


def error(response: httpx2.Response) -> tuple[int, str]:
    found = json.loads(response.content)["error"]
    assert found["message"]
    return response.status_code, found["type"]


# -- what is sent -------------------------------------------------------------------


async def test_an_openai_server_gets_the_key_as_a_bearer_and_nothing_of_the_runner_s(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        client = await stage.client()
        own = {
            "authorization": "Bearer mine",
            "x-api-key": "mine",
            "api-key": "mine",
            "cookie": "a=mine",
            "proxy-authorization": "mine",
            "x-stainless-lang": "python",
        }
        response = await client.post(CHAT, json={"model": "m"}, headers=own)
    [asked] = stage.upstream.asked
    assert response.json() == {"hello": "world"}
    assert (asked.method, asked.target) == ("POST", "/v1/chat/completions")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["x-stainless-lang"] == "python"
    assert asked.headers["host"] == f"127.0.0.1:{stage.upstream.port}"
    assert "mine" not in str(asked.headers)


async def test_an_anthropic_server_gets_the_key_in_its_own_header(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello, "anthropic") as stage:
        client = await stage.client()
        headers = {"x-api-key": "dummy", "anthropic-version": "2023-06-01"}
        await client.post(f"{MESSAGES}?beta=true", json={"model": "m"}, headers=headers)
    [asked] = stage.upstream.asked
    assert (asked.headers["x-api-key"], asked.target) == (KEY, "/v1/messages?beta=true")
    assert "authorization" not in asked.headers
    assert asked.headers["anthropic-version"] == "2023-06-01"


async def test_a_server_without_a_key_gets_no_credential(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        client = await stage.client(models=SessionModels(model(f"{stage.upstream.url}/v1", key=False)))
        await client.post(CHAT, json={}, headers={"authorization": "Bearer dummy"})
    assert "authorization" not in stage.upstream.asked[0].headers


async def test_no_cookie_of_a_server_reaches_a_runner_or_another_session(tmp_path: Path) -> None:
    async def answer(_asked: Asked, reply: Reply) -> None:
        await reply.whole(b"{}", headers=[("set-cookie", "a=b"), ("x-request-id", "1"), ("location", "/x")])

    async with a_stage(tmp_path, answer) as stage:
        for session in ("s1", "s2"):
            response = await (await stage.client(session)).post(CHAT, json={})
            assert (response.headers.get("set-cookie"), response.headers["x-request-id"]) == (None, "1")
            assert "location" not in response.headers
    assert all("cookie" not in asked.headers for asked in stage.upstream.asked)


# -- streams ------------------------------------------------------------------------


async def test_a_stream_is_passed_on_piece_by_piece(tmp_path: Path) -> None:
    seen = [trio.Event() for _ in range(3)]

    async def answer(_asked: Asked, reply: Reply) -> None:
        await reply.start(headers=[("content-type", "text/event-stream")])
        for n, event in enumerate(seen):
            await reply.send(f"data: {n}\n\n".encode())
            await event.wait()  # the next piece comes only when the runner has this one
        await reply.end()

    async with a_stage(tmp_path, answer) as stage:
        client = await stage.client()
        async with client.stream("POST", CHAT, json={"stream": True}) as response:
            pieces = []
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                seen[len(pieces) - 1].set()
    assert pieces == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
    assert json.loads(stage.upstream.asked[0].body)["stream_options"] == {"include_usage": True}


async def test_a_runner_that_goes_away_ends_the_request_at_the_server_at_once(tmp_path: Path) -> None:
    begun, gone = trio.Event(), trio.Event()

    async def answer(_asked: Asked, reply: Reply) -> None:
        await reply.start(headers=[("content-type", "text/event-stream")])
        await reply.send(b'data: {"choices": [{"delta": {"content": "12345678"}}]}\n\n')
        begun.set()
        await reply.gone()
        gone.set()

    async with a_stage(tmp_path, answer) as stage:
        await stage.client()
        async with await stage.connection() as stream:
            body = b'{"stream": true, "model": "m"}'
            await stream.send_all(POST % len(body) + body)
            await begun.wait()
            await stream.receive_some(65536)
        await gone.wait()
        await stage.meter.told.wait()
    [spent] = stage.meter.spendings
    assert (spent.session_id, spent.provider, spent.model, spent.output_tokens) == ("s1", "openai", "m", 2)


async def test_a_runner_that_goes_away_before_the_answer_ends_the_request_too(tmp_path: Path) -> None:
    asked, gone = trio.Event(), trio.Event()

    async def answer(_asked: Asked, reply: Reply) -> None:
        asked.set()
        await reply.gone()
        gone.set()

    async with a_stage(tmp_path, answer) as stage:
        await stage.client()
        stream = await stage.connection()
        await stream.send_all(
            b"POST /model/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: 2\r\n\r\n{}"
        )
        await asked.wait()
        await stream.aclose()
        await gone.wait()


async def test_a_server_waits_for_a_runner_that_does_not_read(tmp_path: Path) -> None:
    sent = 0

    async def answer(_asked: Asked, reply: Reply) -> None:
        nonlocal sent
        await reply.start()
        for _ in range(300):
            await reply.send(b"x" * 100_000)
            sent += 1
        await reply.end()

    async with a_stage(tmp_path, answer) as stage:
        client = await stage.client()
        async with client.stream("POST", CHAT, json={}) as response:
            await wait_all_tasks_blocked(0.05)
            assert 0 < sent < 200
            assert sum([len(chunk) async for chunk in response.aiter_bytes()]) == 30_000_000


async def test_a_stream_that_is_cut_is_cut_for_the_runner_and_counted(tmp_path: Path) -> None:
    async def answer(_asked: Asked, reply: Reply) -> None:
        await reply.start(headers=[("content-type", "text/event-stream")])
        await reply.send(b'data: {"choices": [{"delta": {"content": "12345678"}}]}\n\n')
        await reply.cut()

    async with a_stage(tmp_path, answer) as stage:
        client = await stage.client()
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post(CHAT, json={"stream": True})
        await stage.meter.told.wait()
    assert stage.meter.spendings[0].output_tokens == 2


async def test_a_key_that_a_server_repeats_is_hidden_also_across_pieces(tmp_path: Path) -> None:
    async def answer(asked: Asked, reply: Reply) -> None:
        shown = asked.headers["authorization"].encode()
        await reply.start(401, [("content-type", "application/json"), ("x-key", shown.decode())])
        for start in range(0, len(shown), 5):
            await reply.send(shown[start : start + 5])
        await reply.send(b" sk-sec")
        await reply.end()

    async with a_stage(tmp_path, answer) as stage:
        response = await (await stage.client()).post(CHAT, json={})
    hidden = f"Bearer {'*' * len(KEY)}"
    assert (response.status_code, response.text) == (401, f"{hidden} sk-sec")
    assert response.headers["x-key"] == hidden


# -- errors -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500, 529])
async def test_an_error_of_the_server_is_passed_on_as_it_is(tmp_path: Path, status: int) -> None:
    async def answer(_asked: Asked, reply: Reply) -> None:
        await reply.whole(b'{"error": {"message": "no"}}', status, [("retry-after", "7")])

    async with a_stage(tmp_path, answer) as stage:
        response = await (await stage.client()).post(CHAT, json={})
    assert (response.status_code, response.headers["retry-after"]) == (status, "7")
    assert response.json() == {"error": {"message": "no"}}
    assert stage.meter.spendings == []


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        client = await stage.client(models=SessionModels(model("http://127.0.0.1:9/v1")))
        response = await client.post(CHAT, json={})
    assert error(response) == (502, "nanoclaw_upstream")
    assert "http://127.0.0.1:9/v1 cannot be reached" in response.text


async def test_an_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        client = await stage.client(models=SessionModels(model(f"https://127.0.0.1:{stage.upstream.port}")))
        assert error(await client.post(CHAT, json={})) == (502, "nanoclaw_upstream")
    assert stage.upstream.asked == []


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async def answer(_asked: Asked, reply: Reply) -> None:
        await reply.whole(b"", 302, [("location", "http://127.0.0.1:9/elsewhere")])

    async with a_stage(tmp_path, answer) as stage:
        response = await (await stage.client()).post(CHAT, json={})
    assert error(response) == (502, "nanoclaw_upstream")
    assert len(stage.upstream.asked) == 1


async def test_a_connection_that_the_server_closed_while_idle_costs_no_request(tmp_path: Path) -> None:
    async def answer(asked: Asked, reply: Reply) -> None:
        if len(stage.upstream.asked) == 2 and stage.upstream.connections == 1:
            await reply.cut()  # as if it had closed the connection before this request came
        else:
            await hello(asked, reply)

    async with a_stage(tmp_path, answer) as stage:
        client = await stage.client()
        answers = [await client.post(CHAT, json={}) for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200]
    assert stage.upstream.connections == 2


async def test_a_request_that_a_server_ends_without_an_answer_is_not_repeated(tmp_path: Path) -> None:
    async def answer(_asked: Asked, reply: Reply) -> None:
        await reply.cut()

    async with a_stage(tmp_path, answer) as stage:
        assert error(await (await stage.client()).post(CHAT, json={})) == (502, "nanoclaw_upstream")
    assert len(stage.upstream.asked) == 1


# -- hostile runners ----------------------------------------------------------------


async def said(stage: Stage, request: bytes) -> bytes:
    """Send bytes, and return what comes back until the gateway closes the connection."""
    stream = await stage.connection()
    async with stream:
        await stream.send_all(request)
        answer = b""
        while chunk := await stream.receive_some(65536):
            answer += chunk
        return answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET /model/models HTTP/1.1\r\nhost: gateway\r\nx: " + b"x" * 100_000, b"431"),
        (b"POST /model/chat/completions HTTP/1.1\r\n\r\n", b"400"),
        (
            b"GET /model/models HTTP/1.1\r\nhost: gateway\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            b"400",
        ),
        (b"GET /model/models HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: x\r\n\r\n", b"501"),
    ],
)
async def test_what_is_not_http_ends_its_own_connection(
    tmp_path: Path, request_: bytes, status: bytes
) -> None:
    async with a_stage(tmp_path, hello) as stage:
        client = await stage.client()
        assert (await said(stage, request_)).split(b" ")[1] == status
        assert (await client.post(CHAT, json={})).status_code == 200


async def test_a_request_in_many_small_pieces_is_refused_since_each_takes_time(tmp_path: Path) -> None:
    head = b"POST /model/chat/completions HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n"
    small, large = b"1\r\n \r\n" * (MOST_SMALL_PIECES + 1), b"400\r\n%s\r\n" % (b" " * 1024)
    async with a_stage(tmp_path, hello) as stage:
        await stage.client()
        assert (await said(stage, head + small)).split(b" ")[1] == b"403"
        assert stage.upstream.asked == []
        stream = await stage.connection()
        async with stream:
            await stream.send_all(head + large * 500 + b"2\r\n{}\r\n0\r\n\r\n")
            assert (await stream.receive_some(100)).split(b" ")[1] == b"200"


async def test_a_request_that_is_too_large_is_refused_before_the_server_is_asked(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        stage_client = await stage.client()
        head = b"POST /model/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: %d\r\n\r\n"
        stream = await stage.connection()
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(_send, stream, head % (MAX_BODY + 1) + b"x" * (MAX_BODY + 1))
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += await stream.receive_some(65536)
            nursery.cancel_scope.cancel()
        assert answer.split(b" ")[1] == b"413"
        assert (await stage_client.post(CHAT, json={})).status_code == 200
    assert len(stage.upstream.asked) == 1


async def _send(stream: trio.SocketStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # refused before the end
        await stream.send_all(data)


async def test_a_runner_that_sends_much_on_many_connections_is_refused(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        client, other = await stage.client("s1"), await stage.client("s2")
        held = [await stage.connection() for _ in range(2)]
        async with trio.open_nursery() as nursery:
            for stream in held:
                nursery.start_soon(stream.send_all, POST % MAX_BODY + b"x" * (MAX_BODY - 1))
        await wait_all_tasks_blocked(0.05)
        assert error(await client.post(CHAT, json={"model": "m"})) == (429, "nanoclaw_rate")
        assert (await other.post(CHAT, json={"model": "m"})).status_code == 200
        for stream in held:
            await stream.aclose()
        await wait_all_tasks_blocked(0.05)
        assert (await client.post(CHAT, json={"model": "m"})).status_code == 200


async def test_a_runner_has_so_many_requests_at_a_time_and_no_more(tmp_path: Path) -> None:
    go, running = trio.Event(), trio.Event()

    async def answer(asked: Asked, reply: Reply) -> None:
        if len(stage.upstream.asked) == MAX_AT_ONCE:
            running.set()
        await go.wait()
        await hello(asked, reply)

    async with a_stage(tmp_path, answer) as stage:
        client, other = await stage.client("s1"), await stage.client("s2")
        async with trio.open_nursery() as nursery:
            for _ in range(MAX_AT_ONCE):
                nursery.start_soon(lambda: client.post(CHAT, json={}))
            await running.wait()
            response = await client.post(CHAT, json={})
            assert error(response) == (429, "nanoclaw_rate")
            assert response.headers["retry-after"] == "1"
            go.set()
            assert (await other.post(CHAT, json={})).status_code == 200


async def test_a_runner_that_asks_too_often_is_told_when_to_ask_again(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        used_up = Caller(
            "s1", "agent", stage.default, RunnerLimits(tokens=0.0, since=trio.current_time() + 60)
        )
        path = stage.socket("s1")
        async with stage.gateway.door(path, used_up), HttpxClients(path).open() as client:
            response = await client.request("GET", "http://gateway/model/models")
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")


async def test_a_runner_has_so_many_connections_and_no_more(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        await stage.client()
        held = [await stage.connection() for _ in range(MAX_CONNECTIONS)]
        await wait_all_tasks_blocked()
        assert await said(stage, b"") == b""
        for stream in held:
            await stream.aclose()


async def test_what_a_runner_sends_early_is_the_next_request(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        await stage.client()
        one = b"GET /model/models HTTP/1.1\r\nhost: gateway\r\n\r\n"
        answer = await said(stage, one + one + one.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert answer.count(b"HTTP/1.1 200") == 3


async def test_a_program_that_asks_first_may_send_its_body(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        await stage.client()
        stream = await stage.connection()
        async with stream:
            await stream.send_all(
                b"POST /model/chat/completions HTTP/1.1\r\nhost: gateway\r\nexpect: 100-continue\r\n"
                b"content-length: 2\r\n\r\n"
            )
            assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 100")
            await stream.send_all(b"{}")
            assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("end", ["another request", "the runner leaves"])
async def test_usage_counts_at_once_and_is_written_when_the_turn_has_had_time_to_end(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RECORD_AFTER_S", math.inf)
    async with a_stage(tmp_path, hello) as stage:
        client = await stage.client()
        await client.post(CHAT, json={})
        await stage.meter.told.wait()
        assert (len(stage.meter.spendings), stage.meter.written) == (1, [])
        if end == "another request":
            await client.post(CHAT, json={})
            assert len(stage.meter.written) == 1
    assert stage.meter.written == stage.meter.spendings


# -- doors --------------------------------------------------------------------------


async def test_each_runner_asks_its_own_model_and_is_counted_alone(tmp_path: Path) -> None:
    async def other(_asked: Asked, reply: Reply) -> None:
        await reply.whole(b'{"other": 1}')

    async with open_upstream(other) as second, a_stage(tmp_path, hello) as stage:
        one = await stage.client("s1")
        two = await stage.client("s2", SessionModels(model(f"{second.url}/v1")))
        assert (await one.post(CHAT, json={})).json() == {"hello": "world"}
        assert (await two.post(CHAT, json={})).json() == {"other": 1}
        folder, socket = (
            path.stat().st_mode & 0o777 for path in (stage.socket("s1").parent, stage.socket("s1"))
        )
    assert [each.session_id for each in stage.meter.spendings] == ["s1", "s2"]
    assert (folder, socket) == (0o700, 0o666)


async def test_a_door_is_gone_when_its_runner_is(tmp_path: Path) -> None:
    begun, gone = trio.Event(), trio.Event()

    async def answer(_asked: Asked, reply: Reply) -> None:
        begun.set()
        await reply.gone()
        gone.set()

    async with a_stage(tmp_path, answer) as stage:
        path = stage.socket("s1")
        async with stage.gateway.door(path, stage.caller("s1")):
            stream = await stage.connection("s1")
            await stream.send_all(b"GET /model/models HTTP/1.1\r\nhost: gateway\r\n\r\n")
            await begun.wait()
        await gone.wait()
        assert not path.exists()
        async with stream:
            assert await stream.receive_some(10) == b""


async def test_a_stale_socket_is_replaced_and_anything_else_is_left_alone(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        for session in ("s1", "s2"):
            stage.socket(session).parent.mkdir(parents=True)
        [dead] = [trio.socket.socket(trio.socket.AF_UNIX)]
        await dead.bind(str(stage.socket("s1")))
        dead.close()
        assert (await (await stage.client("s1")).post(CHAT, json={})).status_code == 200
        stage.socket("s2").write_text("mine")
        with pytest.raises(DoorFailed, match="it is not a socket; move it away"):
            await stage.client("s2")
        assert stage.socket("s2").read_text() == "mine"


async def test_a_path_that_is_too_long_for_a_socket_is_served_all_the_same(tmp_path: Path) -> None:
    async with a_stage(tmp_path / ("x" * 120), hello) as stage:
        assert (await (await stage.client()).post(CHAT, json={})).status_code == 200


async def test_a_bug_ends_one_connection_and_its_log_line_has_no_local_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_target: object, _request: object, _key: str) -> None:
        raise RuntimeError("a bug")

    log = CapturingLogger()
    monkeypatch.setattr(doors, "_log", log)
    async with a_stage(tmp_path, hello) as stage:
        client = await stage.client()
        with monkeypatch.context() as patch:
            patch.setattr(proxy, "_upstream_request", broken)
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.post(CHAT, json={})
        assert (await client.post(CHAT, json={})).status_code == 200
    [line] = log.calls
    assert isinstance(
        line.kwargs["exception"], str
    )  # an exception would be rendered, with a key among its locals
    assert "a bug" in line.kwargs["exception"]
    assert len(stage.meter.spendings) == 1


async def test_open_doors_come_back_when_the_actor_crashes(tmp_path: Path) -> None:
    async with a_stage(tmp_path, hello) as stage:
        client = await stage.client()
        assert (await client.post(CHAT, json={})).status_code == 200
        stage.crash()
        while True:
            try:
                response = await client.post(CHAT, json={})
            except httpx2.TransportError:
                await trio.lowlevel.checkpoint()
                continue
            break
        assert response.status_code == 200
        assert (await (await stage.client("s2")).post(CHAT, json={})).status_code == 200
