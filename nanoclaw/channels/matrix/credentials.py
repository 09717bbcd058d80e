"""The session of the account on its server: kept in the channel's folder, which only its owner can read."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from attrs import asdict, frozen

SESSION = "session.json"


@frozen
class Session:
    """A session, with the device that it is for others."""

    homeserver: str
    account: str
    """The account as it is configured."""
    device_id: str
    """The device. It is chosen before the first login, so a login that was cut off leaves no other device."""
    user_id: str = ""
    access_token: str = ""
    """Empty: it has to log in."""


def read_session(folder: Path, homeserver: str, account: str) -> Session | None:
    """Return the session that is kept for this account, or None."""
    try:
        found = json.loads((folder / SESSION).read_text("utf-8"))
        session = Session(**{str(key): str(value) for key, value in found.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    same = (session.homeserver, session.account) == (homeserver, account)
    return session if same and session.device_id else None


def write_session(folder: Path, session: Session) -> None:
    """Keep a session. It is on disk when this returns."""
    private_folder(folder)
    values: Mapping[str, str] = asdict(session)
    temporary = folder / f"{SESSION}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / SESSION)


def private_folder(folder: Path) -> Path:
    """Make a folder that only its owner can read, if it is missing. Return it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder
