"""Checks of a channel's connection and resources, of large files, direct chats, and changes of chats."""

import os
import socket
import threading
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import trio

from nanoclaw.channels.protocol import DeliveryRejected, DirectSender, Sender, capabilities_of
from nanoclaw.records import (
    Address,
    ChatChange,
    ChatRenamed,
    Joined,
    Left,
    Outgoing,
    OutgoingFile,
    TextContent,
)
from nanoclaw.testing.conformance.checks import NotConforming, hook, only, require
from nanoclaw.testing.conformance.contents import require_user
from nanoclaw.testing.conformance.exchanges import Host, deliver, failure, hint, outgoing, receiving
from nanoclaw.testing.conformance.networks import ChannelUnderTest

LEAVES_S = 2.0
"""Seconds within which a channel closes, also while its network does not answer."""
HANGS_S = 0.3
"""Seconds for which a call hangs before the channel is closed."""
SETTLES_S = 5.0
"""Seconds within which the last task or socket of a closed channel is gone."""
LARGE = 24 << 20
"""Bytes of a large file."""
MOST_IN_MEMORY = 8 << 20
"""Limit of the memory in bytes that a channel may take for it."""
ANOTHER = "another-network"


# -- closing -------------------------------------------------------------------


async def leaving_takes_little_time(it: ChannelUnderTest) -> None:
    """A channel that is closed while its network does not answer is gone within two seconds."""
    silent = hook(it.silent, "silent")
    with silent():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hang, it)
            await trio.sleep(HANGS_S)
            nursery.cancel_scope.cancel()
            began = trio.current_time()
        took = trio.current_time() - began
    require(took < LEAVES_S, f"it was closed while its network was silent, and that took {took:.1f} s")


async def _hang(it: ChannelUnderTest) -> None:
    """Deliver to a network that does not answer."""
    with suppress(Exception):
        async with it.channel.sender() as sender:
            await failure(sender, outgoing(it.address, "one"))
            await trio.sleep_forever()


async def nothing_is_left_of_a_closed_channel(it: ChannelUnderTest) -> None:
    """A channel that is closed leaves no task, no thread and no socket."""
    await _use(it)  # the first use imports modules and fills caches
    before = _resources()
    await _use(it)
    left = _resources() - before
    with trio.move_on_after(SETTLES_S):
        while left:
            await trio.sleep(0.02)
            left = _resources() - before
    words = ", ".join(f"{n} {what}" for what, n in left.items())
    require(not left, f"it was closed {SETTLES_S:g} s ago, and there is more than before: {words}")


async def _use(it: ChannelUnderTest) -> None:
    async with it.channel.sender() as sender, receiving(it.channel, Host()):
        await deliver(sender, outgoing(it.address, "one"))
        await hint(sender, it.address)


def _resources() -> Counter[str]:
    """Count the tasks of trio by name, the threads, and the sockets of this process, without servers."""
    root = trio.lowlevel.current_root_task()
    found = Counter(f"task {name}" for name in _tasks(root))
    idle = ("Trio", "trio")  # trio keeps its threads for the next call
    found.update(f"thread {each.name}" for each in threading.enumerate() if not each.name.startswith(idle))
    found.update(_sockets())
    return found


def _tasks(task: trio.lowlevel.Task | None) -> Iterator[str]:
    """Yield the names of tasks. Servers are the tester's network, and end their connections later."""
    if task is not None and not task.name.startswith("trio._highlevel_serve_listeners"):
        yield task.name
        for nursery in task.child_nurseries:
            for child in nursery.child_tasks:
                yield from _tasks(child)


def _sockets() -> Iterator[str]:
    """Yield a word for each socket that no server has accepted, where the system lists descriptors."""
    found = [*_own_sockets()]
    servers = {place for place, listens in found if listens}
    return ("socket" for place, _ in found if place not in servers)


def _own_sockets() -> Iterator[tuple[object, bool]]:
    """Yield the port or path of each socket, and whether it listens."""
    descriptors = Path("/proc/self/fd")
    for each in descriptors.iterdir() if descriptors.is_dir() else ():
        with suppress(OSError):
            if not str(each.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(each.name))) as found:
                name: object = found.getsockname()
                listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            yield name[1] if isinstance(name, tuple) else name or each.name, bool(listens)


# -- large files ---------------------------------------------------------------


async def large_files_are_sent_in_parts(it: ChannelUnderTest) -> None:
    """A file is streamed from disk to the network. It is never in memory as a whole."""
    discarding = hook(it.discarding, "discarding")
    only(capabilities_of(it.channel).files, "it delivers no files")
    with TemporaryDirectory() as folder:
        path = _large_file(Path(folder))
        content = TextContent("", files=(path.name,))
        message = Outgoing("out-large", it.address, content, files=(OutgoingFile(path.name, path, LARGE),))
        async with it.channel.sender() as sender:
            with discarding(), _little_memory("sent"):
                raised = await failure(sender, message)
        rejected = isinstance(raised, DeliveryRejected)  # it may be larger than the network takes
        require(
            raised is None or rejected, f"the network is up, and a file of {LARGE:,} bytes raised {raised!r}"
        )


