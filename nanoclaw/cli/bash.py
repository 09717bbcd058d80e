"""Completion in bash, including words with a colon: bash splits them, and click reads bash's words."""

import os
from typing import Any

from click.shell_completion import BashComplete, ShellComplete, get_completion_class, split_arg_string

from nanoclaw.cli.output import show

SCRIPT = """\
%(complete_func)s() {
    local response item word prefix
    response=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1")
    word="${COMP_LINE:0:COMP_POINT}"
    word="${word##*[[:space:]]}"
    prefix=""
    # bash replaces only what follows the last colon, unless the colon is no word break
    [[ "$word" == *:* && "$COMP_WORDBREAKS" == *:* ]] && prefix="${word%%"${word##*:}"}"
    COMPREPLY=()
    while IFS= read -r item; do
        case "${item%%%%,*}" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) item="${item#*,}"; COMPREPLY+=("${item#"$prefix"}") ;;
        esac
    done <<< "$response"
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class ColonBash(BashComplete):
    """Completion in bash that reads the whole line instead of bash's words."""

    source_template = SCRIPT

    def source(self) -> str:
        """Return the script. It needs bash 4.4 like click's own, and does not start one to look."""
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the finished words of the line, and the word under the cursor."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)[1:]
        incomplete = "" if not words or line[-1:].isspace() else words.pop()
        return words, incomplete


def completion_class(shell: str) -> type[ShellComplete] | None:
    """Return the completion of a shell; None if it has none."""
    return ColonBash if shell == ColonBash.name else get_completion_class(shell)


def completed_line(command: Any, name: str, variable: str, instruction: str) -> int:
    """Answer a shell that asks for a script or for completions; returns the exit code."""
    shell, _, what = instruction.partition("_")
    found = completion_class(shell)
    if found is None or what not in {"source", "complete"}:
        return 1
    complete = found(command, {}, name, variable)
    show(complete.source() if what == "source" else complete.complete())
    return 0
