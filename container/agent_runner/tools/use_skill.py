"""The tool use_skill: read the instructions of a skill."""

from collections.abc import Mapping

from agent_runner.errors import ToolError
from agent_runner.knowledge.skills import Skill, find_skills
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Return the instructions, and where the skill's other files are."""
    config, name = context.session.config, str(arguments["name"])
    found = find_skills(context.session.files, config.workspace, config.shared)
    skills = {each.name: each for each in found if isinstance(each, Skill)}
    if name not in skills:
        raise ToolError(f"there is no skill {name!r}; there are: {', '.join(skills) or 'none'}")
    where = f"\n\nIts files are in {skills[name].folder}." if config.sandboxed else ""
    return (skills[name].body or "This skill has no instructions.") + where


TOOL = BuiltinTool(
    ToolSpec(
        "use_skill",
        "Read the instructions of a skill that your prompt lists, before you do what it is for.",
        schema({"name": text("The name of the skill.", maxLength=255)}),
    ),
    timeout=30.0,
    run=run,
)
