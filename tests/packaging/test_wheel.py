"""The wheel, installed in an environment of its own and run from an empty directory. No network is needed."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from zipfile import ZipFile

import pytest
from attrs import frozen

CHECKOUT = Path(__file__).parents[2]
LIBRARIES = Path(sysconfig.get_path("purelib"))
"""Where the tests' own environment has what NanoClaw depends on."""
GUARD_S = 120
Command = list[str | Path]


@frozen
class Installation:
    """An environment with the wheel in it."""

    root: Path

    @property
    def scripts(self) -> Path:
        """Its `bin`."""
        return self.root / "bin"

    @property
    def packages(self) -> Path:
        """Its `site-packages`."""
        [packages] = self.root.glob("lib/python*/site-packages")
        return packages


def call(command: Command, text: str = "", cwd: Path = CHECKOUT, **variables: str) -> str:
    """Run a program without the checkout on its path; what it printed."""
    hidden = {"PYTHONPATH", "PYTHONHOME"}
    own = {k: v for k, v in os.environ.items() if k not in hidden and not k.startswith(("NANOCLAW_", "PIP_"))}
    done = subprocess.run(
        [str(part) for part in command],
        input=text,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**own, "NANOCLAW_SANDBOX_RUNTIME": "process", **variables},
        timeout=GUARD_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout."""
    target = tmp_path_factory.mktemp("wheel")
    pip: Command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    call([*pip, "--wheel-dir", target, CHECKOUT])
    [built] = target.glob("nanoclaw-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel beside the tests' own libraries: of those folders no further .pth file is read."""
    installation = Installation(tmp_path_factory.mktemp("installed"))
    call([sys.executable, "-m", "venv", "--without-pip", installation.root])
    pip: Command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        installation.scripts / "python",
        "install",
        "--quiet",
    ]
    call([*pip, "--no-deps", "--no-index", wheel])
    (installation.packages / "libraries.pth").write_text(f"{LIBRARIES}\n")
    return installation


def test_it_holds_the_three_packages_once_and_what_is_not_python(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"actors", "agent_runner", "nanoclaw"}
    assert {name for name in names if name.endswith("/agent_runner/main.py")} == set()
    typed = {f"{package}/py.typed" for package in ("actors", "agent_runner", "nanoclaw")}
    assert typed | {"nanoclaw/_resources/container/Dockerfile"} <= set(names)
    packed = {name.removeprefix("nanoclaw/_resources/") for name in names if name.endswith(".sql")}
    assert packed == {str(file.relative_to(CHECKOUT)) for file in (CHECKOUT / "schema").rglob("*.sql")}
    assert not [name for name in names if "test_" in name or "__pycache__" in name]


def test_it_answers_in_an_empty_directory(installed: Installation, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    command: Command = [installed.scripts / "python", "-m", "nanoclaw", "run", "--home", tmp_path / "home"]
    assert call(command, "hello\n", cwd=empty) == "echo: hello\n"
    assert list(empty.iterdir()) == []


def test_its_command_is_installed(installed: Installation, tmp_path: Path) -> None:
    nanoclaw = installed.scripts / "nanoclaw"
    assert re.fullmatch(r"nanoclaw \d+\.\d+\.\d+\n", call([nanoclaw, "--version"], cwd=tmp_path))
    assert call([nanoclaw, "run", "--home", tmp_path / "home"], "hi\n", cwd=tmp_path) == "echo: hi\n"


def test_it_also_runs_from_a_folder_that_is_only_on_the_path(installed: Installation, tmp_path: Path) -> None:
    command: Command = [sys.executable, "-S", "-m", "nanoclaw", "run", "--home", tmp_path / "home"]
    path = os.pathsep.join([str(installed.packages), str(LIBRARIES)])
    assert call(command, "hello\n", cwd=tmp_path, PYTHONPATH=path) == "echo: hello\n"


def test_its_parts_come_from_it_and_not_from_the_checkout(installed: Installation, tmp_path: Path) -> None:
    program = (
        "import actors, agent_runner, nanoclaw; from nanoclaw.system import resources as r;"
        "print(*(m.__file__ for m in (actors, agent_runner, nanoclaw)), r.schema_dir(), r.container_dir(),"
        " r.runner_dir(), sep='\\n')"
    )
    for line in call([installed.scripts / "python", "-c", program], cwd=tmp_path).splitlines():
        assert Path(line).is_relative_to(installed.packages)


def test_what_the_image_installs_the_host_depends_on_too_or_has_as_an_extra() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = chain.from_iterable(project["optional-dependencies"].values())
    host = _requirements([*project["dependencies"], *extras])
    runner = _requirements((CHECKOUT / "container/requirements.txt").read_text().splitlines())
    assert runner.items() <= host.items()


def _requirements(lines: Sequence[str]) -> Mapping[str, str]:
    """Versions by name, without markers and comments."""
    plain = (line.split(";")[0].split("#")[0].strip() for line in lines)
    return dict(line.split(">=") for line in plain if line)


def test_it_simulates_without_the_checkout(installed: Installation, tmp_path: Path) -> None:
    page = tmp_path / "day.html"
    arguments: Command = ["--seed", "1", "--days", "0.005", "--faults", "all", "--timeline", page]
    assert "violations" in call([installed.scripts / "nanoclaw", "simulate", *arguments], cwd=tmp_path)
    assert "<svg" in page.read_text()
