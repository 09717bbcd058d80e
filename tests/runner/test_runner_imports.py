"""The modules that a sandboxed runner imports: each cold start waits for them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, trio
from pathlib import Path
import agent_runner.main
from tests.runner.sandboxes import Sandbox
from tests.runner.world import World

sandbox = Sandbox(World.create(Path(sys.argv[1])))
late = ("agent_runner.sandbox", "agent_runner.prompt", "agent_runner.tools.bash", "encodings.idna")
calls = [("bash", {"command": "true"})] if len(sys.argv) > 2 else []
trio.run(sandbox.calls, *calls)
print(*(name for name in late if name in sys.modules))
"""


def imported(folder: Path, *arguments: str) -> list[str]:
    """Return the late modules that one turn has imported."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()


def test_a_turn_without_tools_imports_none_of_them(tmp_path: Path) -> None:
    assert imported(tmp_path / "session") == []


def test_a_command_imports_the_shell(tmp_path: Path) -> None:
    assert "agent_runner.sandbox" in imported(tmp_path / "session", "bash")
