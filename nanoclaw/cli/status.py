"""`nanoclaw status` and `nanoclaw tree`: what the running host is doing."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.cli.client import connect
from nanoclaw.cli.output import show
from nanoclaw.config import Config
from nanoclaw.system.descriptors import Descriptors

MINUTE, HOUR, DAY = 60, 3600, 86400
COLUMNS = ("session", "agent", "chat", "runner", "pending", "to send")


async def status(config: Config, *, as_json: bool) -> int:
    """Print the host's state. Raises NoHost, RequestFailed."""
    return await _print(config, "status", status_lines, as_json=as_json)


async def tree(config: Config, *, as_json: bool) -> int:
    """Print the live tree. Raises NoHost, RequestFailed."""
    return await _print(config, "tree", tree_lines, as_json=as_json)


async def _print(
    config: Config, method: str, lines: Callable[[Mapping[str, Any]], Iterator[str]], *, as_json: bool
) -> int:
    async with connect(config.data) as client:
        async for result in client.results(method):
            text = json.dumps(result, indent=2) if as_json else harmless("\n".join(lines(result)))
            show(text)
    return 0


# -- status --------------------------------------------------------------------


def status_lines(host: Mapping[str, Any]) -> Iterator[str]:
    """Return the status for people, from the result of `status`."""
    yield f"nanoclaw {host['version']}, pid {host['pid']}, up {_duration(host['uptime_s'])}"
    yield f"data      {host['data']}"
    yield f"runtime   {_runtime(host)}"
    yield f"channels  {', '.join(map(_channel, host['channels'])) or 'none'}"
    yield (
        f"sessions  {host['sessions']} in all, {host['living']} living, {host['buried']} buried; "
        f"{host['parked']} events parked; {_count(host['questions'], 'open question')}"
    )
    yield from (f"wirings   {line}" for line in host.get("unheard", ()))
    if host.get("descriptors_limit") is not None:
        yield f"files     {_descriptors(host['descriptors_used'], host['descriptors_limit'])}"
    if host.get("refused"):
        yield "refused   messages of these chats cannot be stored now; their networks must offer them again"
        yield from (f"  {sentence}" for sentence in host["refused"])
    if host["damaged"]:
        yield "damaged   these rows of v2.db are left out; correct or delete them (how-to: repair a session)"
        yield from (f"  {sentence}" for sentence in host["damaged"])
    if host["zone_doubt"]:
        yield f"zone      {host['zone_doubt']}"
    if host.get("disk"):
        yield f"disk      {host['disk']}"
    yield from (f"budgets   {sentence}" for sentence in host.get("budgets", ()))
    yield from (f"network   {sentence}" for sentence in host.get("network", ()))
    yield from (f"approvals {sentence}" for sentence in host.get("approvals", ()))
    if host["living_sessions"]:
        yield ""
        yield from _table(host["living_sessions"])


def _descriptors(used: int | None, limit: int) -> str:
    if used is None:
        return f"at most {limit} descriptors"
    few = "; few are left: raise the limit" if Descriptors(used, limit).scarce else ""
    return f"{used} of {limit} descriptors used{few}"


def _runtime(host: Mapping[str, Any]) -> str:
    if host.get("runtime_state") is None:
        return str(host["runtime"])
    waits = "" if host["runtime_ready"] else "; until then messages wait"
    return f"{host['runtime']}: {host['runtime_state']}{waits}"


def _channel(channel: Mapping[str, Any]) -> str:
    condition, number = channel.get("condition"), channel.get("waiting")
    waits = f"; {number} {'delivery waits' if number == 1 else 'deliveries wait'}" if number else ""
    if condition is None:
        return f"{channel['name']} (running{waits})"
    if channel.get("reason"):
        return f"{channel['name']} ({condition}: {channel['reason']}{waits})"
    crash = f", last crash {channel['last_crash']}" if channel["last_crash"] else ""
    halves = f"sending {channel['sender']}, receiving {channel['receiver']}"
    return f"{channel['name']} ({halves}{crash}{waits})"


