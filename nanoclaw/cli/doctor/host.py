"""The doctor's check of the running host, by its own status."""

from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Any

import trio

from nanoclaw.cli.client import NoHost, NotRunning, RequestFailed, connect
from nanoclaw.cli.doctor.findings import Finding
from nanoclaw.config import Config

WITHIN_S = 5.0


async def host(config: Config) -> list[Finding]:
    """Ask the running host for its state, if one runs."""
    try:
        with trio.fail_after(WITHIN_S):
            async with connect(config.data) as client, aclosing(client.results("status")) as reports:
                async for report in reports:
                    return list(_of_report(report))
    except NotRunning:
        return [Finding("host", "ok", "none runs; `nanoclaw run` starts it")]
    except (NoHost, RequestFailed) as error:
        return [Finding("host", "problem", str(error))]
    except trio.TooSlowError:
        text = f"a host runs, and has not answered within {WITHIN_S:g} s"
        return [Finding("host", "problem", text, "look into its log, or start it again")]
    return [Finding("host", "problem", "it stopped while it was asked", "try again")]


def _of_report(report: Mapping[str, Any]) -> Iterator[Finding]:
    running = f"version {report['version']} runs with pid {report['pid']}, {report['living']} living sessions"
    yield Finding("host", "ok", running)
    for channel in report["channels"]:
        if channel["condition"] is not None:
            reason = channel["reason"] or channel["last_crash"] or "it is not connected yet"
            text = f"{channel['name']} is {channel['condition']}: {reason}"
            yield Finding("channel", "problem", text, "`nanoclaw channels status` says more")
    if report["buried"]:
        text = f"{report['buried']} sessions failed too often and are buried"
        yield Finding("host", "problem", text, "`nanoclaw status` names them, `nanoclaw logs` says why")
    for session in report["living_sessions"]:
        runner = (session["details"] or {}).get("runner") or {}
        if runner.get("failures"):
            text = (
                f"the runner of {session['id']} failed {runner['failures']} times: {runner['last_failure']}"
            )
            yield Finding("host", "problem", text, "`nanoclaw logs` says more")
