"""The doctor's look at sandboxes, with an engine that answers as told."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from threading import Thread
from typing import Any

import pytest

from nanoclaw.agents import mounts
from nanoclaw.agents.blocked_places import Blocked
from nanoclaw.cli.doctor import sandbox as sandbox_doctor
from nanoclaw.cli.doctor.findings import Finding
from nanoclaw.cli.doctor.sandbox import sandbox
from nanoclaw.config import config_of
from nanoclaw.runtimes import Packages
from nanoclaw.runtimes.bubblewrap.installing import version_of
from nanoclaw.setup import sandboxes

IMAGE = "agents:1"
ENGINE = {"/_ping": "OK", "/version": {"Version": "27.1"}, f"/images/{IMAGE}/json": {"Id": "1"}}


@contextmanager
def an_engine(folder: Path, answers: Mapping[str, object]) -> Iterator[str]:
    """Serve these answers, by path. Yields the value of DOCKER_HOST."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path)
            self.send_response(404 if answer is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 -- its name in http.server
            """Say nothing."""

        def address_string(self) -> str:
            return "a test"

    path = folder / "engine.sock"
    with UnixStreamServer(str(path), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"unix://{path}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have the extra, no engine, and no list of mounts."""
    monkeypatch.setattr(sandboxes, "find_spec", lambda _: object())
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def look(home: Path, **settings: object) -> Mapping[str, Finding]:
    """Return the findings by area. Keys have `__` in the place of the dot."""
    config = config_of(home, {key.replace("__", "."): value for key, value in settings.items()})
    return {each.area: each for each in sandbox(config)}


def test_an_engine_is_shown_with_its_socket_version_and_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, object] = {"sandbox__runtime": "docker", "runtimes__docker__image": IMAGE}
    with an_engine(tmp_path, ENGINE) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        there = look(tmp_path, **settings)
        gone = look(tmp_path, sandbox__runtime="docker", runtimes__docker__image="agents:2")
    assert there["engine"].level == "ok"
    assert there["engine"].text.endswith(f"answers at {tmp_path}/engine.sock, version 27.1")
    assert (there["image"].level, there["image"].text) == ("ok", f"{IMAGE} is there")
    assert (gone["image"].level, gone["image"].advice) == ("warning", "`docker pull agents:2` gets it")


def test_a_missing_image_of_ours_is_built_by_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with an_engine(tmp_path, ENGINE) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        found = look(tmp_path, sandbox__runtime="docker")
    assert (found["image"].level, found["image"].advice) == ("warning", "`nanoclaw image build` makes it")


@pytest.mark.parametrize("runtime", ["docker", "bubblewrap"])
def test_an_agent_without_its_approved_packages_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    group = tmp_path / "groups" / "main"
    group.mkdir(parents=True)
    (group / "container.json").write_text('{"packages": {"pip": ["rich"]}}')
    with an_engine(tmp_path, ENGINE) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        missing = look(tmp_path, sandbox__runtime=runtime)
        (group / "packages" / version_of(Packages(pip=("rich",)))).mkdir(parents=True)
        there = look(tmp_path, sandbox__runtime=runtime)
    assert missing["packages"].level == "warning"
    assert "main" in missing["packages"].text
    assert there["packages"].level == ("ok" if runtime == "bubblewrap" else "warning")


@pytest.mark.parametrize(("runtime", "level"), [("docker", "problem"), ("process", "ok")])
def test_a_missing_engine_is_a_problem_where_it_is_chosen(tmp_path: Path, runtime: str, level: str) -> None:
    found = look(tmp_path, sandbox__runtime=runtime)
    assert found["engine"].level == level
    assert "install Docker or Podman" in found["engine"].line
    assert "image" not in found


@pytest.mark.parametrize(("runtime", "level"), [("bubblewrap", "problem"), ("process", "ok")])
def test_a_bubblewrap_that_does_not_work_is_a_problem_where_it_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, level: str
) -> None:
    broken = sandboxes.Found("bubblewrap", works=False, words="it is not installed", advice="install it")
    monkeypatch.setattr(sandbox_doctor, "bubblewrap", lambda *_: broken)
    found = look(tmp_path, sandbox__runtime=runtime)
    assert found["bubblewrap"].level == level
    assert "install it" in found["bubblewrap"].line


def test_the_program_of_the_configuration_is_tried(tmp_path: Path) -> None:
    missing = tmp_path / "none" / "bwrap"
    found = look(tmp_path, sandbox__runtime="bubblewrap", runtimes__bubblewrap__program=str(missing))
    assert found["bubblewrap"].level == "problem"
    assert str(missing) in found["bubblewrap"].text


def test_the_list_of_mounts_and_what_agents_ask_beyond_it_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "Blocked", partial(Blocked, system=()))  # pytest's folders may be in /dev/shm
    listed = tmp_path / "config" / "nanoclaw" / "mounts.toml"
    home, given = tmp_path / "home", tmp_path / "given"
    agent = home / "groups" / "main"
    for folder in (agent, given, listed.parent):
        folder.mkdir(parents=True, mode=0o700)
    container = {"mounts": [{"source": str(given), "target": "/mnt/given"}]}
    (agent / "container.json").write_text(json.dumps(container))
    missing = look(home, sandbox__runtime="bubblewrap")["mounts"]
    assert (missing.level, f"{listed} is missing" in missing.text) == ("problem", True)
    listed.write_text(f'[[allow]]\npath = "{given}"\n')
    listed.chmod(0o600)
    good = look(home, sandbox__runtime="bubblewrap")["mounts"]
    assert good.text == f"{listed} allows 1 folders, and agents have 1 mounts"
    listed.chmod(0o666)
    unsafe = look(home, sandbox__runtime="bubblewrap")["mounts"]
    assert (unsafe.level, f"`chmod 600 {listed}`" in unsafe.text) == ("problem", True)


def test_a_touched_reserve_is_a_problem_for_sandboxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_doctor, "free_bytes", lambda _: 500 << 20)
    assert look(tmp_path, sandbox__runtime="bubblewrap")["reserve"].level == "problem"
    assert look(tmp_path, sandbox__runtime="process")["reserve"].level == "ok"
