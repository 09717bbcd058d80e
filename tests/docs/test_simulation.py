"""The first test of docs/simulation.md passes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/simulation.md").read_text("utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_first_test_of_the_page_passes_with_the_plugin_switched_on_as_it_says(tmp_path: Path) -> None:
    first, conftest, *_ = PYTHON
    (tmp_path / "test_first.py").write_text(first, "utf-8")
    (tmp_path / "conftest.py").write_text(conftest, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n", "utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_first.py"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'container'}"},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


def test_the_brains_of_the_page_are_python() -> None:
    compile("\n".join(PYTHON), "docs/simulation.md", "exec")
    assert len(PYTHON[0].splitlines()) < 10
