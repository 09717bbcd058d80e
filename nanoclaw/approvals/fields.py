"""The fields of a request, read one by one. A refusal names the field that is missing or wrong."""

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from nanoclaw.approvals.kind import Asked
from nanoclaw.approvals.visible import LONGEST_REASON, visible
from nanoclaw.records import AgentGroup
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups

REASON = "reason"
_ALWAYS = frozenset({"action", REASON})


@frozen
class Fields:
    """The fields of a request. Everything in them may be hostile."""

    values: Mapping[str, object] = field(repr=False)

    @classmethod
    def of(cls, asked: Asked, *known: str) -> "Fields":
        """Return the fields of a request that has these, and `action` and `reason`.

        Raises:
            ActionRefused: it has another one. What it means would not be on the card.
        """
        for key in asked.values:
            if key not in known and key not in _ALWAYS:
                raise ActionRefused(f"{visible(str(key))[:60]} is unknown; use {', '.join([*known, REASON])}")
        return cls(asked.values)

    def text(self, key: str, longest: int) -> str | None:
        """Return an optional text that is not blank and has at most so many characters."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise ActionRefused(f"{key} must be a text that is not blank")
        if len(value) > longest:
            raise ActionRefused(f"{key} has {len(value):,} characters; at most {longest:,} are allowed")
        return value

    def needed(self, key: str, longest: int) -> str:
        """Return a text that must be given."""
        value = self.text(key, longest)
        if value is None:
            raise ActionRefused(f"{key} is missing")
        return value

    def texts(self, key: str) -> Sequence[str]:
        """Return an optional list of texts. None of them is checked."""
        value = self.values.get(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise ActionRefused(f"{key} must be a list of strings")
        return tuple(value)

    def mapping(self, key: str) -> Mapping[str, str]:
        """Return an optional object of texts."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
            raise ActionRefused(f"{key} must be an object whose values are strings")
        return {str(name): str(each) for name, each in value.items()}

    def flag(self, key: str) -> bool:
        """Return an optional switch; False if it is not given."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise ActionRefused(f"{key} must be true or false")
        return bool(value)

    @property
    def reason(self) -> str:
        """The last lines of the card: the reason that the agent gives, if it gives one."""
        reason = self.text(REASON, LONGEST_REASON)
        return "" if reason is None else f"\n\nThe agent says why: “{visible(reason.strip())}”"


def agent_of(connection: Connection, asked: Asked) -> AgentGroup:
    """Return the agent that asks.

    Raises:
        ActionRefused: no agent asks, or it is gone.
    """
    found = asked.agent_group_id and agent_groups.get(connection, asked.agent_group_id)
    if not found:
        raise ActionRefused("only an agent can ask for this")
    return found
