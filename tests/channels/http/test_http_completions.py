"""The official `openai` client speaks with agents, unmodified."""

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from nanoclaw.channels.http import awaiting
from nanoclaw.channels.http.awaiting import Awaiting
from nanoclaw.records import Address, InboundEvent, Option, QuestionContent, Routed
from nanoclaw.testing.conformance.exchanges import Host
from tests.channels.http.http_under_test import KEYS, Api, open_api

# The client does not close the generators of a stream that it has read.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MODEL, CHAT = "main", "ann/main"
QUESTION = QuestionContent("q-1", "Ship", "Shall I?", (Option("Yes", "Yes", "y"), Option("No", "No", "n")))
HI: Any = [{"role": "user", "content": "hi"}]

Agent = Callable[[Api, InboundEvent], Awaitable[None]]


class Answering(Host):
    """A host whose agent answers each message in a task of its own."""

    api: Api
    nursery: trio.Nursery
    agent: Agent

    async def offer(self, event: Any) -> Routed:
        routed = await super().offer(event)
        if isinstance(event, InboundEvent):
            self.nursery.start_soon(self.agent, self.api, event)
        return routed


@asynccontextmanager
async def asking(folder: Path, agent: Agent, **settings: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """Return a client of a channel, behind which that agent answers."""
    async with trio.open_nursery() as nursery, open_api(folder, host := Answering(), **settings) as api:
        host.api, host.nursery, host.agent = api, nursery, agent
        async with openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{api.port}/v1",
            api_key=KEYS["ann"],
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(),
        ) as client:
            yield client
        nursery.cancel_scope.cancel()


async def echoes(api: Api, event: InboundEvent) -> None:
    thread = event.address.thread_id
    await api.sender.draft(event.address, "echo: ")
    await api.sender.draft(event.address, f"echo: {event.message.text[:2]}")
    answer = f"echo: {event.message.text}"
    await api.answers(answer, CHAT, id=f"re-{event.event_id}", in_reply_to=event.event_id, thread=thread)
    await api.sender.settled(event.address, event.event_id, "completed")


async def pieces(stream: Any) -> list[str]:
    return [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]


async def test_the_agents_of_a_user_are_models(tmp_path: Path) -> None:
    async with asking(tmp_path, echoes) as client:
        assert [each.id async for each in client.models.list()] == ["main", "coder"]
        assert (await client.models.retrieve("Coder")).id == "coder"
        with pytest.raises(openai.NotFoundError, match="there are main, coder"):
            await client.models.retrieve("nobody")


async def test_a_completion_is_the_answer_of_the_agent(tmp_path: Path) -> None:
    async with asking(tmp_path, echoes) as client:
        found = await client.chat.completions.create(model=MODEL, messages=HI)
        (choice,) = found.choices
        assert (choice.message.content, choice.finish_reason) == ("echo: hi", "stop")
        assert found.usage is not None
        assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens > 0


async def test_a_stream_has_the_answer_in_pieces(tmp_path: Path) -> None:
    async with asking(tmp_path, echoes) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
        assert "".join(await pieces(stream)) == "echo: hi"


async def test_a_stream_may_end_with_the_usage(tmp_path: Path) -> None:
    async with asking(tmp_path, echoes) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage is not None
        assert chunks[-1].choices == []


async def test_only_the_last_message_reaches_the_agent_and_user_is_the_thread(tmp_path: Path) -> None:
    seen = list[InboundEvent]()

    async def agent(api: Api, event: InboundEvent) -> None:
        seen.append(event)
        await echoes(api, event)

    messages: Any = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": [{"type": "text", "text": "two"}]},
    ]
    async with asking(tmp_path, agent) as client:
        await client.chat.completions.create(model=MODEL, messages=messages, user="chat 7")
    assert [(each.message.text, each.address) for each in seen] == [("two", Address("http", CHAT, "chat 7"))]


async def test_an_image_in_a_data_url_is_a_file_and_no_other_url_is_fetched(tmp_path: Path) -> None:
    taken = list[tuple[str, int]]()

    async def agent(api: Api, event: InboundEvent) -> None:
        taken.extend((each.name, len(each.name)) for each in event.message.attachments)
        await echoes(api, event)

    url = f"data:image/png;base64,{b64encode(b'png').decode()}"
    async with asking(tmp_path, agent) as client:
        content: Any = [{"type": "image_url", "image_url": {"url": url}}]
        await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
        content[0]["image_url"]["url"] = "http://169.254.169.254/"
        with pytest.raises(openai.BadRequestError, match="nothing is fetched"):
            await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert [name for name, _ in taken] == ["image.png"]


