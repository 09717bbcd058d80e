"""`nanoclaw image` with a real engine."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from nanoclaw.cli.images import settings
from nanoclaw.config import load_config
from nanoclaw.runtimes.images.builds import own_order
from tests.cli.commands import GUARD_S, NANOCLAW, Result, call, environment, run
from tests.docker_runtime.image_homes import approve, image_home, wheels, with_base
from tests.engine.agent_image import BASE
from tests.engine.fixtures import EngineForTests
from tests.engine.private_engine import PrivateEngine

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, engine: EngineForTests) -> Path:
    with_base(engine.engine)
    return image_home(tmp_path / "home", engine.socket, wheels(tmp_path / "wheels"))


def image(home: Path, *words: str) -> Result:
    return call("image", *words, "--home", str(home), NANOCLAW_SANDBOX_RUNTIME="docker")


def test_images_are_built_once_with_their_progress_and_a_wrong_package_leaves_the_others(home: Path) -> None:
    first = image(home, "build", "--json")
    assert first.code == 0, first.stderr
    [own] = json.loads(first.output)
    assert (own["built"], own["error"], own["purpose"]) == (True, None, "the image of all agents")
    assert first.errors[0] == f"Building the image of all agents, {own['image']} ..."
    assert any(line.strip().startswith("2/") for line in first.errors)

    approve(home, "main", "greeting")
    unknown = image(home, "build")
    assert (unknown.code, unknown.errors) == (0, ["Images of agents are built once a host has run here."])
    assert unknown.output == f"{own['image']}  the image of all agents, was there already\n"

    run(home, NANOCLAW_SANDBOX_RUNTIME="process")
    approve(home, "other", "nowhere_to_be_found")
    second = image(home, "build", "--json")
    assert second.code == 1
    _, main, other = json.loads(second.output)
    assert (main["built"], main["purpose"]) == (True, "the image of main")
    assert not other["built"]
    assert "No matching distribution found for nowhere_to_be_found" in other["error"]

    only = image(home, "build", "--agent", "main")
    assert only.code == 0
    assert only.output.splitlines()[1:] == [f"{main['image']}  the image of main, was there already"]
    listed = {each["image"]: each for each in json.loads(image(home, "list", "--json").output)}
    assert (listed[main["image"]]["agent"], listed[own["image"]]["agent"]) == ("main", None)
    assert listed[main["image"]]["size_mb"] >= listed[own["image"]]["size_mb"] > 0
    assert main["image"] in image(home, "list").output


def test_prune_removes_an_earlier_image_once_its_successor_is_there(
    tmp_path: Path, bare_engine: PrivateEngine
) -> None:
    with_base(bare_engine)
    home = image_home(tmp_path / "home", bare_engine.socket, wheels(tmp_path / "wheels"))
    run(home, NANOCLAW_SANDBOX_RUNTIME="process")
    own = own_order(settings(load_config(home=home, environ={})).recipe).image
    with bare_engine.client() as client:
        client.tag(BASE, "nanoclaw-agent", "0123456789ab")
        assert image(home, "prune").errors == ["There is none to remove."]
        repository, tag = own.split(":")
        client.tag(BASE, repository, tag)
    assert image(home, "prune").output == "nanoclaw-agent:0123456789ab  removed\n"
    assert [each["image"] for each in json.loads(image(home, "list", "--json").output)] == [own]


def test_an_engine_that_is_away_is_named(tmp_path: Path) -> None:
    home = image_home(tmp_path / "home", tmp_path / "none.sock", tmp_path)
    for words in (["build"], ["list"]):
        result = image(home, *words)
        assert result.code == 2
        assert f"{tmp_path}/none.sock" in result.errors[0]


def test_wheels_that_are_not_there_are_named(tmp_path: Path, engine: EngineForTests) -> None:
    result = image(image_home(tmp_path / "home", engine.socket, tmp_path), "build")
    assert (result.code, "there is no wheel (*.whl) in this folder" in result.errors[0]) == (2, True)


def test_ctrl_c_ends_a_build_at_once_and_leaves_no_image(home: Path) -> None:
    command = [*NANOCLAW, "image", "build", "--home", str(home), "--again"]
    wanted = {"NANOCLAW_SANDBOX_RUNTIME": "docker", "NANOCLAW_RUNTIMES_DOCKER_TOOLS": '["no-such-tool"]'}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(**wanted)) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert b"Building the image of all agents" in line
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=GUARD_S)
    assert process.returncode == 128 + signal.SIGINT
    name = line.decode().split(", ")[1].split(" ")[0]
    assert name not in image(home, "list").output
