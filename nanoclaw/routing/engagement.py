"""Decides whether a message wakes an agent, is context, or is ignored (contract 3, trigger_rules)."""

from typing import Literal

import structlog

from nanoclaw.records import ChatMessage, Wiring
from nanoclaw.registry.trigger_rules import BadRules, TriggerRules, read_rules
from nanoclaw.system.patterns import InThread, TooCostly

Engagement = Literal["wake", "context", "ignore"]

_log = structlog.get_logger()


def rules_of(wiring: Wiring) -> TriggerRules | None:
    """Return the rules of a wiring, or None if they are invalid. Call it once for many messages."""
    try:
        return read_rules(wiring.trigger_rules)
    except BadRules:
        return None


async def engagement(
    wiring: Wiring, rules: TriggerRules | None, message: ChatMessage, in_thread: InThread
) -> Engagement:
    """Return how a wiring treats a message. With invalid rules, every message is ignored."""
    if rules is None:
        return "ignore"
    if _hears(rules, wiring, message.sender_id) and await _triggered(rules, wiring, message, in_thread):
        return "wake"
    return "context" if rules.ignored == "accumulate" else "ignore"


def listens_to(wiring: Wiring, rules: TriggerRules | None, sender_id: str) -> bool:
    """Return whether the wiring lets the agent listen to this sender at all."""
    return rules is not None and _hears(rules, wiring, sender_id)


def _hears(rules: TriggerRules, wiring: Wiring, sender_id: str | None) -> bool:
    included = rules.include_senders
    if included is None:
        return wiring.response_scope != "allowlisted" and sender_id not in rules.exclude_senders
    return sender_id in included and sender_id not in rules.exclude_senders


async def _triggered(rules: TriggerRules, wiring: Wiring, message: ChatMessage, in_thread: InThread) -> bool:
    if rules.mention_only or message.is_mention:
        return message.is_mention
    needed = rules.pattern is not None if rules.requires_trigger is None else rules.requires_trigger
    if not needed and wiring.response_scope != "triggered":
        return True
    return rules.pattern is not None and await _matches(rules, wiring, message, in_thread)


async def _matches(rules: TriggerRules, wiring: Wiring, message: ChatMessage, in_thread: InThread) -> bool:
    """Return whether the pattern is in the message. A match that takes too long counts as none."""
    try:
        return rules.pattern is not None and await rules.pattern.is_in(message.text, in_thread)
    except TooCostly as error:
        _log.warning("routing.pattern_too_costly", wiring=wiring.id, message=message.id, reason=str(error))
        return False
