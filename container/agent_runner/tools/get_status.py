"""The tool get_status: say how the session is."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.status import describe_status
from agent_runner.tools.base import BuiltinTool, ToolContext, schema


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Describe the session, without the messages of this turn."""
    del arguments
    turn = (*context.turn.messages, *context.turn_state.follow_ups)
    return await describe_status(context.session, without={message.id for message in turn})


TOOL = BuiltinTool(
    ToolSpec(
        "get_status",
        "Look up your own state: model, sandbox, waiting messages, open questions and tasks, tokens.",
        schema({}),
    ),
    timeout=30.0,
    run=run,
)
