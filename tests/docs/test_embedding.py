"""The programs of the pages about embedding run, and print what the pages say."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import trio

from nanoclaw.testing.conformance import (
    Check,
    ProviderUnderTest,
    provider_checks,
)
from nanoclaw.testing.conformance.channel import CHECKS as CHANNEL
from nanoclaw.testing.conformance.lifecycle import CHECKS as LIFECYCLE
from nanoclaw.testing.conformance.provider import CHECKS as PROVIDER

DOCS = Path(__file__).parents[2] / "docs"
TEXT = "\n".join(
    (DOCS / "how-to" / f"{page}.md").read_text("utf-8")
    for page in (
        "embed-in-a-trio-program",
        "administer-from-a-program",
        "write-a-channel",
        "write-a-provider",
        "test-a-channel-or-provider",
    )
)
PROGRAMS = re.findall(r"^```python\n(.*?)^```$.*?^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_program_of_the_pages_is_run() -> None:
    assert len(PROGRAMS) == TEXT.count("```python\n") == 2


@pytest.mark.parametrize(("program", "output"), PROGRAMS, ids=["first program", "admin"])
def test_a_program_prints_the_documented_output(tmp_path: Path, program: str, output: str) -> None:
    file = tmp_path / "program.py"
    file.write_text(program, "utf-8")
    assert printed(tmp_path, file) == output


def printed(tmp_path: Path, program: Path) -> str:
    """Return the output of a program that runs as a process of its own, on a home of its own."""
    settings = {"NANOCLAW_HOME": str(tmp_path / "home"), "NANOCLAW_MODEL_PROVIDER": "echo", "PYTHONUTF8": "1"}
    run = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        env={**os.environ, **settings},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# -- the programs in docs/embedding ----------------------------------------------

FILES = re.findall(
    r"\[`docs/embedding/(\w+)\.py`\]\(\.\./.*?^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
)
FOLDER = DOCS / "embedding"


def test_the_pages_show_every_program_of_the_folder() -> None:
    assert sorted(name for name, _ in FILES) == sorted(file.stem for file in FOLDER.glob("*.py"))


@pytest.mark.parametrize(("name", "output"), FILES, ids=[name for name, _ in FILES])
def test_a_program_of_the_folder_prints_the_documented_output(tmp_path: Path, name: str, output: str) -> None:
    assert printed(tmp_path, FOLDER / f"{name}.py") == output


@pytest.mark.slow
def test_all_programs_run_one_after_the_other_on_one_home_and_the_first_once_more(tmp_path: Path) -> None:
    programs = [(tmp_path / f"{n}.py", output) for n, (_, output) in enumerate(PROGRAMS)]
    for (file, _), (program, _) in zip(programs, PROGRAMS, strict=True):
        file.write_text(program, "utf-8")
    programs += [(FOLDER / f"{name}.py", output) for name, output in FILES]
    for file, output in (*programs, programs[0]):
        assert printed(tmp_path, file) == output


# -- conformance ----------------------------------------------------------------

FRAGMENTS = re.findall(r"^```py\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
[FOLDER_TEST] = [fragment for fragment in FRAGMENTS if "channel_checks" in fragment]
[SMALLEST] = [fragment for fragment in FRAGMENTS if "(SimpleProvider)" in fragment]


def test_the_channel_of_the_folder_passes_the_conformance_test_of_its_page(tmp_path: Path) -> None:
    (tmp_path / "test_folder.py").write_text(FOLDER_TEST, "utf-8")
    run = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "pytest",
            "-q",
            "-o",
            "trio_mode=true",
            "-p",
            "no:cacheprovider",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path])},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(CHANNEL)} passed" in run.stdout


def load(name: str) -> Any:
    """Import a program as a module, without running it."""
    spec = spec_from_file_location(f"embedding_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_smallest_provider_of_the_pages_answers(autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    parts: dict[str, Any] = {}
    exec(SMALLEST, parts)  # noqa: S102 -- it is ours

    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(parts["Shout"]())

    [check] = [one for one in provider_checks(opens) if one.name == "what_is_asked_is_answered"]
    assert await check() is None


@pytest.mark.parametrize("check", [check.__name__ for check in (*PROVIDER, *LIFECYCLE)])
async def test_the_provider_of_the_folder_conforms(
    check: str, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(load("provider").Shout())

    await one(provider_checks(opens), check)()


def one(checks: Sequence[Check], name: str) -> Check:
    [found] = [check for check in checks if check.name == name]
    return found
