import subprocess
import sys
from pathlib import Path

import actors

README = Path(actors.__file__).parent / "README.md"


def test_the_readmes_example_runs_and_prints_what_it_says() -> None:
    example = README.read_text().partition("```python\n")[2].partition("```")[0]
    run = subprocess.run(
        [sys.executable, "-c", example], cwd=README.parent.parent, capture_output=True, text=True, check=True
    )
    assert run.stdout == "200\n"