async def test_several_messages_are_one_answer(tmp_path: Path) -> None:
    async def agent(api: Api, event: InboundEvent) -> None:
        for text in ("one", "two"):
            await api.answers(text, CHAT, in_reply_to=event.event_id)
        await api.sender.settled(event.address, event.event_id, "completed")

    async with asking(tmp_path, agent) as client:
        found = await client.chat.completions.create(model=MODEL, messages=HI)
        assert found.choices[0].message.content == "one\n\ntwo"


async def test_a_question_is_text_and_its_number_is_a_press(tmp_path: Path) -> None:
    async def agent(api: Api, event: InboundEvent) -> None:
        await api.answers("q", CHAT, content=QUESTION, in_reply_to=event.event_id)
        await api.sender.settled(event.address, event.event_id, "completed")

    async with asking(tmp_path, agent, answer_within_s=1) as client:
        found = await client.chat.completions.create(model=MODEL, messages=HI)
        assert found.choices[0].message.content == "Ship\nShall I?\n1. Yes\n2. No\nAnswer with a number."
        with pytest.raises(openai.APIStatusError):  # this agent says nothing to an answer
            await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "2"}], timeout=20
            )


async def test_an_agent_that_gives_up_is_an_error(tmp_path: Path) -> None:
    async def agent(api: Api, event: InboundEvent) -> None:
        await api.sender.settled(event.address, event.event_id, "failed")

    awaiting_s = awaiting.LATE_S
    try:
        awaiting.LATE_S = 0.05
        async with asking(tmp_path, agent) as client:
            with pytest.raises(openai.InternalServerError, match="gave up") as raised:
                await client.chat.completions.create(model=MODEL, messages=HI)
            assert raised.value.code == "no_answer"
            stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
            with pytest.raises(openai.APIError, match="gave up"):
                await pieces(stream)
    finally:
        awaiting.LATE_S = awaiting_s


async def test_an_answer_has_a_time_limit(tmp_path: Path) -> None:
    async def agent(_api: Api, _event: InboundEvent) -> None:
        await trio.lowlevel.checkpoint()

    async with asking(tmp_path, agent, answer_within_s=1) as client:
        with pytest.raises(openai.InternalServerError, match="no answer within 1 s"):
            await client.chat.completions.create(model=MODEL, messages=HI)


async def test_a_request_that_the_client_sends_again_is_one_message(tmp_path: Path) -> None:
    seen = list[str]()

    async def agent(api: Api, event: InboundEvent) -> None:
        seen.append(event.event_id)
        await echoes(api, event)

    async with asking(tmp_path, agent) as client:
        first = await client.chat.completions.create(model=MODEL, messages=HI)
        again = {"x-stainless-retry-count": "1"}
        second = await client.chat.completions.create(model=MODEL, messages=HI, extra_headers=again)
        third = await client.chat.completions.create(model=MODEL, messages=HI)
    assert first.id == second.id != third.id
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "messages must have"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, r"messages\[0\].role must be `user`"),
        ({"messages": [{"role": "user", "content": " "}]}, "must not be empty"),
        ({"n": 2}, "n must be 1"),
    ],
)
async def test_a_bad_request_names_the_field(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    async with asking(tmp_path, echoes) as client:
        with pytest.raises(openai.BadRequestError, match=words):
            await client.chat.completions.create(**{"model": MODEL, "messages": HI, **change})


async def test_a_wrong_key_is_an_authentication_error(tmp_path: Path) -> None:
    async with asking(tmp_path, echoes) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="sk-none").models.list()


# -- the text of an answer ----------------------------------------------------------


async def test_a_draft_that_is_rewritten_is_followed_by_the_whole_message(tmp_path: Path) -> None:
    async def agent(api: Api, event: InboundEvent) -> None:
        await api.sender.draft(event.address, "I think")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await api.answers("No.", CHAT, in_reply_to=event.event_id)
        await api.sender.settled(event.address, event.event_id, "completed")

    async with asking(tmp_path, agent) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
        assert "".join(await pieces(stream)) in {"I think\n\nNo.", "No."}


async def test_an_answer_that_is_not_settled_ends_after_a_silence(autojump_clock: MockClock) -> None:
    begun_at = autojump_clock.current_time()
    said = list[str]()

    class Silent:
        async def batch(self) -> list[Any]:
            await trio.sleep_forever()

    async def say(piece: str) -> None:
        said.append(piece)
        await trio.lowlevel.checkpoint()

    async def ping() -> None:
        said.append("ping")
        await trio.lowlevel.checkpoint()

    waiting = Awaiting(Silent(), "", "msg-1", "", say)  # type: ignore[arg-type]  # its `batch` is all that is used
    await waiting._final("hello")
    await waiting.run(600, 4, ping)
    assert said == ["hello", "ping", "ping"]
    assert autojump_clock.current_time() - begun_at == awaiting.QUIET_S
