"""Tables of channels in `config.toml`, and their secrets: written whole or not at all, and removed."""

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nanoclaw.config import ConfigError
from nanoclaw.setup.channels import (
    ChannelTable,
    edited,
    forget_trial,
    remove_channel,
    save_channel,
    write_trial,
)

TOKEN = ChannelTable("work", "telegram", {"token": {"file": "secrets/work-token"}}, {"token": "s3cret"})


def saved(home: Path, table: ChannelTable = TOKEN) -> Mapping[str, Any]:
    """Save a table, and return the configuration."""
    save_channel(home, home / "config.toml", table, write_trial(home, table), "# new\n")
    return tomllib.loads((home / "config.toml").read_text())


def test_a_table_is_written_with_its_secret_beside_it(tmp_path: Path) -> None:
    assert saved(tmp_path) == {
        "channels": {"work": {"type": "telegram", "token": {"file": "secrets/work-token"}}}
    }
    secret = tmp_path / "secrets" / "work-token"
    assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == ("s3cret\n", 0o600)
    assert [file.name for file in secret.parent.iterdir()] == ["work-token"]


def test_a_secret_that_is_only_tried_leaves_the_stored_one(tmp_path: Path) -> None:
    saved(tmp_path)
    trial = write_trial(tmp_path, ChannelTable("work", "telegram", {}, {"token": "wrong"}))
    assert [file.read_text() for file in trial.values()] == ["wrong\n"]
    forget_trial(trial)
    assert [file.read_text() for file in (tmp_path / "secrets").iterdir()] == ["s3cret\n"]


def test_a_configuration_that_cannot_be_edited_changes_nothing(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "config.toml").write_text("not = = toml")
    with pytest.raises(ConfigError, match="correct it first"):
        saved(tmp_path, ChannelTable("work", "telegram", {}, {"token": "new"}))
    assert (tmp_path / "secrets" / "work-token").read_text() == "s3cret\n"
    assert (tmp_path / "config.toml").read_text() == "not = = toml"


@pytest.mark.parametrize(
    "text",
    [
        "",
        '# mine\ntimezone = "UTC"\n',
        '[channels.telegram]\ntoken = { env = "T" } # why\n',
        "[channels]\n[channels.work]\nold = 1\n[log]\nlevel = 'info'\n",
        'channels.work.old = 1\nchannels.work.type = "telegram"\n',
        "[model]\r\nname = 'x'\r\n",
    ],
)
def test_all_else_in_the_file_stays(text: str) -> None:
    before, after = tomllib.loads(text), tomllib.loads(edited(text, TOKEN))
    work = after.get("channels", {}).pop("work")
    assert work == {"type": "telegram", "token": {"file": "secrets/work-token"}}
    before.get("channels", {}).pop("work", None)
    assert {key: value for key, value in after.items() if value} == {
        key: value for key, value in before.items() if value
    }
    for comment in ("# mine", "# why"):
        assert (comment in text) == (comment in edited(text, TOKEN))
    assert ("\r\n" in edited(text, TOKEN)) == ("\r\n" in text)


def test_a_removed_channel_leaves_the_others(tmp_path: Path) -> None:
    saved(tmp_path)
    saved(tmp_path, ChannelTable("home", "telegram", {"token": {"env": "T"}}))
    secrets = remove_channel(tmp_path, tmp_path / "config.toml", "work")
    assert secrets == {"token": tmp_path / "secrets" / "work-token"}
    assert tomllib.loads((tmp_path / "config.toml").read_text())["channels"] == {
        "home": {"type": "telegram", "token": {"env": "T"}}
    }
    assert remove_channel(tmp_path, tmp_path / "config.toml", "home") == {}
    assert "channels" not in tomllib.loads((tmp_path / "config.toml").read_text())


def test_a_secret_elsewhere_is_not_named_for_deletion(tmp_path: Path) -> None:
    elsewhere = {"token": {"file": "/etc/passwd"}, "other": {"file": "secrets/../config.toml"}}
    saved(tmp_path, ChannelTable("work", "telegram", elsewhere))
    assert remove_channel(tmp_path, tmp_path / "config.toml", "work") == {}
