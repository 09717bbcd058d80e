"""The user at the other end of a unix socket, as the kernel reports it."""

import socket
import struct

import trio

LOCAL_PEERCRED = 1
"""Of level 0 on macOS and the BSDs: a version, the uid, and more (`struct xucred`)."""


def uid_of_peer(peer: trio.socket.SocketType) -> int:
    """Return the user that the other end ran as when it connected. Tested only on Linux.

    Raises:
        OSError: the kernel does not report it.
    """
    if hasattr(socket, "SO_PEERCRED"):
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _pid, uid, _gid = struct.unpack("3i", credentials)
        return int(uid)
    [uid] = struct.unpack_from("=I", peer.getsockopt(0, LOCAL_PEERCRED, 128), 4)
    return int(uid)
