"""Decides if a task wakes its agent: its script runs first (contract 5, Scripts)."""

from collections.abc import Mapping

from attrs import evolve

from agent_runner.errors import ToolError
from agent_runner.inbound import script_of
from agent_runner.providers import Tool, ToolSpec
from agent_runner.records import Inbound, Turn
from agent_runner.scripts.protocol import LIMIT_S, Verdict, read_verdict
from agent_runner.session import Session
from agent_runner.tools.toolbox import TurnToolbox

GRACE_S = 10.0
"""Seconds for killing a script. The host is told of them and of the limit."""
ONLY_IN_A_SANDBOX = "scripts run only in a sandbox"


async def woken(session: Session, turn: Turn, tools: TurnToolbox) -> Turn | None:
    """Run the script of a turn's task. Return the turn with its output, or None if nobody is to be woken.

    A turn without a script is returned as it is. A script that fails, or may not run, wakes the agent with
    the reason. The host sees a tool that runs. Raises RunnerError if a database failed.
    """
    task = next((message for message in turn.messages if _script(message)), None)
    if task is None:
        return turn
    verdict = await _verdict(session, task, tools)
    if not verdict.wakes:
        return None
    told = evolve(task, content={**task.content, "scriptOutput": verdict.output})
    return evolve(turn, messages=tuple(told if row is task else row for row in turn.messages))


def _script(message: Inbound) -> str | None:
    return script_of(message.content) if message.kind == "task" else None


async def _verdict(session: Session, task: Inbound, tools: TurnToolbox) -> Verdict:
    if not session.config.sandboxed:
        return Verdict(wakes=True, output={"error": ONLY_IN_A_SANDBOX})
    found: list[Verdict] = []

    async def run(_arguments: Mapping[str, object]) -> str:
        ended = await session.seams.scripts.run(_script(task) or "", session.config.workspace)
        found.append(read_verdict(ended))
        return "the agent is woken" if found[0].wakes else "the agent is not woken"

    spec = ToolSpec("task_script", "The script of a task.", {"type": "object"})
    try:
        await tools.perform(Tool(spec, run, LIMIT_S + GRACE_S))
    except ToolError as error:
        return Verdict(wakes=True, output={"error": str(error)})
    return found[0]
