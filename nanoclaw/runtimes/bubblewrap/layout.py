"""The view of a sandbox: system, interpreter and runner, all read-only, and its session (contract 1)."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from attrs import frozen

from nanoclaw.runtimes.protocol import WORKSPACE, RunnerSpec
from nanoclaw.system.resources import runner_dir, schema_dir

HOME = "/home/agent"
OURS = "/opt/nanoclaw"
RUNNER = f"{OURS}/runner"
INSIDE = f"{OURS}/inside.py"
PACKAGES = WORKSPACE / "packages"
"""The approved packages of an agent: `python/` and `node_modules/`."""
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Folders of `/` besides `/usr`. On most systems they are links into it."""
ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"),
    *("ssl/certs", "ssl/openssl.cnf", "ca-certificates.conf", "pki/tls/certs", "pki/ca-trust/extracted"),
    *("localtime", "mime.types", "services", "protocols", "gitconfig"),
)
"""Files of the machine's `/etc` that programs need. None of them has anything of a user."""
OWN_ETC = Path(__file__).with_name("etc")
"""Files of a sandbox's own `/etc`."""
_OF_INTERPRETER = ("bin", "lib", "lib64", "pyvenv.cfg", "ssl")


@frozen
class Bind:
    """A folder or file of the host, and where a sandbox sees it."""

    source: Path
    target: str
    read_only: bool = True
    common: bool = False
    """True if all sandboxes have it. No agent can write the path of its source."""


# -- the system ----------------------------------------------------------------


def system() -> tuple[Sequence[Bind], Sequence[tuple[str, str]]]:
    """Return the system's folders, and links as (target, name)."""
    binds, links = [Bind(Path("/usr"), "/usr")], list[tuple[str, str]]()
    for name in SYSTEM:
        place = Path("/", name)
        if place.is_symlink():
            links.append((str(place.readlink()), str(place)))
        elif place.is_dir():
            binds.append(Bind(place, str(place)))
    return binds, links


def etc() -> Iterator[Bind]:
    """Yield the files of `/etc`."""
    for file in sorted(OWN_ETC.iterdir()):
        yield Bind(file, f"/etc/{file.name}", common=True)
    for name in ETC:
        place = Path("/etc", name)
        if place.exists():
            yield Bind(place, str(place), common=True)


# -- Python and the runner -------------------------------------------------------


def interpreter() -> str:
    """Return the path of the interpreter. It is the same inside."""
    return os.path.abspath(sys.executable)  # noqa: PTH100 -- the links of a virtual environment stay


@cache
def python() -> Sequence[Bind]:
    """Return the folders of the interpreter and of its packages that are not below `/usr`.

    Only these folders of an environment: others beside them may be anything, such as the data of this host.
    """
    real = Path(os.path.realpath(sys.executable)).parents[1]
    prefixes = dict.fromkeys([Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_prefix).resolve(), real])
    places = [prefix / name for prefix in prefixes if prefix != Path("/") for name in _OF_INTERPRETER]
    found = [place for place in places if not place.is_relative_to("/usr") and os.path.exists(place)]  # noqa: PTH110 -- False for one that may not be read
    return [
        Bind(place, str(place), common=True)
        for place in [*found, *(each for each in _sites() if _apart(each, found))]
    ]


@cache
def _sites() -> Sequence[Path]:
    """Return the folders of packages, such as those of the user."""
    named = ("site-packages", "dist-packages")
    return [Path(each) for each in sys.path if os.path.basename(each) in named and os.path.isdir(each)]  # noqa: PTH112, PTH119 -- texts


def _apart(place: Path, folders: Sequence[Path]) -> bool:
    return not any(place.is_relative_to(folder) for folder in (Path("/usr"), *folders))


def module_paths() -> str:
    """Return the folders of the runner and of its packages, with `:` between them."""
    return os.pathsep.join([RUNNER, *map(str, _sites())])


def runner() -> Iterator[Bind]:
    """Yield the runner, its schema, and the first program of a sandbox."""
    yield Bind(runner_dir() / "agent_runner", f"{RUNNER}/agent_runner", common=True)
    yield Bind(schema_dir(), f"{OURS}/schema", common=True)
    yield Bind(Path(__file__).with_name("inside.py"), INSIDE, common=True)


# -- the session -----------------------------------------------------------------


def session(spec: RunnerSpec, packages: Path | None) -> Iterator[Bind]:
    """Yield the folders of a session and of its agent, outer ones first, and that of its packages."""
    for mount in spec.all_mounts:
        if mount.source == spec.paths.gateway_dir and not mount.source.is_dir():
            continue  # a runner without a model may have none
        yield Bind(mount.source, str(mount.target), mount.read_only)
    if packages is not None:
        yield Bind(packages, str(PACKAGES))


def mount_points(spec: RunnerSpec, packages: Path | None) -> Sequence[str]:
    """Return the names of the folders in `outbound` over which others are mounted."""
    below = (Path(bind.target) for bind in session(spec, packages))
    return [place.name for place in below if place.parent == Path(WORKSPACE)]


def environment(spec: RunnerSpec) -> Mapping[str, str]:
    """Return all variables of the runner."""
    return {
        "LANG": "C.UTF-8",
        **spec.environment,
        "HOME": HOME,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/sh",
        "PATH": _path(),
        "PYTHONPATH": os.pathsep.join([RUNNER, f"{PACKAGES}/python"]),
        "NODE_PATH": f"{PACKAGES}/node_modules",
        "SESSION_INBOUND_DB_PATH": f"{WORKSPACE}/in/inbound.db",
        "SESSION_OUTBOUND_DB_PATH": f"{WORKSPACE}/outbound.db",
        "SESSION_HEARTBEAT_PATH": f"{WORKSPACE}/.heartbeat",
        "NANOCLAW_WORKSPACE": f"{WORKSPACE}/agent",
        "NANOCLAW_SHARED": f"{WORKSPACE}/global",
        "NANOCLAW_SCHEMA_DIR": f"{OURS}/schema",
        "NANOCLAW_LIFELINE": "stdin",
        "NANOCLAW_SANDBOX": "1",
        **({"NANOCLAW_MODEL_SOCKET": f"{WORKSPACE}/gateway/model.sock"} if spec.gateway else {}),
        **({"NANOCLAW_WEB_SOCKET": f"{WORKSPACE}/gateway/web.sock"} if spec.web else {}),
    }


def _path() -> str:
    """Return the folders of programs. Those of the runner's environment come last: the agent has its own."""
    own = os.path.dirname(interpreter())  # noqa: PTH120 -- a text
    found = [f"{PACKAGES}/node_modules/.bin", f"{PACKAGES}/python/bin"]
    return os.pathsep.join(
        dict.fromkeys([*found, "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin", own])
    )
