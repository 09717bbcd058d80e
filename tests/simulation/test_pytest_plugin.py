"""The pytest plugin in a project that enables it, and the cost of importing the harness."""

import subprocess
import sys
from pathlib import Path

TESTS = '''
import pytest
from hypothesis import given
from hypothesis.strategies import integers


@given(n=integers())
async def test_with_examples(world, n):
    """Would have one world for all."""


def test_that_is_not_async(world):
    """Cannot have one."""


async def test_that_can_have_one(world):
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello")


@pytest.mark.world(3)
async def test_with_a_seed_without_its_name(world):
    """Would have another seed."""


async def test_that_fails_by_an_expectation(world):
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("goodbye", within=1)


async def test_that_fails_otherwise(world):
    await world.user("ben").says("hello", in_=await world.direct(world.user("ben")))
    assert world.now is None
'''


def run(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_a_project_that_switches_the_plugin_on(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["nanoclaw.testing.pytest"]\n')
    (tmp_path / "test_mine.py").write_text(TESTS)
    shown = run(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", "-rA")
    assert "1 passed, " in shown
    assert "PASSED test_mine.py::test_that_can_have_one" in shown
    assert "test_that_is_not_async is no `async def`, and the fixture `world` is for those alone" in shown
    assert "test_with_examples: a fixture is there once for all examples" in shown
    assert "`@pytest.mark.world(seed=3)`, if that is the seed" in shown
    assert "ERROR test_mine.py::test_with_a_seed_without_its_name" in shown
    [expected, otherwise] = shown.split("__ test_that_fails_by_an_expectation __")[1].split(
        "__ test_that_fails_otherwise __"
    )
    assert expected.count("the timeline (the last ") == 1
    assert otherwise.split("short test summary")[0].count("the timeline (the last ") == 1


def test_the_command_line_does_not_load_the_harness(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom nanoclaw.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in sys.modules if name.startswith('nanoclaw.testing')])\n"
    )
    assert run(tmp_path, "-c", program).endswith("\n[]\n")
