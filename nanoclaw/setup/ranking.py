"""Sorts the models of a server: those that can talk and use tools first, those that cannot last."""

import re
from collections.abc import Iterable

_NO_CHAT = re.compile(
    r"embed|bge-|minilm|e5-|rerank|whisper|tts|audio|transcribe|realtime|moderation|dall-e|image|sora|diffusion|guard|"
    r"davinci|babbage|search-preview|ocr",
    re.IGNORECASE,
)
"""Models that embed, rank, draw, speak or only complete."""
_TOOLS = (
    r"claude-(?:sonnet|opus|haiku)",
    r"gpt-[4-9]",
    r"gemini",
    r"qwen[-_.]?3",
    r"gpt-oss",
    r"llama[-_.]?3\.[13]|llama[-_.]?4",
    r"qwen[-_.]?2\.5",
    r"mistral|mixtral|devstral|ministral",
    r"deepseek",
    r"llama[-_.]?3\.2",
    r"glm|kimi|command-r|granite|hermes|firefunction|phi-?4|gemma[-_.]?[34]",
)
"""Families that call tools, the most dependable first."""
_FOR_CHAT = re.compile(r"instruct|chat|[-_:]it\b", re.IGNORECASE)
_SPECIAL = re.compile(r"coder|math|vision|[-_]vl\b|\bbase\b", re.IGNORECASE)


def can_chat(name: str) -> bool:
    """Return True if a model of this name may be one for chats."""
    return _NO_CHAT.search(name) is None


def ranked(names: Iterable[str], preferred: str | None = None) -> tuple[str, ...]:
    """Return the names, the best guess first. Equal ones keep their order."""
    return tuple(sorted(dict.fromkeys(names), key=lambda name: (name != preferred, *_rank(name))))


def _rank(name: str) -> tuple[bool, int, bool, bool]:
    family = next((n for n, each in enumerate(_TOOLS) if re.search(each, name, re.IGNORECASE)), len(_TOOLS))
    return (
        not can_chat(name),
        family,
        _SPECIAL.search(name) is not None,
        _FOR_CHAT.search(name) is None,
    )