def _large_file(folder: Path) -> Path:
    path = folder / "large.bin"
    with path.open("wb") as file:
        file.truncate(LARGE)
    return path


async def large_files_are_fetched_in_parts(it: ChannelUnderTest) -> None:
    """A user's file is streamed to disk. It is never in memory as a whole."""
    sends = hook(it.sends_large, "sends_large")
    async with it.channel.sender(), receiving(it.channel, host := Host(reads_files=False)):
        with _little_memory("fetched"):
            await sends("large.bin", LARGE)
    [event] = host.stored
    said = event.message.text  # a file that is too large for the network costs a line
    require(
        host.sizes == [LARGE] or "large.bin" in said,
        f"a user sent {LARGE:,} bytes; offered were files of {host.sizes} bytes and the text {said!r}",
    )


@contextmanager
def _little_memory(done: str) -> Iterator[None]:
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not running:
            tracemalloc.stop()
    used = peak - before
    require(used < MOST_IN_MEMORY, f"a file of {LARGE:,} bytes was {done} with {used:,} bytes of memory")


# -- direct chats --------------------------------------------------------------


async def a_direct_chat_is_found(it: ChannelUnderTest) -> None:
    """`open_dm` returns the direct chat of a user, and the same whenever it is asked."""
    only(capabilities_of(it.channel).direct_chats, "it finds no direct chats")
    direct = hook(it.direct, "direct")
    async with it.channel.sender() as sender:
        found = await _found(sender, direct.user_id)
        require(
            found.channel_type == it.channel.channel_type, f"the direct chat is {found}, of another channel"
        )
        await deliver(sender, outgoing(found, "one"))
        again = await _found(sender, direct.user_id)
    require(found == again, f"asked twice for one direct chat, it found {found} and {again}")
    require(list(direct.texts()) == ["one"], f"sent 'one' there; the user sees {list(direct.texts())}")


async def users_of_other_networks_have_no_direct_chat(it: ChannelUnderTest) -> None:
    """`open_dm` rejects a user of another network. The host may ask about any user."""
    only(capabilities_of(it.channel).direct_chats, "it finds no direct chats")
    async with it.channel.sender() as sender:
        try:
            found = await _found(sender, f"{ANOTHER}:1")
        except DeliveryRejected:
            return
    raise NotConforming(f"{ANOTHER}:1 is a user of another network, and its direct chat is {found}")


async def _found(sender: Sender, user_id: str) -> Address:
    found: object = await cast("DirectSender", sender).open_dm(user_id)
    if not isinstance(found, Address):
        raise NotConforming(f"open_dm returned {found!r}, which is no Address")
    return found


# -- changes of chats ----------------------------------------------------------


async def a_new_name_of_a_chat_is_offered(it: ChannelUnderTest) -> None:
    """A chat that gets a new name is offered as `ChatRenamed`."""
    renames = hook(it.renames, "renames")
    async with it.channel.sender(), receiving(it.channel, host := Host()):
        await renames("Chess club")
    told = [(each.address.platform_id, each.name) for each in _offered(host, ChatRenamed)]
    wanted = [(it.address.platform_id, "Chess club")]
    require(told == wanted, f"the chat was renamed; offered was {host.changes}")


async def who_comes_and_goes_is_offered(it: ChannelUnderTest) -> None:
    """A user who joins or leaves a chat is offered as `Joined` or `Left`, with the id of their messages."""
    joins, leaves = hook(it.joins, "joins"), hook(it.leaves, "leaves")
    async with it.channel.sender(), receiving(it.channel, host := Host()):
        await joins()
        await leaves()
    told = [type(each) for each in host.changes if each.address.platform_id == it.address.platform_id]
    require(told == [Joined, Left], f"a user joined and left; offered was {host.changes}")
    users = [each.user_id for each in host.changes if isinstance(each, Joined | Left)]
    require(len(set(users)) == 1, f"one user joined and left; offered with the ids {users}")
    require_user(it.channel, users[0])


def _offered(host: Host, kind: type[ChatRenamed]) -> Iterator[ChatRenamed]:
    changes: list[ChatChange] = host.changes
    return (each for each in changes if isinstance(each, kind))


CHECKS: tuple[Callable[[ChannelUnderTest], Awaitable[None]], ...] = (
    leaving_takes_little_time,
    nothing_is_left_of_a_closed_channel,
    large_files_are_sent_in_parts,
    large_files_are_fetched_in_parts,
    a_direct_chat_is_found,
    users_of_other_networks_have_no_direct_chat,
    a_new_name_of_a_chat_is_offered,
    who_comes_and_goes_is_offered,
)
