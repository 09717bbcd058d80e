"""Homes whose images are built by a real engine, without a network, on the base of tests."""

import json
import re
from pathlib import Path

from nanoclaw.system.resources import container_dir
from tests.engine.agent_image import BASE, import_base
from tests.engine.fixtures import CACHE
from tests.engine.private_engine import PrivateEngine
from tests.sandbox.parcels import wheel

SDKS = ("anthropic", "mcp", "openai")


def with_base(engine: PrivateEngine) -> None:
    """Give an engine the base of images."""
    with engine.client() as client:
        if not client.images(name=BASE):
            import_base(client, CACHE)


def wheels(folder: Path, *, real: bool = False) -> Path:
    """Make a folder with wheels of all that an image needs, and of the package `greeting`.

    They are empty but for those of the runner if they are to be `real`. Those are linked from the cache.
    """
    folder.mkdir()
    wheel(folder, "greeting")
    for line in (container_dir() / "requirements.txt").read_text("utf-8").splitlines():
        name = re.match(r"[a-z0-9-]+", line)
        if name is not None and (not real or name[0] in SDKS):
            wheel(folder, name[0].replace("-", "_"), "9999.0")
    if real:
        for each in (CACHE / "wheels").glob("*.whl"):
            (folder / each.name).symlink_to(each)
    return folder


def image_home(home: Path, socket: Path, found: Path) -> Path:
    """Write the configuration of a home with the docker runtime."""
    settings = {"socket": str(socket), "base_image": BASE, "wheels": str(found), "build_network": "none"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    text = '[sandbox]\nruntime = "docker"\n[runtimes.docker]\ntools = []\n'
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(text + "\n".join(lines) + "\n")
    return home


def approve(home: Path, folder: str, *names: str) -> None:
    """Approve packages of Python for an agent."""
    group = home / "groups" / folder
    group.mkdir(parents=True, exist_ok=True)
    (group / "container.json").write_text(json.dumps({"packages": {"pip": names}}))
