"""`nanoclaw web`: links that log browsers in, for the owner and for others."""

import pytest

from nanoclaw.channels.http.web import logins
from nanoclaw.channels.http.web.logins import Logins
from nanoclaw.operations import Admin, BadArguments, Forbidden, Unavailable
from nanoclaw.store import NotFound
from nanoclaw.testing import World

PAGE = "http://127.0.0.1:8080/chat/"
DAY_S = 86_400


async def admin_of(world: World, page: str | None = PAGE) -> Admin:
    """Start the host with a channel that has a web chat, and return its operations for the local user."""
    if not world.host_lives:
        await world.start()
        await world.host.admin.users.create("cli:local", display_name="Ann")
        await world.host.admin.roles.grant("cli:local", "owner")
    if page is not None:
        await world.host.channel_state("fake").set(logins.ADDRESS, page)
    return world.host.admin


def logins_of(world: World) -> Logins:
    return Logins(world.host.channel_state("fake"), world.clock.now, world.random)


async def test_a_link_of_the_owner_logs_in_as_the_same_person(world: World) -> None:
    admin = await admin_of(world)
    link = await admin.web.login()
    page, _, token = link.url.partition("#login=")
    session = await logins_of(world).redeem(token, "Firefox")
    assert (page, link.user) == (PAGE, "http:owner")
    assert session is not None
    login = await logins_of(world).login(session)
    assert login is not None
    assert (login.person.user_id, login.name) == ("http:owner", "Ann")
    assert (await admin.users.show("http:owner")).rights == ["owner"]


async def test_another_user_gets_no_rights_and_their_lack_is_noted(world: World) -> None:
    admin = await admin_of(world)
    link = await admin.web.login(user="bob")
    assert link.user == "http:bob"
    shown = await admin.users.show("http:bob")
    assert (shown.rights, shown.linked) == ([], ())


async def test_a_link_ends_after_ten_minutes_and_a_login_after_thirty_days(world: World) -> None:
    admin = await admin_of(world)
    late = (await admin.web.login()).url.partition("#login=")[2]
    used = (await admin.web.login()).url.partition("#login=")[2]
    session = await logins_of(world).redeem(used, "Firefox")
    assert session is not None
    await world.sleep(logins.LINK_S + 1)
    assert await logins_of(world).redeem(late, "Firefox") is None
    assert len(await admin.web.list()) == 1
    await world.sleep(30 * DAY_S)
    assert await logins_of(world).login(session) is None
    assert await admin.web.list() == []


async def test_a_revoked_browser_is_logged_out(world: World) -> None:
    admin = await admin_of(world)
    token = (await admin.web.login()).url.partition("#login=")[2]
    session = await logins_of(world).redeem(token, "Firefox")
    assert session is not None
    [browser] = await admin.web.list()
    assert (browser.user, browser.browser) == ("http:owner", "Firefox")
    await admin.web.revoke(browser.id)
    assert await logins_of(world).login(session) is None
    with pytest.raises(NotFound, match="nanoclaw web list"):
        await admin.web.revoke(browser.id)


async def test_without_a_web_chat_the_command_says_how_to_get_one(world: World) -> None:
    admin = await admin_of(world, page=None)
    with pytest.raises(Unavailable, match=r"add the line `\[channels.http\]`"):
        await admin.web.login()


@pytest.mark.parametrize("name", ["", "a b", "../x", "b/coder", "é"])
async def test_a_name_that_is_none_is_refused(world: World, name: str) -> None:
    admin = await admin_of(world)
    with pytest.raises(BadArguments):
        await admin.web.login(user=name)


async def test_only_an_owner_makes_links(world: World) -> None:
    await admin_of(world)
    with pytest.raises(Forbidden):
        await world.host.admin_as("tg:9").web.login(user="bob")
