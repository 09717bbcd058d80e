"""Decides whether a message wakes an agent, is context, or is ignored (contract 3, trigger_rules)."""

import re
from collections.abc import Mapping
from typing import Literal

from nanoclaw.records import ChatMessage, Wiring

Engagement = Literal["wake", "context", "ignore"]


def engagement(wiring: Wiring, message: ChatMessage) -> Engagement:
    """Return how a wiring treats a message. A rule that is invalid wakes no agent."""
    rules = wiring.trigger_rules
    if listens_to(wiring, message.sender_id) and _triggered(wiring, message):
        return "wake"
    return "context" if rules.get("ignored") == "accumulate" else "ignore"


def listens_to(wiring: Wiring, sender_id: str) -> bool:
    """Return whether the wiring lets the agent listen to this sender at all."""
    include, exclude = (_names(wiring.trigger_rules, key) for key in ("includeSenders", "excludeSenders"))
    if include or wiring.response_scope == "allowlisted":
        return sender_id in include and sender_id not in exclude
    return sender_id not in exclude


def _names(rules: Mapping[str, object], key: str) -> frozenset[str]:
    names = rules.get(key)
    return (
        frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
    )


def _triggered(wiring: Wiring, message: ChatMessage) -> bool:
    rules = wiring.trigger_rules
    if rules.get("mentionOnly"):
        return message.is_mention
    pattern = rules.get("pattern")
    needed = rules.get("requiresTrigger", pattern is not None) or wiring.response_scope == "triggered"
    return not needed or message.is_mention or _matches(pattern, message.text)


def _matches(pattern: object, text: str) -> bool:
    try:
        return isinstance(pattern, str) and re.search(pattern, text, re.IGNORECASE) is not None
    except re.error:
        return False
