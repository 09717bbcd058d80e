import stat
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nanoclaw.config import ConfigError, load_config
from nanoclaw.config.model import KeyConfig
from nanoclaw.setup.saving import Answers, edited, key_name, save
from nanoclaw.setup.targets import ECHO, Target
from tests.ordinary_user import as_owner

QWEN = Target("openai", "qwen3:4b", "http://127.0.0.1:11434/v1")
SONNET = Target("anthropic", "claude-sonnet-4-5", key=KeyConfig(env="ANTHROPIC_API_KEY"))
FULL = """\
# mine
timezone = 'Europe/Rome'   # where I live

[model]  # the clever one
max_tokens = 512 # short
provider = "openai"
key = { env = "OPENAI_API_KEY" }

[channels.tg]
token = "x"
"""


def test_only_the_answered_keys_change_and_all_else_stays_byte_for_byte(tmp_path: Path) -> None:
    changed = edited(FULL, Answers(SONNET), tmp_path)
    gone, new = (
        set(FULL.splitlines()) - set(changed.splitlines()),
        set(changed.splitlines()) - set(FULL.splitlines()),
    )
    assert gone == {'provider = "openai"', 'key = { env = "OPENAI_API_KEY" }'}
    assert new == {
        'provider = "anthropic"',
        'name = "claude-sonnet-4-5"',
        'key = {env = "ANTHROPIC_API_KEY"}',
    }


def test_what_belongs_to_the_former_model_is_removed(tmp_path: Path) -> None:
    text = edited(FULL, Answers(QWEN), tmp_path)
    assert tomllib.loads(text)["model"] == {
        "max_tokens": 512,
        "provider": "openai",
        "name": "qwen3:4b",
        "base_url": "http://127.0.0.1:11434/v1",
    }
    assert tomllib.loads(edited(text, Answers(ECHO), tmp_path))["model"] == {
        "max_tokens": 512,
        "provider": "echo",
    }


def test_the_same_answers_again_change_nothing(tmp_path: Path) -> None:
    once = edited(FULL, Answers(SONNET, "Europe/Berlin"), tmp_path)
    assert edited(once, Answers(SONNET, "Europe/Berlin"), tmp_path) == once


@pytest.mark.parametrize(
    "text",
    [
        "",
        "provider = 'echo'\n",
        "model.provider = 'echo'\n",
        "model = { provider = 'echo' }\n",
        "[model]\n[model.key]\nenv = 'A'\n",
        "[log]\nlevel = 'info'",
    ],
)
def test_every_way_to_write_a_table_is_understood(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(edited(text, Answers(SONNET, "Europe/Berlin"), tmp_path))
    config = load_config(home=tmp_path, environ={})
    assert (config.model.provider, config.model.key, config.timezone) == (
        "anthropic",
        SONNET.key,
        "Europe/Berlin",
    )


def test_lines_keep_their_ends(tmp_path: Path) -> None:
    text = edited(FULL.replace("\n", "\r\n"), Answers(SONNET), tmp_path)
    assert text.count("\r\n") == text.count("\n")


def test_a_typed_key_goes_to_a_private_file_and_the_configuration_names_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    save(home, home / "config.toml", Answers(Target("openai", "gpt-5-mini", typed="sk-1")), "")
    file = home / "keys" / "openai"
    assert file.read_text() == "sk-1\n"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (home, file.parent, file, home / "config.toml")]
    assert modes == [0o700, 0o700, 0o600, 0o600]
    assert "sk-1" not in (home / "config.toml").read_text()
    assert load_config(home=home, environ={}).model.key == KeyConfig(file=file)
    assert {path.name for path in home.iterdir()} == {"keys", "config.toml"}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (None, "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("http://192.168.1.5:8000/v1", "192.168.1.5-8000"),
        ("http://[::1]:8000/v1", "--1-8000"),
    ],
)
def test_each_server_has_a_key_file_of_its_own(url: str | None, name: str) -> None:
    assert key_name(Target("openai", "x", url)) == name


def test_a_link_to_a_configuration_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").write_text(FULL)
    (tmp_path / "config.toml").symlink_to(tmp_path / "dotfiles")
    save(tmp_path, tmp_path / "config.toml", Answers(SONNET), "")
    assert (tmp_path / "config.toml").is_symlink()
    assert "anthropic" in (tmp_path / "dotfiles").read_text()


def test_a_file_that_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("provider = [")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        save(tmp_path, file, Answers(Target("openai", typed="sk-1")), "")
    assert file.read_text() == "provider = ["
    assert not (tmp_path / "keys").exists()


def test_two_setups_at_once_both_count(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    answers = [Answers(SONNET), Answers(timezone="Europe/Berlin")] * 10
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: save(tmp_path, file, each, FULL), answers))
    config = load_config(home=tmp_path, environ={})
    assert (config.model.provider, config.timezone) == ("anthropic", "Europe/Berlin")
    assert [*tmp_path.iterdir()] == [file]


def test_a_home_that_may_not_be_written_is_one_clear_error(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    with as_owner(tmp_path), pytest.raises(ConfigError, match="may not be used"):
        save(home, home / "config.toml", Answers(SONNET), "")
