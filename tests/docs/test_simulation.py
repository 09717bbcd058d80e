"""The first test of docs/simulation.md passes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nanoclaw.recording.writer import BATCH_S
from nanoclaw.simulation.faults import NAMES
from tests.docs.faults import up_to_date

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/simulation.md").read_text("utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_first_test_of_the_page_passes_with_the_plugin_as_documented(tmp_path: Path) -> None:
    """With the report of a test that fails, which shows what happened in its world."""
    first, conftest, *others = PYTHON
    [clicks] = [block for block in others if "clicks" in block]
    (tmp_path / "test_first.py").write_text(f"{first}\n\n{clicks}", "utf-8")
    (tmp_path / "test_failing.py").write_text(f"{first}    assert chat is None\n", "utf-8")
    (tmp_path / "conftest.py").write_text(conftest, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n", "utf-8")
    run = run_pytest(tmp_path, "--world-seed=7")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "1 failed, 2 passed" in run.stdout
    assert "FAILED test_failing.py" in run.stdout
    assert re.search(r"the timeline \(the last \d+ of \d+ events, without commits; seed 7\)", run.stdout)
    assert re.search(r"delivered +ann +message +fake-1 .*'echo: hello'", run.stdout)


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'container'}"},
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_every_public_name_comes_from_one_module_as_documented() -> None:
    _, _, imports, *_ = PYTHON
    found: dict[str, object] = {}
    exec(imports, found)  # noqa: S102 -- it is our own page
    assert {"World", "simulate", "script", "ExpectationFailed"} < found.keys()


def test_the_page_states_how_much_of_a_recording_a_kill_loses() -> None:
    assert f"in the last {BATCH_S:g} s before `kill -9`" in PAGE


def test_the_brains_on_the_page_are_valid_python() -> None:
    compile("\n".join(PYTHON), "docs/simulation.md", "exec")
    assert len(PYTHON[0].splitlines()) < 10


def test_the_faults_of_the_page_match_the_fault_table() -> None:
    assert up_to_date(PAGE) == PAGE, "run `make docs`"
    assert all(f"\n| `{name}` |" in PAGE for name in NAMES)
