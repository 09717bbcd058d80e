"""The id of an installation, read from its database, whether a host runs or not."""

from nanoclaw.config import Config, ConfigError
from nanoclaw.registry import INSTALL_ID
from nanoclaw.store import StoreError
from nanoclaw.store.central import meta
from nanoclaw.store.engine.reader import read_once


def read_install_id(config: Config) -> str:
    """Return the id of an installation, or an empty text if no host has run here. Blocking.

    Raises:
        ConfigError: its database cannot be read.
    """
    file = config.data / "v2.db"
    try:
        found = (
            read_once(file, lambda connection: meta.get(connection, INSTALL_ID)) if file.exists() else None
        )
    except StoreError as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    return found or ""
