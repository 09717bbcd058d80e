"""The image of a runner for tests, built without a network on a base of Debian packages."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import evolve
from docker import APIClient

from nanoclaw.runtimes.images import Build, BuildContext, Recipe, base_context, base_image, build
from nanoclaw.system.resources import container_dir
from tests.engine.base_image import NoPackages, base_tar

BASE = "nanoclaw-test-base:1"
NOT_NEEDED = re.compile(r"(anthropic|openai|mcp)\b.*")
"""The SDKs. Compiling them takes longer than all tests with an engine."""


def ensure(client: APIClient, cache: Path) -> str:
    """Build the image, or load it from `cache`, which keeps what is costly between runs. Return its name.

    Raises:
        NoPackages: packages cannot be downloaded.
        BuildFailed: the engine could not build it.
    """
    requirements = cache / "requirements.txt"
    cache.mkdir(parents=True, exist_ok=True)
    requirements.write_text("\n".join(_needed()) + "\n")
    base_tar(cache)
    context = _context(requirements, _wheels(cache, requirements))
    image = base_image(context)
    saved = cache / f"{image.replace(':', '-')}.tar"
    if saved.exists():
        with saved.open("rb") as tar:
            client.load_image(tar)
    else:
        import_base(client, cache)
        engine: Any = client  # its stubs name each option
        build(engine, Build(image, context, {}, network="none"), lambda _: None)
        _save(client, image, saved)
    return image


def _needed() -> Iterator[str]:
    for line in (container_dir() / "requirements.txt").read_text("utf-8").splitlines():
        if not NOT_NEEDED.fullmatch(line):
            yield line


def _context(requirements: Path, wheels: Path) -> BuildContext:
    context = base_context(Recipe(base_image=BASE, tools=(), wheels=wheels))
    return evolve(context, files={**context.files, "container/requirements.txt": requirements})


def import_base(client: Any, cache: Path) -> None:
    """Give an engine the base of images for tests, `BASE`. Raises NoPackages."""
    repository, _, tag = BASE.partition(":")
    with base_tar(cache).open("rb") as tar:
        client.import_image_from_data(tar, repository=repository, tag=tag)


def _save(client: APIClient, image: str, saved: Path) -> None:
    for old in saved.parent.glob(f"{image.partition(':')[0]}-*.tar"):
        old.unlink()
    part = saved.with_suffix(".part")
    with part.open("wb") as tar:
        for piece in client.get_image(image):
            tar.write(piece)
    part.rename(saved)


def _wheels(cache: Path, requirements: Path) -> Path:
    """Download the wheels of the runner's packages for the Python of the base image."""
    wheels = cache / "wheels"
    done = wheels / "requirements.txt"
    if not done.exists() or done.read_bytes() != requirements.read_bytes():
        shutil.rmtree(wheels, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", str(wheels)]
        command += ["--python-version", _python_of(cache), "-r", str(requirements)]
        got = subprocess.run(command, check=False, capture_output=True, text=True)
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
