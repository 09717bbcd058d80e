import pytest

from nanoclaw.setup.ranking import can_chat, ranked


def test_models_that_use_tools_come_first_and_those_that_cannot_talk_last() -> None:
    names = ["nomic-embed-text", "phi:2", "qwen2.5-coder:7b", "qwen2.5:7b", "llama3.1:8b", "bge-m3"]
    assert ranked(names) == (
        "llama3.1:8b",
        "qwen2.5:7b",
        "qwen2.5-coder:7b",
        "phi:2",
        "nomic-embed-text",
        "bge-m3",
    )


def test_a_preferred_model_is_first_where_the_server_has_it() -> None:
    assert ranked(["gpt-5", "gpt-5-mini"], "gpt-5-mini")[0] == "gpt-5-mini"
    assert ranked(["gpt-5", "gpt-4o"], "gpt-5-mini") == ("gpt-5", "gpt-4o")


@pytest.mark.parametrize(
    "name", ["text-embedding-3-small", "whisper-1", "tts-1", "dall-e-3", "omni-moderation"]
)
def test_models_that_do_not_talk_are_told_by_their_names(name: str) -> None:
    assert not can_chat(name)
