"""The contexts of builds, and an engine's reports of a build."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanoclaw.runtimes.images import (
    Build,
    BuildContext,
    BuildFailed,
    Progress,
    Recipe,
    agent_context,
    base_context,
    base_image,
    build,
)
from nanoclaw.runtimes.images.recipe import forwarded
from nanoclaw.runtimes.protocol import Packages

PACKAGES = Packages(apt=("ffmpeg",), pip=("rich==13.9",), npm=("@scope/name@1.2",))


class FakeEngine:
    """Answers each build with the same values."""

    def __init__(self, *values: dict[str, Any]) -> None:
        self.values = values
        self.options: dict[str, Any] = {}
        self.names: list[str] = []

    def build(self, **options: Any) -> Iterator[dict[str, Any]]:
        self.options = options
        with tarfile.open(fileobj=options["fileobj"]) as tar:
            self.names = tar.getnames()
        return iter(self.values)


def dockerfile(context: BuildContext) -> str:
    content = context.files[context.dockerfile]
    assert isinstance(content, bytes)
    return content.decode()


def test_the_context_has_the_runner_its_schema_and_no_bytecode() -> None:
    engine = FakeEngine()
    build(engine, Build("x:1", base_context(Recipe()), {"a": "b"}), lambda _: None)
    assert {"container/Dockerfile", "container/requirements.txt", "container/agent_runner/main.py"} <= set(
        engine.names
    )
    assert any(name.startswith("schema/outbound/") for name in engine.names)
    assert not any("__pycache__" in name or name.startswith("schema/central") for name in engine.names)
    assert (engine.options["tag"], engine.options["labels"]) == ("x:1", {"a": "b"})
    assert "network_mode" not in engine.options


def test_an_image_is_named_for_what_it_is_built_from(tmp_path: Path) -> None:
    plain = base_image(base_context(Recipe()))
    assert base_image(base_context(Recipe())) == plain
    assert base_image(base_context(Recipe(environment={"HTTPS_PROXY": "http://p"}))) == plain
    assert base_image(base_context(Recipe(tools=()))) != plain
    assert base_image(base_context(Recipe(base_image="debian:12"))) != plain
    (tmp_path / "a-1-py3-none-any.whl").write_bytes(b"x")
    assert base_image(base_context(Recipe(wheels=tmp_path))) != plain


def test_the_same_files_give_the_same_archive() -> None:
    archives = [io.BytesIO(), io.BytesIO()]
    for archive in archives:
        base_context(Recipe()).write(archive)
    assert archives[0].getvalue() == archives[1].getvalue()


def test_packages_are_arguments_of_their_installers_and_no_shell_reads_them() -> None:
    lines = dockerfile(agent_context("base:1", PACKAGES, Recipe())).splitlines()
    assert lines[0] == "FROM base:1"
    runs = [json.loads(line.removeprefix("RUN ")) for line in lines if line.startswith("RUN ")]
    assert ["apt-get", "install", "-y", "--no-install-recommends", "--", "ffmpeg", "nodejs", "npm"] in runs
    assert ["python3", "-m", "pip", "install", "--no-cache-dir", "--", "rich==13.9"] in runs
    assert ["npm", "install", "--global", "--no-fund", "--no-audit", "--", "@scope/name@1.2"] in runs
    assert lines[-1] == "USER 10001:10001"


def test_python_packages_come_from_the_wheels_if_there_are_any_and_the_image_does_not_keep_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "rich-13.9-py3-none-any.whl").write_bytes(b"x")
    context = agent_context("base:1", Packages(pip=("rich",)), Recipe(wheels=tmp_path))
    assert "wheels/rich-13.9-py3-none-any.whl" in context.files
    first, last = dockerfile(context).split("FROM base:1\n")
    assert '"--no-index", "--find-links", "/tmp/wheels"' in first
    assert "COPY --from=packages /opt/agent /opt/agent" in last
    assert "wheels" not in last
    assert ":/opt/agent\n" in last


def test_installers_that_have_nothing_to_do_do_not_run() -> None:
    text = dockerfile(agent_context("base:1", Packages(pip=("rich",)), Recipe()))
    assert "apt-get" not in text
    assert "npm" not in text


def test_steps_are_reported_with_their_number_and_chatter_is_not() -> None:
    said: list[dict[str, Any]] = [
        {"stream": "Step 2/9 : RUN   a   b\n"},
        {"stream": " ---> Running in 0123\n"},
        {"stream": "\x1b[91mReading\x1b[0m lists\n\n"},
        {"status": "Pulling from x"},
        {"aux": {"ID": "sha256:1"}},
    ]
    reported = list[Progress]()
    build(FakeEngine(*said), Build("x:1", agent_context("b", PACKAGES, Recipe()), {}), reported.append)
    assert reported == [Progress("RUN a b", 2, 9), Progress("Reading lists"), Progress("Pulling from x")]


def test_a_failure_has_the_last_lines_of_the_step_that_failed() -> None:
    said: list[dict[str, Any]] = [
        {"stream": "Step 1/2 : FROM b\n"},
        {"stream": "old news\n"},
        {"stream": "Step 2/2 : RUN x\n"},
        {"stream": "E: Unable to locate package ffmpg\n"},
        {"error": "The command returned a non-zero code: 100"},
    ]
    with pytest.raises(BuildFailed) as caught:
        build(FakeEngine(*said), Build("x:1", agent_context("b", PACKAGES, Recipe()), {}), lambda _: None)
    assert str(caught.value) == (
        "The command returned a non-zero code: 100: E: Unable to locate package ffmpg"
    )


def test_a_build_is_given_the_host_s_proxy_and_index_and_nothing_else() -> None:
    environment = {"PIP_INDEX_URL": "https://index", "HTTPS_PROXY": "http://p", "SECRET": "s", "no_proxy": ""}
    assert forwarded(environment) == {"PIP_INDEX_URL": "https://index", "HTTPS_PROXY": "http://p"}
    assert Recipe(environment=forwarded(environment)).arguments["PIP_INDEX_URL"] == "https://index"
