"""The command lines of bubblewrap."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from nanoclaw.runtimes.bubblewrap import layout
from nanoclaw.runtimes.bubblewrap.layout import Bind
from nanoclaw.runtimes.bubblewrap.views import VIEW, is_seen, views_of
from nanoclaw.system.sandbox_user import SANDBOX_UID

TMP, VAR_TMP, SHM = "/tmp", "/var/tmp", "/dev/shm"  # noqa: S108 -- paths in the sandbox

_HIDDEN_PROC = ("--tmpfs", "/proc/1", "--remount-ro", "/proc/1", "--ro-bind", "/proc/sys", "/proc/sys")
"""What is hidden of `/proc`: the first process inside, and writing the kernel's settings of namespaces.

That process is bubblewrap's, and has the user of the sandbox. A program that writes its memory could let the
sandbox outlive its host. Its command line has paths of the host.
"""


@frozen
class Program:
    """The program bubblewrap, as it is installed."""

    path: str
    options: frozenset[str] = frozenset()
    """Its long options. They differ by version."""

    def with_(self, *words: str) -> Sequence[str]:
        """Return an option with its values, or nothing if this version does not have it."""
        return words if words[0] in self.options else ()


@frozen
class Wanted:
    """One sandbox."""

    binds: tuple[Bind, ...]
    """The folders besides those of the system, outer ones first."""
    scratch_bytes: int
    """The size of `/tmp`, of the home folder and of `/dev/shm`, each."""
    folder: str = "/"
    """The working directory."""
    seccomp_fd: int | None = None
    info_fd: int | None = None
    """A descriptor to which bubblewrap writes the id of the sandbox's first process."""
    variables: Mapping[str, str] = field(factory=dict)
    """Variables that only the sandbox sees. Everybody on the machine can read them."""
    hidden: tuple[str, ...] = ()
    """Variables of bubblewrap that the sandbox does not see."""


def sandbox(program: Program, wanted: Wanted) -> Iterator[str]:
    """Yield the command line up to the command. It needs no rights."""
    yield from (program.path, "--unshare-all", "--unshare-user", *program.with_("--disable-userns"))
    yield from ("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox")
    yield from ("--uid", str(SANDBOX_UID), "--gid", str(SANDBOX_UID))
    yield from _system()
    yield from ("--proc", "/proc", *_HIDDEN_PROC, "--dev", "/dev")
    size = program.with_("--size", str(wanted.scratch_bytes))
    # After the devices, and before what is mounted below these folders.
    for folder in (SHM, TMP, layout.HOME):
        yield from (*size, "--tmpfs", folder)
    yield from ("--dir", "/var", "--symlink", TMP, VAR_TMP)
    yield from _binds(wanted.binds)
    yield from ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", wanted.folder)
    if wanted.seccomp_fd is not None:
        yield from ("--seccomp", str(wanted.seccomp_fd))
    if wanted.info_fd is not None:
        yield from ("--info-fd", str(wanted.info_fd))
    for name, value in wanted.variables.items():
        yield from ("--setenv", name, value)
    for name in wanted.hidden:
        yield from ("--unsetenv", name)
    yield "--"


def as_another_user(program: Program, setpriv: str, wanted: Wanted, user: int) -> Iterator[str]:
    """Yield the command line of a root host. Another user makes the sandbox, who may enter no folder here.

    An outer bubblewrap, as root, only shows that user the sources. It isolates nothing. Its processes have a
    namespace of their own, because it has no right to kill another user's when its parent dies.
    """
    views = views_of(wanted.binds)
    tools = {name: _tool(path, name) for name, path in (("bwrap", program.path), ("setpriv", setpriv))}
    yield from (program.path, "--die-with-parent", "--unshare-pid", *_system(), "--bind", "/proc", "/proc")
    if wanted.info_fd is not None:
        yield from ("--info-fd", str(wanted.info_fd))
    yield from ("--dev-bind", "/dev", "/dev")
    yield from ("--perms", "1777", "--tmpfs", TMP, "--perms", "0755", "--dir", VIEW)
    yield from _binds([*views.shown, *(tool for tool in tools.values() if str(tool.source) != tool.target)])
    yield from ("--chdir", "/", "--")
    yield from (tools["setpriv"].target, "--reuid", str(user), "--regid", str(user), "--clear-groups")
    yield from ("--inh-caps=-all", "--bounding-set=-all", "--pdeathsig", "KILL", "--")
    inner = evolve(wanted, binds=tuple(views.binds), info_fd=None)
    yield from sandbox(evolve(program, path=tools["bwrap"].target), inner)


def _tool(path: str, name: str) -> Bind:
    """Return where the inner one finds a program."""
    return Bind(Path(path), path if is_seen(path) else f"{VIEW}/{name}")


def _binds(binds: Iterable[Bind]) -> Iterator[str]:
    for bind in binds:
        yield from ("--ro-bind" if bind.read_only else "--bind", str(bind.source), bind.target)


def _system() -> Iterator[str]:
    binds, links = layout.system()
    yield from _binds(binds)
    for target, name in links:
        yield from ("--symlink", target, name)
