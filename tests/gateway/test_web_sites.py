"""Sites by permission: questions to the owner, decisions and their effect on living connections."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from nanoclaw.gateway.web.sites import judge
from nanoclaw.operations.errors import BadArguments
from nanoclaw.records.network import NetworkRule, Site
from nanoclaw.registry import MOST_OPEN
from nanoclaw.store import NotFound, StoreUnavailable
from nanoclaw.store.central import network_sites, pending_approvals
from tests.gateway.test_web_proxy import curl, echo, shown
from tests.gateway.web_stage import WebStage, a_web_stage, connect, everything, listed, said, tunnel

ASK = NetworkRule("ask")
OPEN = NetworkRule("open")


async def pending(stage: WebStage) -> list[str]:
    return [each.request_id for each in await stage.office.admin.approvals.list("pending")]


# -- asking -------------------------------------------------------------------------


async def test_a_new_site_becomes_one_question_and_the_agent_is_told_what_to_do(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        path = await stage.door(ASK)
        stream, head = await tunnel(path, "example.org:443")
        await stream.aclose()
        told = await said(path, b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 403 the owner has not allowed example.org yet and has been asked.")
        assert b"Go on without it" in told.partition(b"\r\n\r\n")[2]
        assert stage.internet.looked_up == []
        [approval] = await stage.office.admin.approvals.list()
        assert (approval.action, approval.request_id, approval.session_id) == ("network", "example.org", None)
        assert approval.title == "main asks to reach example.org"
        assert "The agent main asks to reach example.org" in approval.text


async def test_a_thousand_tries_at_once_are_one_question(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        paths = [await stage.door(ASK, f"s{number}") for number in range(20)]
        statuses = list[int]()

        async def some(path: Path) -> None:
            for _ in range(50):
                statuses.append(await connect(path, "example.org:443"))

        async with trio.open_nursery() as nursery:
            for path in paths:
                nursery.start_soon(some, path)
        assert (len(statuses), set(statuses)) == (1000, {403})
        assert await pending(stage) == ["example.org"]


async def test_each_agent_has_a_question_of_its_own(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        other = await stage.office.agent("other")
        await connect(await stage.door(ASK), "example.org:443")
        await connect(await stage.door(ASK, "s2", other.id), "example.org:443")
        assert await pending(stage) == ["example.org", "example.org"]
        await stage.office.admin.network.allow("other", "example.org")
        assert [(each.agent, each.state) for each in await stage.office.admin.network.list()] == [
            ("main", "asked"),
            ("other", "allowed"),
        ]


async def test_a_flood_of_names_asks_no_more_than_a_bound(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        path = await stage.door(ASK)
        for number in range(MOST_OPEN + 5):
            await connect(path, f"s{number}.example.org:443")
        told = await curl(path, "http://one-more.example.org/")
        assert len(await pending(stage)) == MOST_OPEN
        assert b"too many questions of this agent wait already" in told


async def test_a_port_besides_those_of_the_web_is_a_site_of_its_own(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443", "example.org:22")
        path = await stage.door(ASK)
        await stage.office.admin.network.allow("main", "example.org")
        assert [await connect(path, f"example.org:{port}") for port in (443, 22)] == [200, 403]
        assert await pending(stage) == ["example.org:22"]


async def test_nothing_is_asked_with_a_list(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        assert await connect(await stage.door(listed("example.org")), "python.org:443") == 403
        assert await pending(stage) == []


async def test_a_question_that_cannot_be_stored_is_not_said_to_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise StoreUnavailable(Path("v2.db"), "the disk is full")

    async with a_web_stage(tmp_path) as stage:
        path = await stage.door(ASK)
        with monkeypatch.context() as patch:
            patch.setattr(pending_approvals, "create", full)
            answer = await said(path, b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert await pending(stage) == []
        assert await connect(path, "example.org:443") == 403
        assert await pending(stage) == ["example.org"]


# -- deciding -----------------------------------------------------------------------


async def test_an_allowed_site_is_reached_at_once_and_its_question_is_closed(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "www.example.org:443", "example.org:443")
        path = await stage.door(ASK)
        assert await connect(path, "www.example.org:443") == 403
        await stage.office.admin.network.allow("main", "*.example.org")
        assert await connect(path, "www.example.org:443") == 200
        assert await connect(path, "example.org:443") == 403
        assert [(each.request_id, each.status) for each in await stage.office.admin.approvals.list()] == [
            ("www.example.org", "approved"),
            ("example.org", "pending"),
        ]


async def test_a_refused_site_is_remembered_and_not_asked_again(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        path = await stage.door(ASK)
        await connect(path, "example.org:443")
        await stage.office.admin.network.refuse("main", "example.org")
        told = await curl(path, "http://example.org/")
        assert b"the owner has refused example.org" in told
        assert await pending(stage) == []


async def test_a_decision_about_the_approval_itself_counts_too(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        path = await stage.door(ASK)
        await connect(path, "example.org:443")
        [approval] = await stage.office.admin.approvals.list()
        await stage.office.admin.users.create("tg:1")
        await stage.office.admin.roles.grant("tg:1", "owner")
        await stage.office.admin.approvals.decide(approval.approval_id, "approved", by="tg:1")
        assert await connect(path, "example.org:443") == 200
        [row] = await stage.office.central.run(network_sites.every)
        assert (row.site, row.decision, row.decided_by) == ("example.org", "allowed", "tg:1")


async def test_a_forgotten_site_is_asked_anew(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        path = await stage.door(ASK)
        await connect(path, "example.org:443")
        await stage.office.admin.network.refuse("main", "example.org")
        await stage.office.admin.network.forget("main", "example.org")
        assert await pending(stage) == []
        await connect(path, "example.org:443")
        assert await pending(stage) == ["example.org"]
        with pytest.raises(NotFound, match="no decision and no question about"):
            await stage.office.admin.network.forget("main", "python.org")


async def test_a_deleted_question_may_be_asked_again(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        path = await stage.door(ASK)
        await connect(path, "example.org:443")
        [approval] = await stage.office.admin.approvals.list()
        await stage.office.admin.approvals.delete(approval.approval_id)
        await connect(path, "example.org:443")
        assert len(await pending(stage)) == 1


@pytest.mark.parametrize("rule", [OPEN, ASK, listed("example.org")], ids=str)
async def test_a_withdrawn_permission_ends_running_connections(tmp_path: Path, rule: NetworkRule) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443", "python.org:443")
        for site in ("example.org", "python.org"):
            await stage.office.admin.network.allow("main", site)
        path = await stage.door(rule)
        stream, _ = await tunnel(path, "example.org:443")
        other, _ = await tunnel(path, "python.org:443")
        await stage.office.admin.network.refuse("main", "example.org")
        assert await everything(stream) == b"", "no answer of the proxy is put into a tunnel"
        await other.send_all(b"alive")
        assert await other.receive_some(10) == b"alive"
        await other.aclose()
        assert await connect(path, "example.org:443") == 403


async def test_decisions_hold_after_a_restart_of_the_host(tmp_path: Path) -> None:
    for allowed in (False, True):
        async with a_web_stage(tmp_path) as stage:
            await stage.server(echo, "example.org:443")
            path = await stage.door(ASK)
            if not allowed:
                await stage.office.admin.network.allow("main", "example.org")
            assert await connect(path, "example.org:443") == 200


async def test_what_cannot_be_read_allows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        path = await stage.door(OPEN)
        assert await connect(path, "example.org:443") == 200

        def unreadable(_connection: apsw.Connection) -> Sequence[Any]:
            raise StoreUnavailable(Path("v2.db"), "the disk is gone")

        with monkeypatch.context() as patch:
            patch.setattr(network_sites, "every", unreadable)
            stage.office.changes.tell_network()
            assert await connect(path, "example.org:443") == 503
        assert await connect(path, "example.org:443") == 200


async def test_connections_do_not_read_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(shown, "example.org:80")
        path = await stage.door(OPEN)
        await curl(path, "http://example.org/")
        reads = list[str]()
        monkeypatch.setattr(type(stage.office.central), "run", lambda *_: reads.append("read"))
        for _ in range(5):
            await curl(path, "http://example.org/")
        assert reads == []


async def test_an_agent_is_deleted_with_its_sites_and_questions(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await connect(await stage.door(ASK), "example.org:443")
        await stage.office.admin.network.allow("main", "python.org")
        await stage.office.admin.agent_groups.delete(stage.agent)
        assert await stage.office.admin.network.list() == []


@pytest.mark.parametrize("site", ["", "http://example.org/", "*", "example.org:0", "a b"])
async def test_what_is_no_site_is_refused_with_the_forms(tmp_path: Path, site: str) -> None:
    async with a_web_stage(tmp_path) as stage:
        with pytest.raises(BadArguments, match="must be a host such as"):
            await stage.office.admin.network.allow("main", site)


@pytest.mark.parametrize(
    "site", ["127.0.0.1", "10.0.0.5:22", "localhost:8000", "*.localhost", "db", "169.254.169.254"]
)
async def test_a_site_that_no_rule_opens_cannot_be_allowed(tmp_path: Path, site: str) -> None:
    async with a_web_stage(tmp_path) as stage:
        with pytest.raises(BadArguments, match="on this machine or in a private network"):
            await stage.office.admin.network.allow("main", site)
        for public in ("*.org", "1.1.1.1"):
            await stage.office.admin.network.allow("main", public)


def test_the_most_precise_decision_counts() -> None:
    decisions = [
        (Site.of("*.example.org"), "refused"),
        (Site.of("www.example.org"), "allowed"),
        (Site.of("www.example.org:443"), "refused"),
        (Site.of("*.a.example.org"), "allowed"),
    ]
    found = {
        f"{host}:{port}": judge(OPEN, decisions, host, port)  # type: ignore[arg-type]  # the words are Literals
        for host in ("x.example.org", "www.example.org", "x.a.example.org", "example.org")
        for port in (80, 443)
    }
    assert found == {
        "x.example.org:80": "refused",
        "x.example.org:443": "refused",
        "www.example.org:80": "allowed",
        "www.example.org:443": "refused",
        "x.a.example.org:80": "allowed",
        "x.a.example.org:443": "allowed",
        "example.org:80": "allowed",
        "example.org:443": "allowed",
    }
