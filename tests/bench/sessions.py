"""20 warm sessions, each with a runner of its own, and 10 messages for each, all at once."""

import trio

from tests.bench.loads import burst, event, more_chats
from tests.bench.wired import wired_host

SESSIONS = 20
MESSAGES = 10


def run() -> list[tuple[str, float, str]]:
    return [("sessions20x10_makespan", trio.run(_measure), "s")]


async def _measure() -> float:
    async with wired_host() as bench:
        chats = await more_chats(bench, SESSIONS)
        await burst(bench, [event(chat, f"warm-{chat.platform_id}") for chat in chats])
        return await burst(
            bench, [event(chat, f"{chat.platform_id}-{n}") for n in range(MESSAGES) for chat in chats]
        )
