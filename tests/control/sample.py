"""The host of docs/how-to/look-into-a-running-host.md: its status and tree, as they come over the socket."""

import json
from datetime import UTC, datetime
from typing import Any

from actors import Node
from nanoclaw.control import wire
from nanoclaw.records.status import (
    ChannelReport,
    DeliveryReport,
    HostReport,
    RunnerReport,
    SessionDetails,
    SessionReport,
    SilentTask,
)

AT = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
RESTING = RunnerReport("absent")


def _session(id_: str, chat: str | None, details: SessionDetails | None, **more: Any) -> SessionReport:
    values: dict[str, Any] = {
        "status": "active",
        "state": "running",
        "mailbox": 0,
        "restarts": 0,
        "parked": 0,
    }
    return SessionReport(id_, "NanoClaw", "ag-7y0zr4geh9s4vap4", chat, details=details, **{**values, **more})


SILENT = "waits until 2026-11-24T08:00:00.000Z, and leaves out its times from 2026-11-23T08:00:00.000Z on"


SESSIONS = (
    _session(
        "sess-b2nxtytdncgkh4mt",
        "cli:terminal",
        SessionDetails(
            RunnerReport("running"),
            3,
            1,
            0,
            unreadable="outbound.db: another process keeps it locked",
            scheduled=1,
            to_answer=2,
            waiting_tasks=1,
        ),
        questions=1,
    ),
    _session(
        "sess-mb7cnhref211d2rc",
        "telegram:4711/9",
        SessionDetails(
            RESTING,
            0,
            0,
            3,
            DeliveryReport("out-1", 2, in_flight=False, reason="the network is down", not_before=AT),
            refused=2,
            last_refused="out-b2nx: content is not JSON: Expecting value: line 1 column 1 (char 0)",
            ignored="a row with the number 5000001, more than 1,000,000 above the host's, is not read",
            polled="it brought more than 1,000 events in a second",
            silent=(SilentTask("task-h7cdcrvw0hfty70q", SILENT),),
        ),
    ),
    _session(
        "sess-r9kq256p5ksmpw9k",
        "telegram:42",
        SessionDetails(
            RunnerReport("absent", 3, "it ended at once with exit code 1", 4.0),
            1,
            0,
            0,
            quarantined="outbound.db: not read, because it is in WAL mode",
            to_answer=1,
        ),
    ),
    _session(
        "sess-x1c2v3b4n5m6q7w8",
        None,
        None,
        state="buried",
        restarts=3,
        parked=5,
        last_crash="CorruptDatabase('inbound.db: file is not a database')",
    ),
)
STATUS = HostReport(
    version="0.1.0",
    pid=4711,
    started_at=AT,
    uptime_s=11_520.0,
    data="/home/you/.nanoclaw/data",
    runtime="process",
    channels=(
        ChannelReport("cli", "running", "running"),
        ChannelReport(
            "telegram",
            "restarting",
            "running",
            type="telegram",
            condition="down",
            reason="api.telegram.org: connection reset",
            since=AT,
            waiting=2,
        ),
    ),
    sessions=9,
    living=3,
    buried=1,
    parked=5,
    living_sessions=SESSIONS,
    descriptors_used=62,
    descriptors_limit=1_048_576,
    questions=1,
)
TREE = Node(
    "host",
    "running",
    children=(
        Node("registry", "running", capacity=100),
        Node(
            "sessions",
            "running",
            children=(
                Node("sess-b2nxtytdncgkh4mt", "running", 3, 100, "Accept", 0.21),
                Node(
                    "sess-x1c2v3b4n5m6q7w8", "buried", 0, 100, restarts=3, last_crash="CorruptDatabase('…')"
                ),
            ),
        ),
    ),
)


def over_the_wire(value: object) -> dict[str, Any]:
    """Return it as the client receives it."""
    plain: dict[str, Any] = json.loads(wire.dump(value))
    return plain
