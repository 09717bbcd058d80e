"""The owners of a session's folders, for a sandbox whose user is not the host's."""

import os
from pathlib import Path

from nanoclaw.runtimes.protocol import RunnerSpec
from nanoclaw.system.sandbox_user import sandbox_owner


def hand_over(spec: RunnerSpec) -> None:
    """Give the user of sandboxes its workspace and its session's folders. Blocking.

    The host is root then, so it may still read and write all of it. No link is followed.
    """
    owner = sandbox_owner()
    if owner is None:
        return
    paths = spec.paths
    for folder in (paths.outbound_dir, paths.inbound_dir, paths.gateway_dir, spec.workspace):
        _give(folder, owner)


def _give(folder: Path, owner: tuple[int, int]) -> None:
    os.chown(folder, *owner, follow_symlinks=False)
    for _, folders, files, descriptor in os.fwalk(folder):
        for name in (*folders, *files):
            os.chown(name, *owner, dir_fd=descriptor, follow_symlinks=False)
