"""The tests of sandboxes again, as an ordinary user."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ordinary_user import NOBODY
from tests.sandbox.needed import need_bubblewrap

HERE = Path(__file__).parent
MODULES = (
    *(f"sandbox/test_bubblewrap_{name}" for name in ("walls", "deaths", "limits", "hosts")),
    "hostile/test_hostile_bubblewrap",
)
RUNS = "import os, sys, trio; os.stat(os.path.realpath(sys.executable))"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="all tests run as an ordinary user"),
]


def interpreter() -> str:
    """Return an interpreter of this version that an ordinary user may run."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        if os.path.exists(program) and _runs(program):  # noqa: PTH110 -- a text
            return program
    pytest.skip(f"NO ORDINARY USER IS TESTED: no {version} that one may run")


def as_user(command: list[str], home: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command as an ordinary user, with the packages of this interpreter."""
    packages = [each for each in sys.path if each.endswith("site-packages")]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CI": os.environ.get("CI", ""),
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE.parents[1] / "container"), *packages]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    return subprocess.run(
        [*user, *command], cwd=HERE.parents[1], env=environment, capture_output=True, text=True, check=False
    )


def _runs(program: str) -> bool:
    return as_user([program, "-c", RUNS], Path("/")).returncode == 0


@pytest.mark.parametrize("module", MODULES)
def test_it_holds_for_an_ordinary_user(module: str) -> None:
    need_bubblewrap()
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv to become another user")
    program = interpreter()
    folder = Path("/tmp", f"nanoclaw-{os.getpid()}-{Path(module).name}")  # noqa: S108 -- pytest's own is for root alone
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    try:
        test = HERE.parent / f"{module}.py"
        command = [
            program,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            f"{folder}/tests",
            str(test),
        ]
        ran = as_user(command, folder)
        assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    finally:
        shutil.rmtree(folder)
