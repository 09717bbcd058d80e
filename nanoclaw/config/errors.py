"""The error of a configuration that cannot be used."""

from collections.abc import Sequence


class ConfigError(Exception):
    """Settings that cannot be used. Each line of the text names one key, where it stands and what to do."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: Sequence[str] = problems
