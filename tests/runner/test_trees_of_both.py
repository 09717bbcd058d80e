"""The host and the runner remove folders in the same way, each with a module of its own."""

import ast
from pathlib import Path
from types import ModuleType

from agent_runner import trees as of_runner
from nanoclaw.system import trees as of_host


def code(module: ModuleType) -> str:
    """Return the code of a module without its docstring."""
    assert module.__file__ is not None
    parsed = ast.parse(Path(module.__file__).read_bytes())
    return "\n".join(map(ast.unparse, parsed.body[1:]))


def test_the_code_of_both_is_the_same() -> None:
    assert code(of_runner) == code(of_host)
