"""Runs pip, and lets it start no program: `python wheels_only.py install ...`.

pip takes no source with `--only-binary :all:`, except of a package that a wheel names by its address. It
would build that with the package's own programs, so no program starts here. It imports nothing of NanoClaw.
"""

import os
import runpy
import sys

_STARTS = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}
)
_LOADER = "ld-musl-"
"""The loader of the system, which pip asks for its version on some systems."""


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse to start a program. pip does without those that it only asks for their version."""
    if event not in _STARTS:
        return
    program = os.path.basename(str(arguments[0])) if arguments else ""  # noqa: PTH119 -- a text
    if not (event in {"subprocess.Popen", "os.posix_spawn"} and program.startswith(_LOADER)):
        raise PermissionError("a package wants to run a program of its own, which is not allowed on the host")


if __name__ == "__main__":
    sys.addaudithook(refuse)
    sys.argv[0] = "pip"
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