def _table(sessions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = [COLUMNS, *map(_row, sessions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row, session in zip(rows, [None, *sessions], strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
        if session is not None:
            yield from (f"  {remark}" for remark in _remarks(session))


def _row(session: Mapping[str, Any]) -> tuple[str, ...]:
    details = session["details"]
    own = (session["id"], session["agent_group"], session["chat"] or "(all of its agent)")
    if details is None:
        return (*own, session["state"] if session["state"] != "running" else "no answer", "?", "?")
    return (*own, details["runner"]["state"], _pending(session, details), str(details["deliveries"]))


def _pending(session: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Return what waits: for the agent, for its time, and for an answer of a user."""
    working = f" ({details['working_on']} at work)" if details["working_on"] else ""
    parts = [f"{details['to_answer']} to answer{working}"]
    if details["waiting_tasks"]:
        parts.append(f"{_count(details['waiting_tasks'], 'task')} later")
    if session["questions"]:
        parts.append(_count(session["questions"], "open question"))
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _remarks(session: Mapping[str, Any]) -> Iterator[str]:
    """Return remarks about a session, besides the figures."""
    if session["status"] != "active":
        yield f"{session['status']}: nobody is woken"
    if session["parked"]:
        yield f"{session['parked']} events parked until it can take them"
    if session["last_crash"]:
        yield f"{session['state']}, {session['restarts']} restarts, last crash: {session['last_crash']}"
    if session["details"] is not None:
        yield from _troubles(session["details"])


def _troubles(details: Mapping[str, Any]) -> Iterator[str]:
    runner, delivery = details["runner"], details["oldest_delivery"]
    if details.get("used_up"):
        yield f"waits: {details['used_up']}"
    if details.get("queued"):
        yield f"waits for its turn to run, as number {details['queued']} in the queue"
    if details["quarantined"]:
        yield f"quarantined: {details['quarantined']}"
    yield from _faults(details)
    for task in details["silent"]:
        yield f"{task['id']} {task['reason']}"
    if runner["failures"]:
        next_ = f", next start in {runner['next_start_in_s']:.0f} s" if runner["next_start_in_s"] else ""
        yield f"its runner failed {runner['failures']} times{next_}: {runner['last_failure']}"
    if delivery is not None and delivery["reason"]:
        yield _delivery(delivery)


def _delivery(delivery: Mapping[str, Any]) -> str:
    """Return the state of the oldest delivery, which an attempt or the lack of a reader has delayed."""
    again = f", again at {delivery['not_before']}" if delivery["not_before"] else ""
    if delivery["held"]:
        return f"held: {delivery['reason']}"
    if delivery["doubts"]:
        return f"sent, not confirmed{again}: {delivery['reason']}"
    return f"not delivered after {_count(delivery['attempts'], 'attempt')}{again}: {delivery['reason']}"


def _faults(details: Mapping[str, Any]) -> Iterator[str]:
    """Return the faults of a session's runner, and their consequences."""
    if details["unreadable"]:
        yield f"cannot be read now, and is tried again: {details['unreadable']}"
    if details["refused"]:
        yield f"{details['refused']} rows refused, the last {details['last_refused']}"
    if details["ignored"]:
        yield f"in outbound.db {details['ignored']}"
    if details["restored"]:
        yield details["restored"]
    if details["polled"]:
        yield f"polled every second, not watched: {details['polled']}"


def _duration(seconds: float) -> str:
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"
    return f"{seconds // DAY:.0f} d {seconds % DAY // HOUR:.0f} h"


# -- tree ----------------------------------------------------------------------


def tree_lines(node: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Return the tree for people, from the result of `tree`."""
    yield f"{'  ' * depth}{node['name']}  {', '.join(_facts(node))}"
    for child in node["children"]:
        yield from tree_lines(child, depth + 1)


def _facts(node: Mapping[str, Any]) -> Iterator[str]:
    yield node["state"]
    if node["mailbox"]:
        yield f"{node['mailbox']} of {node['capacity']} messages wait"
    if node["in_flight"]:
        yield f"handling {node['in_flight']} for {node['in_flight_age']:.1f} s"
    if node["restarts"]:
        yield f"{node['restarts']} restarts"
    if node["last_crash"]:
        yield f"last crash {node['last_crash']}"
