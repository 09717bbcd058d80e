"""The proxy of the web over real sockets: tunnels, plain requests, hostile sandboxes and servers."""

import ssl
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio
from structlog.testing import CapturingLogger
from trio.testing import wait_all_tasks_blocked

from nanoclaw.gateway.web import limits, proxy, serving
from nanoclaw.gateway.web.limits import MOST_OF_ONE
from nanoclaw.records.network import NetworkRule
from tests.gateway.web_stage import (
    PUBLIC,
    a_web_stage,
    connect,
    everything,
    listed,
    said,
    status,
    tunnel,
)

OPEN = NetworkRule("open")
EXAMPLE = listed("example.org", "example.org:8443")


async def echo(stream: trio.SocketStream) -> None:
    """Send back what comes, and the number of bytes at its end."""
    size = 0
    async for data in stream:
        size += len(data)
        await stream.send_all(data)
    await stream.send_all(b"|%d" % size)


async def shown(stream: trio.SocketStream) -> None:
    """Answer a request with its own bytes."""
    request = bytearray()
    while not request.endswith(b"body" if b"content-length" in request else b"\r\n\r\n"):
        request += await stream.receive_some(65536)
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(request), request))


# -- tunnels ------------------------------------------------------------------------


async def test_a_tunnel_passes_bytes_both_ways_and_each_end_by_itself(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        stream, head = await tunnel(await stage.door(EXAMPLE), "example.org:443")
        await stream.send_all(b"hello")
        await stream.send_eof()
        assert head.startswith(b"HTTP/1.1 200")
        assert await everything(stream) == b"hello|5"


async def test_bytes_that_follow_the_head_at_once_are_not_lost(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        answer = await said(
            await stage.door(EXAMPLE), b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\nearly", end=True
        )
        assert answer.endswith(b"\r\n\r\nearly|5")


async def test_a_slow_reader_holds_the_server_back_instead_of_filling_the_memory(tmp_path: Path) -> None:
    sent = 0

    async def pour(stream: trio.SocketStream) -> None:
        nonlocal sent
        while True:
            await stream.send_all(bytes(1 << 20))
            sent += 1

    async with a_web_stage(tmp_path) as stage:
        await stage.server(pour, "example.org:443")
        stream, _ = await tunnel(await stage.door(EXAMPLE), "example.org:443")
        await wait_all_tasks_blocked(0.1)
        assert sent < 20
        await stream.aclose()


async def test_curl_speaks_tls_through_a_tunnel(tmp_path: Path) -> None:
    certificate, key = certificate_for("example.org", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        await secure.receive_some(65536)
        await secure.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")
        await secure.aclose()

    async with a_web_stage(tmp_path) as stage:
        await stage.server(serve, "example.org:443")
        output = await curl(await stage.door(EXAMPLE), "https://example.org/", "--cacert", str(certificate))
    assert output == b"secret"


async def curl(path: Path, *arguments: str) -> bytes:
    """Run curl through a door, as in a sandbox: by a port that leads to it."""

    async def forward(client: trio.SocketStream) -> None:
        async with client, await trio.open_unix_socket(path) as door, trio.open_nursery() as nursery:
            for one, other in ((client, door), (door, client)):
                nursery.start_soon(pump, one, other)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, forward, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        proxied = ("curl", "-sS", "--proxy", f"http://127.0.0.1:{port}", *arguments)
        done = await trio.run_process(proxied, capture_stdout=True, capture_stderr=True, check=False)
        nursery.cancel_scope.cancel()
    return done.stdout + done.stderr


async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    async for data in source:
        await sink.send_all(data)
    await sink.send_eof()


def certificate_for(host: str, folder: Path) -> tuple[Path, Path]:
    """Make a certificate that signs itself."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    named = ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-days", "2")
    files = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run([*made, *named, *files], check=True, capture_output=True)
    return certificate, key


# -- plain requests -----------------------------------------------------------------


async def test_curl_gets_a_plain_page_and_the_server_sees_an_ordinary_request(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(shown, "example.org:80")
        output = await curl(
            await stage.door(EXAMPLE),
            *("http://Example.ORG./a?b=c#d", "-H", "Proxy-Authorization: secret", "-H", "X-Own: 1"),
            *("-H", "Connection: x-hop", "-H", "X-Hop: 1", "-d", "body"),
        )
    head, _, body = output.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /a?b=c http/1.1"
    assert {"host: example.org", "x-own: 1", "content-length: 4", "connection: close"} <= set(lines)
    assert not [line for line in lines if line.startswith(("proxy-", "x-hop"))]
    assert body == b"body"


async def test_an_answer_of_a_kind_without_a_length_ends_where_the_server_ends(tmp_path: Path) -> None:
    async def old(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    async with a_web_stage(tmp_path) as stage:
        await stage.server(old, "example.org:80")
        assert await curl(await stage.door(EXAMPLE), "http://example.org/") == b"all of it"


async def test_a_chunked_upload_arrives_while_the_answer_streams(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(shown, "example.org:80")
        head = b"POST http://example.org/ HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        answer = await said(await stage.door(EXAMPLE), head + b"3\r\nabc\r\n0\r\n\r\n")
    assert status(answer) == 200
    assert b"host: example.org\r\n" in answer.lower()


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000],
    ids=["none", "no", "huge"],
)
async def test_a_server_that_does_not_speak_http_is_a_bad_gateway(tmp_path: Path, answer: bytes) -> None:
    async def bad(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(answer)

    async with a_web_stage(tmp_path) as stage:
        await stage.server(bad, "example.org:80")
        told = await said(await stage.door(EXAMPLE), b"GET http://example.org/ HTTP/1.1\r\nhost: x\r\n\r\n")
    assert status(told) == 502
    assert b"example.org:80 gave no valid answer" in told


# -- hostile requests ---------------------------------------------------------------

GET = b"GET http://example.org/ HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET /v1/messages HTTP/1.1\r\nhost: gateway\r\n\r\n", 400),
        (b"POST /model/v1/messages HTTP/1.1\r\nhost: example.org\r\ncontent-length: 0\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nhost: example.org\r\n\r\n", 400),
        (b"GET https://example.org/ HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET ftp://example.org/ HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (GET + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
        (GET + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (GET + b"transfer-encoding: gzip\r\n\r\n", 501),
        (GET + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", 501),
        (GET + b"transfer-encoding : chunked\r\n\r\n", 400),
        (GET + b"x: a\0b\r\n\r\n", 400),
        (GET + b"x: " + b"x" * 100_000, 431),
        (b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
async def test_what_is_no_clear_request_reaches_nobody(
    tmp_path: Path, request_: bytes, expected: int
) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(shown, "example.org:80", "example.org:443")
        assert status(await said(await stage.door(EXAMPLE), request_)) == expected
        assert (stage.internet.looked_up, stage.internet.connected) == ([], [])


async def test_a_second_request_on_the_same_connection_is_not_read(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(shown, "example.org:80")
        answer = await said(await stage.door(EXAMPLE), 2 * (GET + b"\r\n"))
        assert answer.count(b"HTTP/1.1 200") == 1
        assert stage.internet.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "target",
    [
        "example.org",
        "example.org:",
        "example.org:0",
        "example.org:65536",
        "example.org:443:443",
        "example.org:-1",
        "example.org:4 43",
        "user@example.org:443",
        "example.org%2e:443",
        "example.org..:443",
        "exam\u00e9ple.org:443",
        "[::1:443",
        "[fe80::1%eth0]:443",
        "http://example.org:443",
        "127.1:443",
        "0x7f.0.0.1:443",
        "0177.0.0.1:443",
        "2130706433:443",
        ":443",
        "a" * 300 + ".org:443",
    ],
)
async def test_an_address_of_another_form_is_refused(tmp_path: Path, target: str) -> None:
    async with a_web_stage(tmp_path) as stage:
        told = await said(await stage.door(OPEN), f"CONNECT {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert status(told) == 400
        assert (stage.internet.looked_up, stage.internet.connected) == ([], [])


@pytest.mark.parametrize("target", ["EXAMPLE.org:443", "example.org.:443"])
async def test_a_name_counts_in_its_one_form(tmp_path: Path, target: str) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        assert await connect(await stage.door(EXAMPLE), target) == 200


# -- addresses that are not public --------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        *("localhost:80", "metadata.google.internal:80", "printer.local:80", "db:5432", "a.localhost:80"),
        *("127.0.0.1:80", "10.0.0.1:80", "169.254.169.254:80", "100.64.0.1:80", "0.0.0.0:80"),
        *(
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "[fd00:ec2::254]:80",
            "[64:ff9b::7f00:1]:80",
            "[2002:7f00:1::]:80",
        ),
    ],
)
async def test_private_names_and_addresses_are_refused_without_a_question(
    tmp_path: Path, target: str
) -> None:
    async with a_web_stage(tmp_path) as stage:
        told = await said(
            await stage.door(NetworkRule("ask")), f"CONNECT {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
        )
        assert (status(told), b"never reached" in told) == (403, True)
        assert (stage.internet.looked_up, stage.internet.connected) == ([], [])
        assert not await stage.office.admin.approvals.list()


async def test_a_name_that_resolves_to_a_private_address_leads_nowhere(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        stage.internet.names["example.org"] = ("127.0.0.1", "::1", "10.1.2.3", "fe80::1%eth0", "nonsense")
        assert await connect(await stage.door(EXAMPLE), "example.org:443") == 403
        assert stage.internet.connected == []


async def test_a_name_that_changes_its_mind_is_asked_once(tmp_path: Path) -> None:
    """DNS rebinding: the first answer is public, each later one is loopback."""
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")

        class Rebinding(dict[str, Sequence[str]]):
            def __getitem__(self, host: str) -> Sequence[str]:
                return (PUBLIC,) if len(stage.internet.looked_up) == 1 else ("127.0.0.1",)

        stage.internet.names = Rebinding({"example.org": ()})
        path = await stage.door(EXAMPLE)
        assert await connect(path, "example.org:443") == 200
        assert (stage.internet.looked_up, stage.internet.connected) == (["example.org"], [(PUBLIC, 443)])
        assert await connect(path, "example.org:443") == 403
        assert stage.internet.connected == [(PUBLIC, 443)]


async def test_the_machine_s_own_public_address_is_refused(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        stage.internet.own = frozenset({PUBLIC})
        assert await connect(await stage.door(EXAMPLE), "example.org:443") == 403


async def test_the_next_address_is_tried_if_one_does_not_answer(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        stage.internet.names["example.org"] = ("10.0.0.1", "93.184.216.99", PUBLIC)
        assert await connect(await stage.door(EXAMPLE), "example.org:443") == 200
        assert stage.internet.connected == [("93.184.216.99", 443), (PUBLIC, 443)]


async def test_a_name_or_server_that_is_missing_is_said_in_words(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        path = await stage.door(OPEN)
        no_name = await said(path, b"CONNECT nowhere.example:443 HTTP/1.1\r\nhost: x\r\n\r\n")
        stage.internet.names["example.org"] = (PUBLIC,)
        no_server = await said(path, b"CONNECT example.org:9 HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (status(no_name), b"Name or service not known" in no_name) == (502, True)
    assert (status(no_server), b"example.org:9 cannot be reached" in no_server) == (502, True)


# -- rules --------------------------------------------------------------------------


async def test_a_list_allows_its_sites_and_nothing_else(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        sites = ("example.org:443", "example.org:22", "pypi.python.org:443", "python.org:443", "evil.org:443")
        await stage.server(echo, *sites)
        path = await stage.door(listed("example.org", "*.python.org:443"))
        assert [await connect(path, site) for site in sites] == [200, 403, 200, 403, 403]
        assert "evil.org" not in stage.internet.looked_up, "a name that is not allowed must not reach the DNS"


async def test_an_agent_without_network_is_told_so(tmp_path: Path) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.office.admin.network.allow("main", "example.org")
        told = await curl(await stage.door(NetworkRule("none")), "http://example.org/")
        assert b"no access to the web" in told


# -- limits -------------------------------------------------------------------------


async def test_no_more_connections_than_allowed_are_served_and_others_are_not_disturbed(
    tmp_path: Path,
) -> None:
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        path, other = await stage.door(EXAMPLE), await stage.door(EXAMPLE, "s2")
        idle = [await trio.open_unix_socket(path) for _ in range(MOST_OF_ONE)]
        await wait_all_tasks_blocked()
        assert await said(path, b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n") == b""
        assert await connect(other, "example.org:443") == 200
        await idle.pop().aclose()
        await wait_all_tasks_blocked()
        assert await connect(path, "example.org:443") == 200
        for each in idle:
            await each.aclose()


async def test_all_sandboxes_together_have_a_bound_that_idle_connections_count_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_OF_ALL", 2)
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        path, other = await stage.door(EXAMPLE), await stage.door(EXAMPLE, "s2")
        idle = [await trio.open_unix_socket(path) for _ in range(2)]
        await wait_all_tasks_blocked()
        assert await connect(other, "example.org:443") == 429
        for each in idle:
            await each.aclose()
        await wait_all_tasks_blocked()
        assert await connect(other, "example.org:443") == 200


async def test_a_sandbox_that_opens_too_many_connections_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "A_SECOND", 0.001)
    monkeypatch.setattr(limits, "BURST", 3)
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        path = await stage.door(EXAMPLE)
        assert [await connect(path, "example.org:443") for _ in range(5)][3:] == [429, 429]


async def test_a_head_that_comes_too_slowly_ends_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 0.05)
    async with a_web_stage(tmp_path) as stage:
        assert status(await said(await stage.door(EXAMPLE), b"CONNECT example.org:443 HT")) == 408


async def test_a_tunnel_without_a_byte_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "IDLE_S", 0.05)
    async with a_web_stage(tmp_path) as stage:
        await stage.server(echo, "example.org:443")
        stream, head = await tunnel(await stage.door(EXAMPLE), "example.org:443")
        assert (status(head), await everything(stream)) == (200, b"")


async def hang() -> None:
    await trio.sleep_forever()


async def test_a_resolver_that_never_answers_delays_only_its_own_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "RESOLVE_S", 0.05)
    async with a_web_stage(tmp_path) as stage:
        monkeypatch.setattr(type(stage.internet), "resolve", lambda *_: hang())
        assert await connect(await stage.door(EXAMPLE), "example.org:443") == 502


# -- the log ------------------------------------------------------------------------


async def test_each_connection_is_logged_with_its_bytes_and_without_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(proxy, "_log", log)
    async with a_web_stage(tmp_path) as stage:
        await stage.server(shown, "example.org:80")
        await curl(await stage.door(EXAMPLE), "http://example.org/secret?token=1", "-d", "body")
    [line] = log.calls
    fields = dict(line.kwargs)
    assert line.args == ("gateway.web",)
    assert (fields["session"], fields["host"], fields["port"]) == ("s1", "example.org", 80)
    assert fields["sent"] > 50
    assert fields["received"] > 50
    assert "secret" not in str(fields)


async def test_refusals_do_not_fill_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(serving, "_log", log)
    async with a_web_stage(tmp_path) as stage:
        path = await stage.door(EXAMPLE)
        for _ in range(60):
            await connect(path, "evil.org:443")
    assert 0 < len(log.calls) <= 20
    assert log.calls[0].kwargs["reason"] == "unlisted"
