"""The soak's processes end with the soak, however that ends."""

import os
import signal
from multiprocessing import parent_process

import trio


async def end_with_parent() -> None:
    """Kill this process when its parent dies."""
    parent = parent_process()
    assert parent is not None
    await trio.lowlevel.wait_readable(parent.sentinel)
    os.kill(os.getpid(), signal.SIGKILL)
