"""Files from networks: streamed, bounded, from public addresses only, and never left behind."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from nanoclaw.channels.fetching import MOST_REDIRECTS, NotFetched, fetched
from nanoclaw.channels.media import Media
from nanoclaw.testing.internet import FakeInternet

Pages = Mapping[str, bytes]


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


def redirect(to: str) -> bytes:
    return (
        b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % to.encode()
    )


@asynccontextmanager
async def served(pages: Pages) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve raw answers on loopback. Yield the address of the server, and the requests that it got."""
    requests = list[bytes]()

    async def answer(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request and (part := await stream.receive_some()):
            request += part
        requests.append(request)
        await stream.send_all(pages[request.split()[1].decode()])
        await stream.send_eof()
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}", requests
        nursery.cancel_scope.cancel()


async def content(url: str, **how: object) -> bytes:
    async with fetched(url, **how) as chunks:  # type: ignore[arg-type]  # passed on by name
        return b"".join([chunk async for chunk in chunks])


async def test_a_file_of_a_trusted_server_is_fetched_with_its_token() -> None:
    async with served({"/a": ok(b"hello")}) as (server, requests):
        assert (
            await content(f"{server}/a", trusted=[server], headers={"Authorization": "Bearer t"}) == b"hello"
        )
    assert b"authorization: bearer t" in requests[0].lower()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a",
        "http://[::1]/a",
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3:80/a",
        "http://localhost/a",
        "http://router.local/a",
        "http://rebound.example/a",
        "http://[::ffff:10.0.0.1]/a",
    ],
)
async def test_a_private_address_is_never_asked(url: str) -> None:
    internet = FakeInternet(names={"rebound.example": ["10.0.0.1", "127.0.0.1"]})
    with pytest.raises(NotFetched, match="its address is private"):
        await content(url, internet=internet)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.example/b", "http://", "http://a.example:x/", "//a"]
)
async def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(NotFetched, match="its address is not"):
        await content(url)


@pytest.mark.parametrize("to", ["http://169.254.169.254/", "https://localhost/x", "file:///etc/passwd"])
async def test_a_redirect_to_a_private_address_is_not_followed(to: str) -> None:
    async with served({"/a": redirect(to)}) as (server, requests):
        with pytest.raises(NotFetched, match="its address is"):
            await content(f"{server}/a", trusted=[server])
    assert len(requests) == 1


async def test_a_redirect_keeps_the_token_at_its_server() -> None:
    async with (
        served({"/c": ok(b"there")}) as (other, others),
        served({"/a": redirect("/b"), "/b": redirect(f"{other}/c")}) as (server, requests),
    ):
        found = await content(f"{server}/a", trusted=[server, other], headers={"X-Token": "secret"})
    assert found == b"there"
    assert [b"secret" in request for request in requests + others] == [True, True, False]


async def test_endless_redirects_end() -> None:
    async with served({"/a": redirect("/a")}) as (server, requests):
        with pytest.raises(NotFetched, match="redirects too often"):
            await content(f"{server}/a", trusted=[server])
    assert len(requests) == MOST_REDIRECTS + 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "status 403"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "its server failed"),
        (b"nonsense\r\n\r\n", "its server failed"),
        (b"", "its server failed"),
    ],
)
async def test_a_server_that_fails_costs_only_the_file(tmp_path: Path, answer: bytes, words: str) -> None:
    media = Media(tmp_path / "media")
    async with served({"/a": answer, "/b": ok(b"fine")}) as (server, _), media.files() as files:
        assert await files.fetch("file", "a.txt", f"{server}/a", trusted=[server]) is None
        assert await files.fetch("file", "b.txt", f"{server}/b", trusted=[server]) is not None
        assert [each.name for each in files.attachments] == ["b.txt"]
        assert files.text("look").startswith("look\n[The file 'a.txt' of this message is lost: ")
        assert words in files.text("look")
    assert list((tmp_path / "media").iterdir()) == []


async def test_a_silent_server_is_given_up(autojump_clock: object) -> None:  # noqa: ARG001 -- virtual time
    async def silent(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, silent, 0, host="127.0.0.1"))
        server = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        with pytest.raises(NotFetched):
            await content(f"{server}/a", trusted=[server], within_s=5.0)
        nursery.cancel_scope.cancel()


# -- the folder ------------------------------------------------------------------


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await trio.lowlevel.checkpoint()
        yield part


async def test_files_that_are_too_large_together_are_lost(tmp_path: Path) -> None:
    asked = False

    async def never() -> AsyncIterator[bytes]:
        nonlocal asked
        asked = True
        yield b""

    async with Media(tmp_path / "media", limit=8).files() as files:
        assert await files.add("file", "announced", never(), size=9) is None
        assert not asked
        assert await files.add("file", "a", chunks(b"123", b"45")) is not None
        assert await files.add("file", "b", chunks(b"12", b"34")) is None
        assert await files.add("file", "c", chunks(b"123")) is not None
        assert [each.path.read_bytes() for each in files.attachments if each.path] == [b"12345", b"123"]
        assert files.text("").count("\n") == 1


async def test_what_a_process_left_behind_is_removed_once(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "left").write_text("x")
    media = Media(folder)
    await media.clean()
    assert not (folder / "left").exists()
    async with media.files() as files:
        await files.add("file", "a", chunks(b"hello"))
        await media.clean()  # a second connection
        assert files.attachments[0].path is not None
        assert files.attachments[0].path.exists()


async def test_nothing_is_left_of_a_message_that_was_cut_off(tmp_path: Path) -> None:
    async def stops() -> AsyncIterator[bytes]:
        yield b"hello"
        raise trio.BrokenResourceError

    media = Media(tmp_path / "media")
    with pytest.raises(trio.BrokenResourceError):
        async with media.files() as files:
            await files.add("file", "a", stops())
    assert list((tmp_path / "media").iterdir()) == []
