"""The trigger rules of a wiring (contract 3) as a frozen class. With invalid rules, an agent hears nobody."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from attrs import fields, frozen

from nanoclaw.config.kinds import Unfit
from nanoclaw.config.nearest import nearest
from nanoclaw.config.origins import dotted
from nanoclaw.config.structure import Form, Misfit, structure
from nanoclaw.records.people import WithPrefix
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import wirings
from nanoclaw.store.central.wirings import UNREADABLE
from nanoclaw.system.patterns import MAX_KEPT, Pattern, compiled


class BadRules(NotAllowed):
    """Invalid trigger rules. The text names each wrong key and value."""


# -- kinds of values ------------------------------------------------------------


@frozen
class _Regex:
    """A regular expression, compiled."""

    wanted: str = "a regular expression that is not empty"

    def read(self, value: object) -> Pattern:
        """Return the pattern. Raises BadPattern, a ValueError like Unfit."""
        if not isinstance(value, str) or not value:
            raise Unfit(self.wanted, value)
        return compiled(value)


@frozen
class _Flag:
    """True or false; a text such as "true" is refused."""

    wanted: str = "true or false"

    def read(self, value: object) -> bool:
        """Return the value."""
        if not isinstance(value, bool):
            raise Unfit(self.wanted, value)
        return value


@frozen
class _Senders:
    """A list of user ids."""

    least: int = 0

    @property
    def wanted(self) -> str:
        some = " with at least one of them" if self.least else ""
        return f'a list of user ids{some}, such as ["tg:123"]'

    def read(self, value: object) -> frozenset[str]:
        """Return the ids."""
        if not isinstance(value, list | tuple) or len(value) < self.least:
            raise Unfit(self.wanted, value)
        rule = WithPrefix()
        for each in value:
            if not isinstance(each, str) or not rule.fits(each):
                raise Unfit(f"a list in which each is {rule.wanted}", each)
        return frozenset(value)


# -- the rules --------------------------------------------------------------------


@frozen
class TriggerRules:
    """The messages of a chat to which an agent listens. The keys are these fields in camelCase."""

    pattern: Annotated[Pattern | None, _Regex()] = None
    """A message that it matches wakes the agent."""
    requires_trigger: Annotated[bool | None, _Flag()] = None
    """Only a match or a mention wakes the agent. None: true if there is a pattern."""
    mention_only: Annotated[bool, _Flag()] = False
    """Only a mention wakes the agent."""
    sticky: Annotated[bool, _Flag()] = False
    """A thread stays engaged once it has been engaged. It has no effect so far."""
    include_senders: Annotated[frozenset[str] | None, _Senders(least=1)] = None
    """Only these users are heard. None: everybody."""
    exclude_senders: Annotated[frozenset[str], _Senders()] = frozenset()
    """These users are not heard."""
    ignored: Literal["drop", "accumulate"] = "drop"
    """The use of messages that do not wake the agent: none, or as context."""


def read_rules(rules: Mapping[str, object]) -> TriggerRules:
    """Return the rules of a wiring. A rule is compiled once, however many messages it meets.

    Raises:
        BadRules: a key is unknown, or a value does not fit.
    """
    if not rules:
        return _ALL
    try:
        found = _read(json.dumps(rules, sort_keys=True))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRules(f"trigger_rules must be a JSON object: {error}") from error
    if isinstance(found, str):
        raise BadRules(found)
    return found


def problem(rules: Mapping[str, object]) -> str | None:
    """Return why a wiring with these rules hears nobody, or None if the rules are valid."""
    try:
        read_rules(rules)
    except BadRules as error:
        return f"nobody is heard: {error}"
    return None


def unheard(connection: Connection) -> tuple[str, ...]:
    """Return a line for each wiring that hears nobody, because its rules are invalid."""
    problems = [(wiring, problem(wiring.trigger_rules)) for wiring in wirings.every(connection)]
    return tuple(f"wiring {wiring.id}: {text}" for wiring, text in problems if text)


_ALL = TriggerRules()


@lru_cache(maxsize=MAX_KEPT)
def _read(text: str) -> TriggerRules | str:
    """Return the rules in a JSON object, or the text of the error."""
    rules = json.loads(text)
    if UNREADABLE in rules:
        return f"trigger_rules must be a JSON object, got {json.dumps(rules[UNREADABLE])[:200]}"
    unknown = sorted(rules.keys() - set(KEYS))
    known = {key: value for key, value in rules.items() if key in KEYS}
    try:
        found = structure(known, TriggerRules, base=Path(), form=_FORM)
    except Misfit as misfit:
        wrong = [f"{dotted(('trigger_rules', *each.path))} {each.text}" for each in misfit.problems]
        return "; ".join([*map(_unknown, unknown), *wrong])
    return "; ".join(map(_unknown, unknown)) if unknown else found


def _unknown(key: str) -> str:
    near = nearest(key, KEYS) or f"; the keys are {', '.join(KEYS)}"
    return f"trigger_rules has no key {key[:80]!r}{near}"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


_FORM = Form(rename=_camel, table="a JSON object", split=False)
KEYS = tuple(_camel(each.name) for each in fields(TriggerRules))
"""The keys of trigger rules."""
