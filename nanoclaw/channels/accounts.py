"""The assistant's accounts on chat networks, as `nanoclaw channels add` last found them. They are for people.

Each is a file `<data>/channels/<name>.account.json`.
"""

import json
from contextlib import suppress
from pathlib import Path

from nanoclaw.channels.factory import Account

LONGEST = 4096
"""Limit of such a file in bytes."""


def account_file(data: Path, name: str) -> Path:
    """Return the file of the account of a channel."""
    return data / "channels" / f"{name}.account.json"


def dump_account(account: Account) -> str:
    """Return the content of the file."""
    return json.dumps({"id": account.id, "name": account.name, "link": account.link}) + "\n"


def read_account(data: Path, name: str) -> Account | None:
    """Return the account of a channel. None if it is not known, or its file cannot be read."""
    with suppress(OSError, ValueError), account_file(data, name).open("rb") as file:
        match json.loads(file.read(LONGEST)):
            case {"id": str(id_), "name": str(called), **more}:
                link = more.get("link")
                return Account(id_, called, link if isinstance(link, str) else None)
    return None
