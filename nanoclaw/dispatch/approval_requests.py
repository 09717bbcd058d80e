"""Requests of agents that people must approve. Each is a request to the host, by the action of its kind."""

import json
from collections.abc import Mapping
from functools import partial
from hashlib import sha256

from nanoclaw.approvals.catalogue import ApprovalKinds
from nanoclaw.dispatch.host_actions import ActionHandler, Request
from nanoclaw.records.approvals import Asked
from nanoclaw.store import Connection
from nanoclaw.system.clock import Clock


def approval_requests(catalogue: ApprovalKinds, clock: Clock) -> Mapping[str, ActionHandler]:
    """Return the handlers of the actions that agents may ask for."""
    return {action: partial(_request, catalogue, clock) for action in catalogue.for_agents}


def _request(
    catalogue: ApprovalKinds, clock: Clock, connection: Connection, request: Request
) -> Mapping[str, object]:
    """Check a request and ask for a decision. The answer to the agent says if it waits."""
    asked = Asked(
        request.action,
        {key: value for key, value in request.values.items() if key != "action"},
        request.agent_group_id,
        request.session_id,
        request.requested_by,
        request.address,
        request.message_out_id,
    )
    requested = catalogue.request(connection, asked, _id(request), clock.now())
    return {"approval": requested.approval.approval_id, "state": requested.state}


def _id(request: Request) -> str:
    """Return the id of an approval. It is that of the request, which may be performed again after a crash."""
    row = json.dumps([request.session_id, request.message_out_id]).encode()
    return f"appr-{sha256(row).hexdigest()[:16]}"
