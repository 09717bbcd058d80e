"""Build contexts: the files that an image is built from, as one archive, and their digest.

The digest is part of the image's name. So an image of another version of NanoClaw is never taken for ours.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from attrs import frozen

from nanoclaw.runtimes.images.recipe import Recipe
from nanoclaw.runtimes.protocol import Packages
from nanoclaw.system.resources import container_dir, runner_dir, schema_dir

DOCKERFILE = "container/Dockerfile"
SCHEMAS = ("outbound", "notes")
AGENT_DOCKERFILE = "Dockerfile"
PIP = ("python3", "-m", "pip", "install", "--no-cache-dir")
OFFLINE = "/opt/agent"
"""The folder of an agent's Python packages in its image, if they come from wheels."""
SPOOL = 32 << 20
"""Bytes of an archive that are kept in memory; a longer one is a file without a name."""


@frozen
class BuildContext:
    """The files of a build by their paths, and the arguments of its Dockerfile."""

    dockerfile: str
    files: Mapping[str, bytes | Path]
    arguments: Mapping[str, str]
    digested: Mapping[str, str]
    """The arguments that change the image."""

    @cached_property
    def digest(self) -> str:
        """The first 12 hexadecimal digits of the hash of all files and of the arguments. Blocking."""
        hashed = sha256(json.dumps(sorted(self.digested.items())).encode())
        for name in sorted(self.files):
            hashed.update(f"{name}\0".encode())
            hashed.update(sha256(_content(self.files[name])).digest())
        return hashed.hexdigest()[:12]

    def write(self, archive: io.BufferedIOBase) -> None:
        """Write it as a tar archive, the same bytes for the same files. Blocking."""
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in sorted(self.files):
                content = _content(self.files[name])
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))


def base_context(recipe: Recipe) -> BuildContext:
    """Return what the image of all agents is built from. Blocking.

    Raises:
        ResourceMissing: the installation is incomplete.
        OSError: a file cannot be read.
    """
    arguments = recipe.arguments
    changing = {name: value for name, value in arguments.items() if name not in recipe.environment}
    return BuildContext(DOCKERFILE, dict(_base_files(recipe)), arguments, changing)


def _base_files(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    for name in ("Dockerfile", "requirements.txt"):
        yield f"container/{name}", container_dir() / name
    runner = runner_dir() / "agent_runner"
    for file in runner.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            yield f"container/agent_runner/{file.relative_to(runner)}", file
    for schema in SCHEMAS:
        for file in (schema_dir() / schema).glob("*.sql"):
            yield f"schema/{schema}/{file.name}", file
    for file in _wheels(recipe):
        yield f"container/wheels/{file.name}", file


def _wheels(recipe: Recipe) -> Sequence[Path]:
    """Return the configured wheels. Raises OSError if there are none in their folder."""
    if recipe.wheels is None:
        return ()
    found = sorted(each for each in recipe.wheels.iterdir() if each.suffix == ".whl")
    if not found:
        raise FileNotFoundError(f"{recipe.wheels}: there is no wheel (*.whl) in this folder")
    return found


def agent_context(base: str, packages: Packages, recipe: Recipe) -> BuildContext:
    """Return what an agent's own image is built from: the image of all agents, and the agent's packages.

    Blocking if the recipe has wheels. Raises OSError.
    """
    wheels = _wheels(recipe) if packages.pip else ()
    text = "\n".join(_agent_lines(base, packages, from_wheels=bool(wheels))) + "\n"
    files = {f"wheels/{file.name}": file for file in wheels}
    return BuildContext(AGENT_DOCKERFILE, {AGENT_DOCKERFILE: text.encode(), **files}, recipe.environment, {})


def _agent_lines(base: str, packages: Packages, *, from_wheels: bool) -> Iterator[str]:
    """Yield the Dockerfile. Each package is one argument of a program: no shell reads it."""
    begins = (f"FROM {base}", "ARG PIP_INDEX_URL", "ENV PIP_BREAK_SYSTEM_PACKAGES=1 PYTHONPATH=", "USER 0:0")
    if from_wheels:  # in a stage of its own, so that the image has no wheels
        yield from (f"{begins[0]} AS packages", *begins[1:], "COPY wheels /tmp/wheels")
        offline = ("--no-index", "--find-links", "/tmp/wheels", "--target", OFFLINE)  # noqa: S108 -- in the image
        yield _run(*PIP, *offline, "--", *packages.pip)
    yield from begins
    apt = [*packages.apt, *(("nodejs", "npm") if packages.npm else ())]
    if apt:
        yield _run("apt-get", "update")
        yield _run("apt-get", "install", "-y", "--no-install-recommends", "--", *apt)
        yield _run("rm", "-rf", "/var/lib/apt/lists", "/var/cache/apt")
    if from_wheels:
        yield f"COPY --from=packages {OFFLINE} {OFFLINE}"
        yield f"ENV PATH=$PATH:{OFFLINE}/bin"
    elif packages.pip:
        yield _run(*PIP, "--", *packages.pip)
    if packages.npm:
        yield _run("npm", "install", "--global", "--no-fund", "--no-audit", "--", *packages.npm)
        yield "ENV NODE_PATH=/usr/local/lib/node_modules"
    yield f"ENV PYTHONPATH=/opt/nanoclaw:/opt/nanoclaw/packages{f':{OFFLINE}' if from_wheels else ''}"
    yield "USER 10001:10001"


def _run(*command: str) -> str:
    return f"RUN {json.dumps(command)}"


def _content(file: bytes | Path) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()
