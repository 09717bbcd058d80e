"""The image of a runner's container."""

from hashlib import sha256
from pathlib import Path

from nanoclaw.runtimes.protocol import RunnerSpec
from nanoclaw.system.resources import container_dir, runner_dir, schema_dir

NAME = "nanoclaw-agent"
SHOWN = 12
"""Characters of the hash that a tag has."""


def image_for(spec: RunnerSpec, configured: str | None) -> str:
    """Return the image of a specification: that of its agent, else the configured one, else our own."""
    return spec.image or configured or own_image()


def own_image() -> str:
    """Return the image that this installation builds. Its tag changes with the files that it is built from."""
    return f"{NAME}:{context_hash()[:SHOWN]}"


def context_hash() -> str:
    """Return a hash of all files that our image is built from. It reads them, about 1 MB."""
    digest = sha256()
    for folder in (container_dir(), runner_dir() / "agent_runner", schema_dir()):
        for file in sorted(path for path in folder.rglob("*") if _counts(path)):
            digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and "wheels" not in path.parts
