"""Skills: folders with a SKILL.md, whose header names and describes it. Its body is read when it is used."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from agent_runner.knowledge.files import TextFiles, UnusableFile

FOLDER = "skills"
MOST_SKILLS = 200
"""Folders that are looked at, of the agent's and of the shared ones each."""
LONGEST_HEADER = 4096
"""Characters."""
LONGEST_NAME, LONGEST_DESCRIPTION = 64, 1024
MARK = "---"


@frozen
class Skill:
    """A skill that can be used."""

    name: str
    description: str
    folder: Path
    body: str
    """The instructions: SKILL.md without its header."""


@frozen
class BadSkill:
    """A folder whose SKILL.md cannot be used."""

    folder: str
    """Its name."""
    reason: str


def find_skills(files: TextFiles, workspace: Path, shared: Path) -> Sequence[Skill | BadSkill]:
    """Return the skills by name, which is that of the folder if the header has none.

    One of the agent's own replaces a shared one of the same name.
    """
    found: dict[str, Skill | BadSkill] = {}
    for root in (shared, workspace):
        found |= {_key(each): each for each in _in(files, root)}
    return [found[key] for key in sorted(found)]


def _key(skill: Skill | BadSkill) -> str:
    return skill.name if isinstance(skill, Skill) else f"{skill.folder}/"


def _in(files: TextFiles, root: Path) -> Iterator[Skill | BadSkill]:
    try:
        with os.scandir(root / FOLDER) as entries:
            names = sorted(each.name for each in entries if not each.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield BadSkill(FOLDER, f"the folder cannot be read: {error.strerror}")
        return
    if len(names) > MOST_SKILLS:
        yield BadSkill(FOLDER, f"only the first {MOST_SKILLS} of {len(names):,} folders are looked at")
    for name in names[:MOST_SKILLS]:
        try:
            header = files.parse(root, f"{FOLDER}/{name}/SKILL.md", _header)
            if header is not None:
                yield Skill(header.name or name, header.description, root / FOLDER / name, header.body)
        except UnusableFile as error:
            yield BadSkill(name, f"SKILL.md: {error}")


@frozen
class _Header:
    name: str
    description: str
    body: str


def _header(text: str) -> _Header:
    header, body = _split(text)
    values = _values(header)
    description = _text(values, "description", LONGEST_DESCRIPTION)
    if not description:
        raise UnusableFile("its header has no description")
    return _Header(_text(values, "name", LONGEST_NAME), description, body.strip())


def _split(text: str) -> tuple[str, str]:
    """Return header and body. The header is between two lines of three dashes."""
    first, _, rest = text.partition("\n")
    if first.rstrip() != MARK:
        raise UnusableFile("it has no header: its first line must be ---")
    lines = rest[: LONGEST_HEADER + len(MARK) + 2].split("\n")
    end = next((index for index, line in enumerate(lines) if line.rstrip() == MARK), None)
    if end is None:
        raise UnusableFile(
            f"its header does not end within {LONGEST_HEADER:,} characters: put a line --- there"
        )
    return "\n".join(lines[:end]), "\n".join(rest.split("\n")[end + 1 :])


def _values(header: str) -> Mapping[object, object]:
    import yaml  # noqa: PLC0415 -- a runner of an agent without skills does not load it

    try:
        values = yaml.safe_load(header)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnusableFile(f"its header is not YAML: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(values, Mapping):
        raise UnusableFile("its header must have the keys name and description")
    return values


def _text(values: Mapping[object, object], key: str, longest: int) -> str:
    value = values.get(key, "")
    if not isinstance(value, str):
        raise UnusableFile(f"its header: {key} must be a text, got {type(value).__name__}")
    words = " ".join(value.split())
    if len(words) > longest:
        raise UnusableFile(f"its header: {key} has {len(words):,} characters; the most is {longest:,}")
    return words
