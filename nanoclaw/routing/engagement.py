"""Decides whether a message wakes an agent, is context, or is ignored (contract 3, trigger_rules)."""

from collections.abc import Collection
from typing import Literal

import structlog
from attrs import frozen

from nanoclaw.records import ChatMessage, Wiring
from nanoclaw.registry.trigger_rules import BadRules, TriggerRules, read_rules
from nanoclaw.system.patterns import InThread, TooCostly

Engagement = Literal["wake", "context", "ignore"]

_log = structlog.get_logger()


@frozen
class Verdict:
    """The treatment of a message by a wiring."""

    engagement: Engagement
    engages: bool = False
    """True if it engages the agent in its thread, or renews that (`sticky`)."""


def rules_of(wiring: Wiring) -> TriggerRules | None:
    """Return the rules of a wiring, or None if they are invalid. Call it once for many messages."""
    try:
        return read_rules(wiring.trigger_rules)
    except BadRules:
        return None


async def judge(  # noqa: PLR0913, PLR0917 -- all that the rules ask for
    wiring: Wiring,
    rules: TriggerRules | None,
    message: ChatMessage,
    in_thread: InThread,
    identities: Collection[str] = (),
    engaged: bool = False,  # noqa: FBT001, FBT002 -- as the router passes it
) -> Verdict:
    """Return how a wiring treats a message. With invalid rules, every message is ignored.

    `identities` are the ids of the sender, if there are several. `engaged` says whether the agent is engaged
    in the thread of the message.
    """
    if rules is None:
        return Verdict("ignore")
    if hears(rules, wiring, identities or tuple(filter(None, [message.sender_id]))):
        if rules.sticky and engaged:
            return Verdict("wake", engages=True)
        if await _triggered(rules, wiring, message, in_thread):
            return Verdict("wake", engages=rules.sticky and _needs_trigger(rules, wiring))
    return Verdict("context" if rules.ignored == "accumulate" else "ignore")


def listens_to(wiring: Wiring, *identities: str) -> bool:
    """Return whether the wiring lets the agent listen to this sender at all."""
    rules = rules_of(wiring)
    return rules is not None and hears(rules, wiring, identities)


def hears(rules: TriggerRules, wiring: Wiring, identities: Collection[str]) -> bool:
    """Return whether the rules let the agent hear a sender with these ids."""
    included = rules.include_senders
    if not rules.exclude_senders.isdisjoint(identities):
        return False
    return wiring.response_scope != "allowlisted" if included is None else not included.isdisjoint(identities)


def _needs_trigger(rules: TriggerRules, wiring: Wiring) -> bool:
    needed = rules.pattern is not None if rules.requires_trigger is None else rules.requires_trigger
    return needed or rules.mention_only or wiring.response_scope == "triggered"


async def _triggered(rules: TriggerRules, wiring: Wiring, message: ChatMessage, in_thread: InThread) -> bool:
    if message.is_mention or not _needs_trigger(rules, wiring):
        return True
    return not rules.mention_only and await _matches(rules, wiring, message, in_thread)


async def _matches(rules: TriggerRules, wiring: Wiring, message: ChatMessage, in_thread: InThread) -> bool:
    """Return whether the pattern is in the message. A match that takes too long counts as none."""
    try:
        return rules.pattern is not None and await rules.pattern.is_in(message.text, in_thread)
    except TooCostly as error:
        _log.warning("routing.pattern_too_costly", wiring=wiring.id, message=message.id, reason=str(error))
        return False
