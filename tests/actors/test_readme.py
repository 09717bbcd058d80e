import re
import subprocess
import sys
from pathlib import Path

import pytest

import actors

README = Path(actors.__file__).parent / "README.md"
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```$\n\n^```text\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
)


def test_every_example_of_the_readme_is_run() -> None:
    assert len(EXAMPLES) == README.read_text("utf-8").count("```python\n") == 2


@pytest.mark.parametrize(("example", "output"), EXAMPLES, ids=["ask", "bury"])
def test_an_example_of_the_readme_prints_the_documented_output(example: str, output: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=README.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == output
