"""The built-in tools: one module per tool, each with a `TOOL`."""

from collections.abc import Mapping

from agent_runner.tools import (
    add_reaction,
    ask_user_question,
    cancel_task,
    create_agent,
    edit_message,
    forget,
    get_status,
    list_tasks,
    pause_task,
    recall,
    remember,
    request_budget,
    resume_task,
    schedule_task,
    send_card,
    send_file,
    send_message,
    update_task,
    use_skill,
)
from agent_runner.tools.base import BuiltinTool

TOOLS: Mapping[str, BuiltinTool] = {
    module.TOOL.spec.name: module.TOOL
    for module in (
        send_message,
        send_file,
        send_card,
        edit_message,
        add_reaction,
        ask_user_question,
        schedule_task,
        list_tasks,
        cancel_task,
        pause_task,
        resume_task,
        update_task,
        get_status,
        remember,
        recall,
        forget,
        use_skill,
        create_agent,
        request_budget,
    )
}
