"""The programs of docs/embedding.md run, and print what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
PROGRAMS = re.findall(
    r"^```python\n(.*?)^```$.*?^```text\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
)


def test_every_program_of_the_page_is_tried() -> None:
    assert len(PROGRAMS) == PAGE.read_text("utf-8").count("```python\n") == 2


@pytest.mark.parametrize(("program", "output"), PROGRAMS, ids=["first program", "admin"])
def test_a_program_prints_what_the_page_says(tmp_path: Path, program: str, output: str) -> None:
    file = tmp_path / "program.py"
    file.write_text(program, "utf-8")
    settings = {"NANOCLAW_HOME": str(tmp_path / "home"), "NANOCLAW_PROVIDER": "echo", "PYTHONUTF8": "1"}
    run = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        env={**os.environ, **settings},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == output
