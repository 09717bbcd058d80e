"""Setup: finds models, tries them, and writes the answers of a person to `config.toml`."""
