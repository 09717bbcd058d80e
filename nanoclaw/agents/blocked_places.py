"""Places of a machine that no agent is given: secrets by their names, and parts of the system.

A mount is refused if it is such a place, lies below one, or contains one.
"""

import os
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePath

from attrs import frozen

NAMES = (
    # keys and passwords of programs
    *(".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker", ".netrc", "_netrc", ".pgpass", ".my.cnf"),
    *(".git-credentials", ".npmrc", ".pypirc", ".vault-token", ".config/gh", ".config/gcloud"),
    *(".config/git/credentials", ".cargo/credentials*", ".terraform.d", ".subversion/auth", ".config/rclone"),
    # keys by the names of their files
    *(".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.kdbx", "*.keystore", "*.jks"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*"),
    # browsers and mail
    *(".mozilla", ".thunderbird", ".config/google-chrome*", ".config/chromium", ".config/BraveSoftware"),
    *(
        ".config/microsoft-edge*",
        ".config/vivaldi",
        ".config/opera",
        ".var/app",
        "snap/firefox",
        "snap/chromium",
    ),
    *("Application Support/Google", "Application Support/Firefox", "Application Support/BraveSoftware"),
    # password stores and keyrings
    *(".password-store", ".local/share/keyrings", ".local/share/kwalletd", ".gnome2/keyrings", "Keychains"),
    *(".config/keepassxc", ".config/Bitwarden*", ".config/op", ".1password"),
    # what a shell or a program reads as commands, and the sockets of engines
    *(".bash_history", ".zsh_history", "docker.sock", "podman.sock", "containerd.sock"),
)
"""Patterns of the last components of a path. A slash separates two components."""
HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist", "*.pub")
"""Names that match a pattern above and hold no secret."""
SYSTEM = (
    *("/proc", "/sys", "/dev", "/run", "/var/run", "/boot", "/etc", "/var/lib/docker", "/var/lib/containers"),
    *("/var/lib/containerd", "/private/etc", "/private/var/run", "/Library/Keychains"),
)
DEPTH, ENTRIES = 3, 20_000
"""Levels and entries of a folder that are searched for blocked names."""


@frozen
class Blocked:
    """Finds out if a place is blocked, and by what."""

    own: Sequence[Path] = ()
    """Places of the project, and of the file of the allowed folders."""
    patterns: Sequence[str] = NAMES
    system: Sequence[str] = SYSTEM

    @cached_property
    def _places(self) -> Sequence[Path]:
        return [Path(os.path.realpath(each)) for each in (*map(Path, self.system), *self.own)]

    def reason(self, given: Path, real: Path, unblocked: Sequence[str]) -> str | None:
        """Return why a source is blocked, as a phrase; None if it is not. Blocking.

        `real` is the source with its links resolved. `unblocked` are patterns that are allowed here.
        """
        for each in self._places:
            if real.is_relative_to(each):
                return (
                    f"{each} is never given to agents"
                    if real == each
                    else f"it is in {each}, which is blocked"
                )
            if each.is_relative_to(real):
                return f"it contains {each}, which is blocked"
        patterns = [_Pattern.of(each) for each in self.patterns if each not in unblocked]
        for path in dict.fromkeys((given, real)):
            for part in (path, *path.parents):
                if (pattern := _match(part, patterns)) is not None:
                    return f"{part} is blocked by the pattern {pattern}"
        with closing(_entries(real)) as entries:
            for inside in entries:
                if (pattern := _match(inside, patterns)) is not None:
                    shown = inside.relative_to(real)
                    return f"it contains {shown}, which is blocked by the pattern {pattern}"
        return None


@frozen
class _Pattern:
    text: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "_Pattern":
        return cls(text, PurePath(text.lower()).parts)

    def fits(self, parts: Sequence[str]) -> bool:
        tail = parts[-len(self.parts) :]
        return len(tail) == len(self.parts) and all(map(fnmatchcase, tail, self.parts))


def _match(path: Path, patterns: Iterable[_Pattern]) -> str | None:
    """Return the pattern that the end of a path matches, in any case of its letters."""
    parts = tuple(part.lower() for part in path.parts)
    if not parts or any(fnmatchcase(parts[-1], each) for each in HARMLESS):
        return None
    return next((pattern.text for pattern in patterns if pattern.fits(parts)), None)


def _entries(folder: Path) -> Generator[Path, None, None]:
    """Yield what is in a folder, nearest first, within the bounds of the search. Links are not followed."""
    left, waiting = ENTRIES, deque([(folder, 1)])
    while waiting:
        here, depth = waiting.popleft()
        try:
            entries = os.scandir(here)
        except OSError:  # a file, or closed to us, and so to our agents
            continue
        with entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    return
                path = here / entry.name
                yield path
                if depth < DEPTH and entry.is_dir(follow_symlinks=False):
                    waiting.append((path, depth + 1))
