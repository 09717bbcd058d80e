"""A base image for `container/Dockerfile`, built from Debian packages without an image registry."""

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

ROOTS = (
    "python3",
    "libpython3-stdlib",
    "libstdc++6",
    "bash",
    "busybox-static",
    "ca-certificates",
    "tzdata",
    "coreutils",
)
LEFT_OUT = re.compile(
    r"perl.*|libperl.*|.*debconf|libdebian-installer4|libnewt.*|libslang.*|libtextwrap.*|dpkg|tar|"
    r".*awk|install-info|mime-support|mailcap|libmpfr.*|libsigsegv.*|libgdbm.*|debianutils|libattr1-dev"
)
"""Dependencies of installation scripts, which an image does not run."""
APPLETS = (
    "sh",
    "ls",
    "cat",
    "sleep",
    "id",
    "ps",
    "kill",
    "mkdir",
    "rm",
    "mv",
    "cp",
    "ln",
    "env",
    "true",
    "dd",
    "head",
)


class NoPackages(Exception):
    """The packages of the base image cannot be had on this machine. The text says why."""


def base_tar(folder: Path) -> Path:
    """Return the root file system of the base image as a tar file, built in `folder` unless it is there.

    Raises:
        NoPackages: this is no Debian, or its packages cannot be downloaded.
    """
    result = folder / "base.tar"
    if not result.exists():
        packages, root = folder / "packages", folder / "root"
        packages.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(root, ignore_errors=True)
        _download(_closure(ROOTS), packages)
        _unpack(packages, root)
        _complete(root)
        _pack(root, result)
        shutil.rmtree(root)
    return result


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    except OSError as error:
        raise NoPackages(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise NoPackages(f"{' '.join(command)[:200]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _closure(roots: Sequence[str]) -> Sequence[str]:
    """Return the packages and all that they need."""
    without = [
        f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    ]
    lines = _run("apt-cache", "depends", "--recurse", *without, *roots).splitlines()
    names = {line for line in lines if re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", line)}
    return sorted(name for name in names if not LEFT_OUT.fullmatch(name))


def _download(names: Sequence[str], folder: Path) -> None:
    """Download packages that are not there yet, as the user that apt itself would take."""
    there = {file.name.partition("_")[0] for file in folder.glob("*.deb")}
    if missing := [name for name in names if name not in there]:
        _run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *missing, cwd=folder)


def _unpack(packages: Path, root: Path) -> None:
    for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        (root / folder).mkdir(parents=True)
        (root / folder.removeprefix("usr/")).symlink_to(folder)
    for package in sorted(packages.glob("*.deb")):
        _run("sh", "-c", f"dpkg-deb --fsys-tarfile '{package}' | tar -x -C '{root}' --keep-directory-symlink")
    for useless in (
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "usr/share/info",
        "usr/lib/python3.11/test",
    ):
        shutil.rmtree(root / useless, ignore_errors=True)


def _complete(root: Path) -> None:
    """Add what installation scripts would: links, users, and pip, which is copied from this Python."""
    for applet in APPLETS:
        if not os.path.lexists(root / "usr/bin" / applet):
            (root / "usr/bin" / applet).symlink_to("busybox")
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nagent:x:10001:10001::/tmp:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nagent:x:10001:\n")
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    import pip  # noqa: PLC0415 -- it is needed here only

    source = Path(pip.__file__).parent
    shutil.copytree(
        source, root / "usr/lib/python3/dist-packages/pip", ignore=shutil.ignore_patterns("__pycache__")
    )


def _pack(root: Path, result: Path) -> None:
    part = result.with_suffix(".part")
    with tarfile.open(part, "w") as tar:
        tar.add(root, ".", filter=_of_root)
    part.rename(result)


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
