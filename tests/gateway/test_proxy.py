"""The core of the gateway without sockets, in virtual time, before scripted servers."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from math import inf

import pytest
import trio
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import CapturingLogger
from trio.testing import MockClock

from nanoclaw.gateway import (
    AnswerCut,
    Caller,
    Proxy,
    Request,
    SessionModels,
    UpstreamAnswer,
    UpstreamFailed,
    UpstreamRequest,
    proxy,
)
from nanoclaw.gateway.hiding import Hiding
from nanoclaw.gateway.limits import A_MINUTE, BURST, LOGGED_S, MAX_ANSWER, MOST_LOGGED, Room, RunnerLimits
from nanoclaw.gateway.proxy import MAX_PARSED, SPEND_S
from nanoclaw.gateway.refusals import Refused
from tests.gateway.stage import KEY, Book, model

SSE = ("content-type", "text/event-stream")
Body = Callable[[], AsyncGenerator[bytes]]


@define(eq=False)
class Scripted:
    """A server that sends the pieces of `body`."""

    body: Body
    delay_s: float = 0.0
    status: int = 200
    failure: str | None = None
    asked: list[UpstreamRequest] = Factory(list)
    ended: int = 0

    @asynccontextmanager
    async def ask(self, request: UpstreamRequest) -> AsyncIterator[UpstreamAnswer]:
        self.asked.append(request)
        await trio.sleep(self.delay_s)
        if self.failure is not None:
            raise UpstreamFailed(self.failure)
        body = self.body()
        try:
            yield UpstreamAnswer(self.status, [SSE], body)
        finally:
            self.ended += 1
            await body.aclose()


async def nothing() -> AsyncGenerator[bytes]:
    await trio.lowlevel.checkpoint()
    no: tuple[bytes, ...] = ()
    for chunk in no:
        yield chunk


def caller(timeout_s: float = 60.0, provider: str = "openai") -> Caller:
    return Caller("s1", "a1", SessionModels(model("http://server/v1", provider, timeout_s=timeout_s)))


def request(body: bytes = b"{}", method: str = "POST", target: str = "/model/chat/completions") -> Request:
    return Request(method, target, [("host", "gateway")], body)


async def asked(proxy: Proxy, who: Caller, what: Request) -> tuple[int, bytes]:
    async with proxy.handle(who, what) as answer:
        return answer.status, b"".join([chunk async for chunk in answer.body])


def kind(body: bytes) -> str:
    return str(json.loads(body)["error"]["type"])


async def test_a_server_that_sends_nothing_for_too_long_is_given_up(autojump_clock: MockClock) -> None:
    del autojump_clock
    server = Scripted(nothing, delay_s=600.0)
    status, body = await asked(Proxy(server), caller(timeout_s=90.0), request())
    assert (status, kind(body)) == (504, "nanoclaw_timeout")
    assert trio.current_time() == pytest.approx(90.0)
    assert "sent nothing for 90 s" in body.decode()


async def test_silence_counts_from_the_last_piece_and_cuts_the_answer(autojump_clock: MockClock) -> None:
    del autojump_clock

    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(5):
            await trio.sleep(50.0)
            yield b"data: {}\n\n"
        await trio.sleep(600.0)

    server, received = Scripted(pieces), list[bytes]()
    with pytest.raises(AnswerCut, match="sent nothing for 60 s"):
        async with Proxy(server).handle(caller(60.0), request()) as answer:
            received.extend([chunk async for chunk in answer.body])
    assert server.ended == 1
    assert trio.current_time() == pytest.approx(310.0)


async def test_the_time_that_a_runner_takes_to_read_is_not_silence(autojump_clock: MockClock) -> None:
    del autojump_clock

    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(3):
            await trio.sleep(1.0)
            yield b"data: {}\n\n"

    async with Proxy(Scripted(pieces)).handle(caller(10.0), request()) as answer:
        async for _ in answer.body:
            await trio.sleep(3600.0)
    assert trio.current_time() > 3 * 3600.0


async def test_an_answer_that_is_too_long_is_cut() -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        while True:
            await trio.lowlevel.checkpoint()
            yield b"x" * (8 << 20)

    sizes = list[int]()
    with pytest.raises(AnswerCut, match="more than 64 MiB"):
        async with Proxy(Scripted(pieces)).handle(caller(), request()) as answer:
            sizes.extend([len(chunk) async for chunk in answer.body])
    assert sum(sizes) <= MAX_ANSWER


async def test_a_budget_that_is_used_up_stops_answers_and_nothing_else() -> None:
    server = Scripted(nothing)
    limited = Proxy(server, Book("the budget for today is used up"))
    status, body = await asked(limited, caller(), request())
    assert (status, kind(body), server.asked) == (402, "nanoclaw_budget", [])
    assert "the budget for today is used up" in body.decode()
    assert (await asked(limited, caller(), request(method="GET", target="/model/models")))[0] == 200


async def test_an_answer_is_counted_when_it_ends_and_when_its_runner_ends() -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        await trio.lowlevel.checkpoint()
        yield b'data: {"model": "m-1", "usage": {"prompt_tokens": 5, "completion_tokens": 7}}\n\n'
        await trio.sleep_forever()

    book = Book()
    with trio.CancelScope() as scope:
        async with Proxy(Scripted(pieces), book).handle(caller(), request()) as answer:
            async for _ in answer.body:
                scope.cancel()
    [usage] = book.spendings
    assert (usage.model, usage.input_tokens, usage.output_tokens) == ("m-1", 5, 7)
    assert (usage.session_id, usage.agent_group_id, usage.provider) == ("s1", "a1", "openai")


async def test_a_runner_that_leaves_before_the_counts_come_is_charged_for_its_request() -> None:
    async def piece() -> AsyncGenerator[bytes]:
        await trio.lowlevel.checkpoint()
        yield b'data: {"choices": [{"delta": {"content": "well"}}]}\n\n'
        await trio.sleep_forever()

    picture = {"type": "base64", "media_type": "image/png", "data": "A" * 3200}
    parts = ["x" * 4000, f"data:image/png;base64,{'A' * 3200}", picture]
    large = request(json.dumps({"model": "m", "parts": parts}).encode())
    book = Book()
    for delay_s in (0.0, inf):
        with trio.move_on_after(0.1):
            async with Proxy(Scripted(piece, delay_s=delay_s), book).handle(caller(), large) as answer:
                async for _ in answer.body:
                    pass
    early, waiting = [(usage.model, usage.input_tokens, usage.output_tokens) for usage in book.spendings]
    assert (early, waiting) == (("m", 1217, 1), ("m", 1217, 0))


async def test_a_server_that_names_the_key_as_its_model_does_not_have_it_recorded() -> None:
    async def named() -> AsyncGenerator[bytes]:
        await trio.lowlevel.checkpoint()
        yield f'data: {{"model": "{KEY}", "usage": {{"prompt_tokens": 5}}}}\n\n'.encode()

    book = Book()
    await asked(Proxy(Scripted(named), book), caller(), request())
    assert [(usage.model, usage.input_tokens) for usage in book.spendings] == [("*" * len(KEY), 5)]


async def test_a_meter_that_hangs_holds_up_nobody_for_long(autojump_clock: MockClock) -> None:
    del autojump_clock

    class Hanging(Book):
        async def spent(self, usage: object, pause: object = None, /) -> None:
            del usage, pause
            await trio.sleep_forever()

    assert (await asked(Proxy(Scripted(nothing), Hanging()), caller(), request()))[0] == 200
    assert trio.current_time() == pytest.approx(SPEND_S)


async def test_errors_of_the_server_and_requests_for_lists_are_not_counted() -> None:
    book = Book()
    await asked(Proxy(Scripted(nothing, status=500), book), caller(), request())
    await asked(Proxy(Scripted(nothing, failure="down"), book), caller(), request())
    await asked(Proxy(Scripted(nothing), book), caller(), request(method="GET", target="/model/models"))
    assert book.spendings == []


async def test_no_line_of_the_log_has_the_key_or_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        await trio.lowlevel.checkpoint()
        yield f'data: {{"text": "private {KEY}"}}\n\n'.encode()

    log = CapturingLogger()
    monkeypatch.setattr(proxy, "_log", log)
    await asked(Proxy(Scripted(pieces)), caller(), request(b'{"messages": "private"}'))
    await asked(Proxy(Scripted(nothing, failure="it is down")), caller(), request())
    assert [line.args for line in log.calls] == [("gateway.request",), ("gateway.refused",)]
    assert "it is down" in str(log.calls)
    assert "private" not in str(log.calls)
    assert KEY not in str(log.calls)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b'{"stream": false}',
        b'{"stream": true, "stream_options": {"include_usage": true}}',
    ],
)
async def test_a_request_that_needs_no_change_is_sent_as_it_is(body: bytes) -> None:
    server = Scripted(nothing)
    await asked(Proxy(server), caller(), request(body))
    assert server.asked[0].body == body


async def test_a_stream_is_asked_for_its_usage_and_keeps_its_other_options() -> None:
    server = Scripted(nothing)
    body = '{"stream": true, "stream_options": {"x": 1}, "messages": ["ä\\ud83d"]}'
    await asked(Proxy(server), caller(), request(body.encode()))
    sent = json.loads(server.asked[0].body.decode(errors="surrogatepass"))
    assert sent["stream_options"] == {"x": 1, "include_usage": True}
    assert sent["messages"] == ["ä\ud83d"]


async def test_a_large_request_is_not_parsed_since_that_would_stop_the_host() -> None:
    server, book = Scripted(nothing), Book()
    body = b'{"stream": true, "model": "other", "x": [' + b"[]," * MAX_PARSED + b"[]]}"
    await asked(Proxy(server, book), caller(), request(body))
    assert server.asked[0].body is body
    [usage] = book.spendings
    assert (usage.model, usage.input_tokens) == ("a-model", len(body) // 4 + 1)


async def test_the_rate_recovers_with_time(autojump_clock: MockClock) -> None:
    del autojump_clock
    limits = RunnerLimits()

    async def admitted() -> int:
        count = 0
        with suppress(Refused):
            while count < 1000:
                with limits.admitted(trio.current_time()):
                    count += 1
        return count

    assert await admitted() == BURST
    await trio.sleep(5.0)
    assert await admitted() == A_MINUTE // 60 * 5
    await trio.sleep(3600.0)
    assert await admitted() == BURST


def test_a_runner_has_room_of_its_own_within_that_of_all() -> None:
    everybody = Room(100)
    one, other = Room(80, everybody), Room(80, everybody)
    one.take(80)
    for room, size in ((one, 1), (other, 21)):
        with pytest.raises(Refused, match="too many large requests"):
            room.take(size)
    other.take(20)
    one.give(80)
    other.take(60)


@given(st.text("ab", min_size=8, max_size=12), st.lists(st.text("ab", max_size=9), max_size=12))
def test_a_key_is_hidden_however_it_is_cut_and_nothing_else_is_lost(key: str, chunks: list[str]) -> None:
    hiding, text = Hiding(key), "".join(chunks)
    shown = b"".join(hiding.feed(chunk.encode()) for chunk in chunks) + hiding.end()
    assert len(shown) == len(text)
    assert key.encode() not in shown
    if key not in text:
        assert shown.decode() == text


async def test_a_runner_that_is_refused_again_and_again_does_not_fill_the_log(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    del autojump_clock
    log = CapturingLogger()
    monkeypatch.setattr(proxy, "_log", log)
    who, wrong = caller(), request(target="/elsewhere")
    for pause_s in [0.0] * (MOST_LOGGED + 5) + [LOGGED_S]:
        await trio.sleep(pause_s)
        await asked(Proxy(Scripted(nothing)), who, wrong)
    assert [line.kwargs["not_logged"] for line in log.calls] == [*[0] * MOST_LOGGED, 5]


@pytest.mark.parametrize("form", ["sk/a+b==", r"sk\/a+b==", r"sk/a+b\u003d\u003d", "sk%2Fa%2Bb%3D%3D"])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_key_is_hidden_in_each_form_in_which_servers_repeat_it(form: str, size: int) -> None:
    hiding, data = Hiding("sk/a+b=="), f"<{form}>".encode()
    pieces = [hiding.feed(data[start : start + size]) for start in range(0, len(data), size)]
    assert b"".join([*pieces, hiding.end()]) == f"<{'*' * len(form)}>".encode()


@pytest.mark.parametrize("key", ["", "ollama", "none"])
def test_a_placeholder_is_no_secret(key: str) -> None:
    hiding = Hiding(key)
    assert hiding.feed(b"ask ollama or none") + hiding.end() == b"ask ollama or none"
