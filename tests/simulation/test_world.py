from nanoclaw.testing.world import World


async def test_the_agent_answers(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello")
