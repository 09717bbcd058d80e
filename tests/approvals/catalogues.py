"""Catalogues of kinds without a host."""

from pathlib import Path

from nanoclaw.approvals.catalogue import ApprovalKinds
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import ApprovalKind
from nanoclaw.config import config_of
from tests.store.openings import StillClock


def a_catalogue(home: Path, *given: ApprovalKind) -> ApprovalKinds:
    return ApprovalKinds.of(Installation(config_of(home, {"timezone": "UTC"}), StillClock().now), given)
