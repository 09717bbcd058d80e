"""The error of a configuration that cannot be used."""

import re
from collections.abc import Iterable

_PLACE = re.compile(r"(?P<file>.*?) line (?P<line>\d+): ")


class ConfigError(Exception):
    """Settings that cannot be used. Each line of the text names one key, where it stands and what to do."""

    def __init__(self, *problems: str) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(self.problems))


def in_order(problems: Iterable[str]) -> tuple[str, ...]:
    """Sort problems by their files and lines. Those without a line keep their order, and come last."""
    problems = tuple(problems)
    places = [_PLACE.match(problem) for problem in problems]
    files = list(dict.fromkeys(place["file"] for place in places if place))
    keys = [
        (files.index(place["file"]), int(place["line"])) if place else (len(files), 0) for place in places
    ]
    return tuple(problems[index] for index in sorted(range(len(problems)), key=keys.__getitem__))
