"""docs/configuration.md lists every key as its class has it, and its examples are read."""

import re
import tomllib
from pathlib import Path

from nanoclaw.agents import read_container_json
from nanoclaw.config import read_config
from nanoclaw.config.keys import KEYS
from tests.docs.configuration import BLOCK, BLOCKS, PAGE, up_to_date

TEXT = PAGE.read_text("utf-8")


def test_the_generated_tables_match_the_classes() -> None:
    assert [block[2] for block in BLOCK.finditer(TEXT)] == list(BLOCKS)
    assert up_to_date(TEXT) == TEXT, "run `make docs`"


def test_every_key_is_described() -> None:
    for key in KEYS:
        [row] = re.findall(rf"^\| `{key.path[-1]}` \|.*", section(key.path[:-1]), re.MULTILINE)
        assert all(cell.strip() for cell in row.strip("|").split("|")), row


def section(table: tuple[str, ...]) -> str:
    """Return the part of the page with a table's keys."""
    start = f"### `[{'.'.join(table)}]`" if table else "## Keys"
    return TEXT[TEXT.index(start) + len(start) :].split("\n#")[0]


def test_the_examples_are_valid(tmp_path: Path) -> None:
    [toml] = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    [json] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert set(tomllib.loads(toml)["channels"]) == {"telegram", "work"}
    (tmp_path / "config.toml").write_text(toml)
    assert read_config(home=tmp_path, environ={}).problems == ()
    (tmp_path / "container.json").write_text(json)
    assert read_container_json(tmp_path).model.provider == "openai"
