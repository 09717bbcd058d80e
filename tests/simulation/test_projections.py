"""Projections are written again after the disk was full."""

from pathlib import Path

import apsw

from nanoclaw.testing import World
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.world.executor import When


async def test_a_failed_projection_write_is_retried(world: World) -> None:
    def full(path: Path, when: When, n: int) -> None:
        del when, n
        if path.name == "inbound.db":
            raise apsw.FullError("FullError: database or disk is full")

    def seen() -> list[str]:
        [file] = world.home.glob("data/sessions/*/*/inbound/inbound.db")
        return [name for (name,) in rows(file, "SELECT name FROM destinations")]

    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello")
    await world.sleep(5)
    [before] = seen()
    group = await world.host.admin.agent_groups.by_folder("main")
    assert group is not None
    world.commit_hooks.append(full)
    await world.host.admin.destinations.rename(group.id, before, "renamed")
    await world.sleep(12)
    assert seen() == [before]
    world.commit_hooks.remove(full)
    await world.sleep(6)
    assert seen() == ["renamed"]
