from pathlib import Path

import pytest

from nanoclaw.system import resources


def test_a_checkout_contains_the_schema_and_the_runner() -> None:
    assert (resources.schema_dir() / "central").is_dir()
    assert (resources.container_dir() / "Dockerfile").is_file()
    assert (resources.runner_dir() / "agent_runner").is_dir()


def test_a_wheel_has_the_schema_in_the_package_and_the_runner_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "nanoclaw" / "_resources" / "schema"
    inside.mkdir(parents=True)
    (tmp_path / "agent_runner").mkdir()
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "nanoclaw")
    assert resources.schema_dir() == inside
    assert resources.runner_dir() == tmp_path


def test_a_broken_installation_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "nanoclaw")
    with pytest.raises(resources.ResourceMissing, match="install NanoClaw again"):
        resources.container_dir()
    with pytest.raises(resources.ResourceMissing, match="install NanoClaw again"):
        resources.runner_dir()
