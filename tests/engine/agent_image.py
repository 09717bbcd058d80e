"""The image of `container/Dockerfile`, built without a network on the base image of these tests."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import docker

from nanoclaw.system.resources import container_dir, runner_dir, schema_dir
from tests.engine.base_image import NoPackages, base_tar

BASE = "nanoclaw-test-base:1"
IMAGE = "nanoclaw-agent:test"


def build(client: docker.DockerClient, cache: Path) -> str:
    """Build the image, and return its tag. `cache` keeps packages and wheels between runs.

    Raises:
        NoPackages: packages cannot be downloaded.
    """
    with base_tar(cache).open("rb") as tar:
        client.api.import_image_from_data(tar, repository=BASE.partition(":")[0], tag=BASE.partition(":")[2])
    context = cache / "context"
    _make_context(context, _wheels(cache))
    client.images.build(
        path=str(context),
        dockerfile="container/Dockerfile",
        tag=IMAGE,
        network_mode="none",
        rm=True,
        buildargs={"BASE_IMAGE": BASE, "PIP_ARGS": "--no-index", "TOOLS": ""},
    )
    return IMAGE


def _wheels(cache: Path) -> Path:
    """Download the wheels of the runner's packages for the Python of the base image."""
    requirements, wheels = container_dir() / "requirements.txt", cache / "wheels"
    done = wheels / "requirements.txt"
    if not done.exists() or done.read_bytes() != requirements.read_bytes():
        shutil.rmtree(wheels, ignore_errors=True)
        version = _python_of(cache)
        command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", str(wheels)]
        got = subprocess.run(
            [*command, "--python-version", version, "-r", str(requirements)], check=False, capture_output=True, text=True
        )
        if got.returncode != 0:
            raise NoPackages(f"pip download: {got.stderr.strip()[-500:]}")
        shutil.copy(requirements, done)
    return wheels


def _python_of(cache: Path) -> str:
    names = " ".join(file.name for file in (cache / "packages").glob("python3.*-minimal_*"))
    found = re.search(r"python(3\.\d+)-minimal_", names)
    if found is None:
        raise NoPackages(f"no package python3.X-minimal in {cache / 'packages'}")
    return found[1]


def _make_context(context: Path, wheels: Path) -> None:
    shutil.rmtree(context, ignore_errors=True)
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(container_dir(), context / "container", ignore=without)
    if not (context / "container/agent_runner").exists():
        shutil.copytree(runner_dir() / "agent_runner", context / "container/agent_runner", ignore=without)
    shutil.copytree(schema_dir(), context / "schema", ignore=without)
    shutil.copytree(wheels, context / "container/wheels", ignore=shutil.ignore_patterns("requirements.txt"))
