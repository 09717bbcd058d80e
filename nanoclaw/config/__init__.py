"""The configuration: one value that is read from defaults, `config.toml`, the environment and flags."""

from nanoclaw.config.errors import ConfigError
from nanoclaw.config.loading import Reading, config_of, flat, load_config, read_config
from nanoclaw.config.origins import NamedTable
from nanoclaw.config.structure import read_table
from nanoclaw.config.tables import Config

__all__ = [
    "Config",
    "ConfigError",
    "NamedTable",
    "Reading",
    "config_of",
    "flat",
    "load_config",
    "read_config",
    "read_table",
]
