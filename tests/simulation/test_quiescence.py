"""When a session of a workload is looked at: after it has had time enough, and could know what to do."""

from types import SimpleNamespace
from typing import Any

import trio
from attrs import Factory, define

from nanoclaw.simulation.quiescence import QuiescenceWatch

SESSION = "sess-1"
JUMP = ("fault", ("clock-jumps", "+10242 s"))
COMMIT = (1, f"data/sessions/ag-1/{SESSION}/inbound/inbound.db")


@define
class Looks:
    """What was looked at."""

    seen: list[set[str]] = Factory(list)
    attended: bool = True
    """Whether a host that lives sees to the session."""
    disk_fails: bool = False

    def hindered(self) -> frozenset[str]:
        """While the disk fails, the session is."""
        return frozenset({SESSION}) if self.disk_fails else frozenset()

    async def of(self, *steps: tuple[str, tuple[object, ...]]) -> list[set[str]]:
        """Run steps of a timeline, and see."""
        injector: Any = SimpleNamespace(hindered=self.hindered)
        nodes = [SimpleNamespace(name=SESSION, state="running" if self.attended else "buried")]
        world: Any = SimpleNamespace(
            host=SimpleNamespace(sessions=SimpleNamespace(nodes=lambda: nodes)),
            runtime=SimpleNamespace(runners={SESSION: None}),
        )
        quiescence = QuiescenceWatch(world, injector, lambda sessions, *_: self.seen.append(set(sessions)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(quiescence.watch)
            for event, details in steps:
                if "io-error" in details:
                    self.disk_fails = "is over" not in details
                quiescence.note(event, details)
                await trio.sleep(0.1)
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
        return self.seen


async def test_after_a_commit_a_session_is_looked_at_once(autojump_clock: object) -> None:
    del autojump_clock
    assert await Looks().of(("commit", COMMIT)) == [{SESSION}]


async def test_a_jump_of_the_date_that_no_host_hears_of_is_nobodys_fault(autojump_clock: object) -> None:
    del autojump_clock
    dead = (("commit", COMMIT), ("host killed", ()), JUMP)
    assert await Looks().of(*dead) == []
    assert await Looks().of(*dead, ("host ready", ()), ("runner adopted", (SESSION,))) == [{SESSION}]
    assert await Looks().of(("commit", COMMIT), JUMP) == [{SESSION}]
    assert await Looks().of(("commit", COMMIT), JUMP, ("host killed", ())) == []


async def test_a_jump_while_a_host_does_not_see_to_a_session_is_nobodys_fault_until_it_does(
    autojump_clock: object,
) -> None:
    del autojump_clock
    jumped = (("commit", COMMIT), JUMP, ("fault", ("disk-full",)))
    assert await Looks(attended=False).of(*jumped) == []
    assert await Looks(attended=False).of(*jumped, ("commit", COMMIT)) == [{SESSION}]


async def test_a_jump_while_the_disk_fails_is_nobodys_fault_until_the_host_can_tell(
    autojump_clock: object,
) -> None:
    del autojump_clock
    over = ("fault", ("io-error", "is over"))
    jumped = (("commit", COMMIT), ("fault", ("io-error", "host", "for 10 s")), JUMP, over)
    assert await Looks().of(*jumped) == []
    assert await Looks().of(*jumped, ("commit", COMMIT)) == [{SESSION}]
    assert await Looks().of(*jumped[:2], over, JUMP) == [{SESSION}]


async def test_what_is_due_long_after_holds_up_no_look_before(autojump_clock: object) -> None:
    del autojump_clock
    stuck = ("fault", ("stuck-runner", SESSION, "for 100 s"))
    assert await Looks().of(stuck, ("commit", COMMIT)) == [{SESSION}]
