from pathlib import Path

import pytest

from nanoclaw.config.model import KeyConfig
from nanoclaw.setup.targets import Target
from nanoclaw.setup.trial import asked, listed
from nanoclaw.setup.verdicts import Outcome, Verdict
from nanoclaw.testing.models import ModelFailure, ModelRequest, open_fake_model

KEY = "sk-very-secret-0123456789"


def target(provider: str, url: str, name: str | None = "fake-model", typed: str | None = KEY) -> Target:
    return Target(provider, name, f"{url}/v1" if provider == "openai" else url, typed=typed)


async def verdict(answer: str | ModelFailure, provider: str = "openai", typed: str | None = KEY) -> Verdict:
    async with open_fake_model([answer]) as model:
        return await asked(target(provider, model.url, typed=typed))


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_model_that_answers_is_fine_and_costs_few_tokens(provider: str) -> None:
    async with open_fake_model(["yes"]) as model:
        found = await asked(target(provider, model.url))
        [request] = model.requests
    assert (found.outcome, found.text) == (Outcome.FINE, "fake-model answers")
    assert request.body["max_tokens"] == 16
    sent = request.headers.get("x-api-key") or request.headers["authorization"]
    assert sent.removeprefix("Bearer ") == KEY


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("failure", "outcome", "words"),
    [
        (ModelFailure(401), Outcome.REFUSED_KEY, "refuses the key"),
        (ModelFailure(404, kind="no model"), Outcome.UNKNOWN_MODEL, "has no model 'fake-model'"),
        (ModelFailure(402), Outcome.NO_MONEY, "no money or quota"),
        (ModelFailure(429, kind="quota"), Outcome.NO_MONEY, "no money or quota"),
        (ModelFailure(429), Outcome.BUSY, "takes no more requests now"),
        (ModelFailure(500), Outcome.FAILING, "fails with status 500"),
        (ModelFailure(404, body=b"<html>"), Outcome.FOREIGN, "not as a model server"),
        (ModelFailure(200, body=b'{"hello": 1}'), Outcome.FOREIGN, "not as a model server"),
    ],
)
async def test_each_failure_is_told_apart(
    provider: str, failure: ModelFailure, outcome: Outcome, words: str
) -> None:
    found = await verdict(failure, provider)
    assert found.outcome is outcome
    assert words in found.text
    assert found.advice


async def test_a_server_that_wants_a_key_where_none_is_given_says_where_to_give_it() -> None:
    found = await verdict(ModelFailure(401), typed=None)
    assert (found.outcome, "nanoclaw setup" in found.advice) == (Outcome.NO_KEY, True)


async def test_a_server_that_repeats_the_key_in_its_error_does_not_show_it() -> None:
    found = await verdict(ModelFailure(401, f"bad key {KEY} \x1b[2J"))
    assert "bad key" in found.text
    assert KEY not in repr(found)
    assert found.text.isprintable()


async def test_a_server_that_wants_the_newer_limit_of_tokens_gets_it() -> None:
    refusal = ModelFailure(400, "Use 'max_completion_tokens' instead of 'max_tokens'")
    async with open_fake_model([refusal, "yes"]) as model:
        found = await asked(target("openai", model.url))
        assert "max_tokens" not in model.requests[1].body
    assert found.fine


async def test_a_server_that_is_not_there_cannot_be_reached() -> None:
    async with open_fake_model([]) as model:
        url = model.url
    found = await listed(target("openai", url))
    assert (found.outcome, url in found.text) == (Outcome.UNREACHABLE, True)


async def test_the_list_of_models_tells_an_unknown_name_and_costs_nothing() -> None:
    async with open_fake_model([], names=["qwen3:4b", "llama3.1:8b"]) as model:
        fine = await listed(target("openai", model.url, "qwen3:4b"))
        wrong = await listed(target("openai", model.url, "qwen3:4"))
        assert model.requests == []
    assert fine.fine
    assert (wrong.outcome, wrong.advice) == (Outcome.UNKNOWN_MODEL, "did you mean qwen3:4b?")


@pytest.mark.parametrize("place", ["missing variable", "missing file", "failing command"])
async def test_a_key_that_cannot_be_read_is_told_without_asking_the_server(
    place: str, tmp_path: Path
) -> None:
    keys = {
        "missing variable": KeyConfig(env="NO_SUCH_KEY_VARIABLE"),
        "missing file": KeyConfig(file=tmp_path / "key"),
        "failing command": KeyConfig(command=("false",)),
    }
    async with open_fake_model(["yes"]) as model:
        found = await asked(Target("openai", "fake-model", f"{model.url}/v1", keys[place]))
        assert model.requests == []
    assert found.outcome is Outcome.NO_KEY


async def test_a_typed_key_is_in_no_file_while_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files = list[str]()

    def answer(_request: ModelRequest) -> str:
        files.extend(path.name for path in tmp_path.iterdir())
        return "yes"

    async with open_fake_model(answer) as model:
        assert (await asked(target("openai", model.url))).fine
    assert files == []
