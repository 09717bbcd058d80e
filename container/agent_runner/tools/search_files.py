"""The tool search_files: search the contents of files, with ripgrep where it is installed."""

import os
import shutil
from collections.abc import Mapping, Sequence

from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.sandbox.programs import Ran, module_command, run_program
from agent_runner.sandbox.roots import Found, open_folder, roots_of
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text
from agent_runner.tools.list_files import FOLDER

LIMIT_S = 60.0
MOST = 50_000
"""Bytes of the lines that are shown."""
LONGEST_LINE = 300
NOTHING = 1
"""The exit code if nothing was found."""


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Search, in a process that is killed if it takes too long."""
    roots, path = roots_of(context.session.config), str(arguments.get("path", "."))
    pattern, glob = str(arguments["pattern"]), str(arguments.get("glob", ""))
    with roots.find(path) as found:
        ran = await _search(found, pattern, glob)
    return _told(ran, pattern)


async def _search(found: Found, pattern: str, glob: str) -> Ran:
    """Search a folder by its descriptor, so that nobody can put another one in its place."""
    command, variables = _ripgrep(pattern, glob), dict[str, str]()
    if command is None:
        module, paths = module_command("agent_runner.sandbox.searching")
        command, variables = [*module, pattern, glob], dict(paths)
    folder = open_folder(found)
    try:
        by_descriptor = f"/proc/{os.getpid()}/fd/{folder}"
        return await run_program(
            command, folder=by_descriptor, most=MOST, limit_s=LIMIT_S, variables=variables
        )
    finally:
        os.close(folder)


def _ripgrep(pattern: str, glob: str) -> Sequence[str] | None:
    program = shutil.which("rg")
    if program is None:
        return None
    return [
        *(program, "--no-config", "--color=never", "--no-heading", "--line-number", "--with-filename"),
        *("--sort=path", "--hidden", "--no-messages", "--max-filesize=50M", "--no-require-git"),
        *(f"--max-columns={LONGEST_LINE}", "--max-columns-preview", "--path-separator=/"),
        *("--glob=!.git", *((f"--glob={glob}",) if glob else ())),
        *(f"--regexp={pattern}", "--", "."),
    ]


def _told(ran: Ran, pattern: str) -> str:
    lines = ran.output.decode("utf-8", "replace").splitlines()
    shown = [line.removeprefix("./") for line in (lines[:-1] if ran.cut else lines)]
    if ran.code > NOTHING and not shown:
        raise ToolError(f"the search failed: {ran.errors[:1000] or f'exit code {ran.code}'}")
    if ran.cut:
        shown.append("[There is more. Use a narrower pattern, path or glob.]")
    if ran.late:
        shown.append(f"[The search was ended after {LIMIT_S:.0f} s. Use a narrower path or glob.]")
    return "\n".join(shown) or f"(nothing contains {pattern!r:.200})"


TOOL = BuiltinTool(
    ToolSpec(
        "search_files",
        "Search the contents of the text files below a folder for a regular expression. Returns lines as "
        "`path:number:line`.",
        schema(
            {
                "pattern": text(
                    "Regular expression in the syntax of RE2 and ripgrep, for one line: no look-around, no "
                    "back-references. `(?i)` ignores case."
                )
            },
            path=FOLDER,
            glob=text("Search only files whose names fit, such as `*.py`."),
        ),
    ),
    timeout=LIMIT_S + 10.0,
    run=run,
)
