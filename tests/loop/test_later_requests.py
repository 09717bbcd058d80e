"""Only the first request of a client is made by its SDK. The next ones must be like it."""

from collections.abc import Mapping

import pytest

from agent_runner.errors import ProviderError, ProviderFatal
from nanoclaw.testing import ModelFailure
from nanoclaw.testing.models import ModelBreak
from tests.loop.talk import PROVIDERS, Talk, answering

FAILURES = {
    "401": ModelFailure(401),
    "429 with a time": ModelFailure(429, headers={"retry-after": "99"}),
    "quota": ModelFailure(429, kind="quota"),
    "too long": ModelFailure(400, kind="too long"),
    "no model": ModelFailure(404, kind="no model"),
    "a page of HTML": ModelFailure(403, body=b"<html>blocked</html>"),
    "no body": ModelFailure(401, body=b""),
    "a body that is no object": ModelFailure(400, body=b"[1]"),
    "a body that is no UTF-8": ModelFailure(400, body=b"\xff\xfe"),
    "a redirect": ModelFailure(302, headers={"location": "/elsewhere"}),
    "a cut": ModelBreak(kind="cut", text="half"),
    "no JSON": ModelBreak(kind="no json"),
}


async def _failure(talk: Talk) -> tuple[object, ...]:
    with pytest.raises(ProviderError) as raised:
        await talk.say("hi")
    error = raised.value
    for_user = error.for_user if isinstance(error, ProviderFatal) else None
    return type(error), for_user, error.retry_at is not None


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_failure_is_understood_alike_in_the_first_and_a_later_request(
    provider: str, failure: str, autojump_clock: object
) -> None:
    del autojump_clock
    many = [FAILURES[failure]] * 9
    async with answering(provider, *many) as (talk, _):
        first = await _failure(talk)
    async with answering(provider, "hello", *many) as (talk, _):
        assert await talk.say("hi") == ["hello"]
        assert await _failure(talk) == first


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_later_requests_have_the_headers_of_the_first(provider: str) -> None:
    async with answering(provider, "one", "two", "three") as (talk, model):
        for _ in range(3):
            await talk.say("ä \u2028 𝄞")
    first, *later = [_without_length(request.headers) for request in model.requests]
    assert later == [first, first]
    assert all(request.stream and "ä \u2028 𝄞" in request.text for request in model.requests)
    assert len({request.path for request in model.requests}) == 1


def _without_length(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in headers.items() if name != "content-length"}
