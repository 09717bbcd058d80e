"""Kinds of approvals for tests: one that changes the central database, and one with effects."""

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from nanoclaw.approvals.kind import APPROVE, REJECT, Asked, Effects, Wanted
from nanoclaw.records import PendingApproval
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection
from nanoclaw.store.central import meta


@define(eq=False)
class PaintKind:
    """Paints a wall: counts in `meta` how often each wall was painted, and knows the rule "this colour"."""

    action: str = "paint"
    for_agents: bool = True

    def check(self, _connection: Connection, asked: Asked) -> Wanted:
        wall, colour = asked.values.get("wall"), asked.values.get("colour", "white")
        if not isinstance(wall, str) or not isinstance(colour, str):
            raise ActionRefused("wall must be a text")
        return Wanted(
            payload={"wall": wall, "colour": colour},
            same=wall,
            title=f"Paint {wall}",
            text=f"The wall {wall} becomes {colour}.",
            options=(APPROVE, REJECT),
            scope=colour,
        )

    def apply(self, connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        wall = str(approval.payload["wall"])
        if approval.status != "approved":
            return {}
        if wall == "glass":
            raise ActionRefused("glass cannot be painted")
        times = int(meta.get(connection, f"painted {wall}") or "0") + 1
        meta.put(connection, f"painted {wall}", str(times))
        return {"painted": wall}


@define(eq=False)
class BuildKind(PaintKind):
    """Builds a wall outside of the central database, as often as it is asked to."""

    action: str = "build"
    built: list[str] = Factory(list)
    failures: int = 0
    """The number of further attempts that crash."""

    def apply(self, connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        del connection, approval
        return {"state": "ordered"}

    async def finish(self, approval: PendingApproval, _effects: Effects) -> Mapping[str, Any] | None:
        self.built.append(str(approval.payload["wall"]))
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the crane broke")
        if approval.payload["wall"] == "air":
            raise ActionRefused("there is no ground")
        return {"state": "built"}
