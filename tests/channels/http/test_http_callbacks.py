"""Callbacks: answers are posted to the address of the message, signed, until it confirms them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import Factory, define
from httpcore2 import ConnectError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nanoclaw.channels.http import callbacks
from nanoclaw.channels.http.callbacks import GuardedBackend
from nanoclaw.channels.http.server import serving
from nanoclaw.channels.http.signatures import is_standard
from tests.channels.http.http_under_test import WITHIN_S, open_api

SECRET = "s3cret"  # noqa: S105 -- of a test


@define(eq=False)
class Listener:
    """A server that is told of answers. It answers with these statuses, and then with 200."""

    statuses: list[int] = Factory(list)
    port: int = 0
    bodies: list[bytes] = Factory(list)
    headers: list[dict[str, str]] = Factory(list)
    wanted: int = 1
    enough: trio.Event = Factory(trio.Event)

    async def __call__(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.headers.append(dict(request.headers))
        if len(self.bodies) >= self.wanted:
            self.enough.set()
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def listening(*statuses: int) -> AsyncIterator[Listener]:
    listener = Listener(list(statuses), wanted=len(statuses) + 1)
    app = Starlette(routes=[Route("/told", listener.__call__, methods=["POST"])])
    async with serving(app, "127.0.0.1", 0, most=10, closing=trio.Event()) as port:
        listener.port = port
        yield listener


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    (folder / "secret").write_text(SECRET)
    return {"callback_secret": {"file": str(folder / "secret")}, "private_callbacks": True, **more}


async def test_an_answer_is_posted_with_a_signature(tmp_path: Path) -> None:
    async with listening() as told, open_api(tmp_path, **settings(tmp_path)) as api:
        posted = await api.posted("hello", callback=f"http://127.0.0.1:{told.port}/told")
        await api.answers("unrelated")
        await api.answers("hi", in_reply_to=posted["id"])
        with trio.fail_after(WITHIN_S):
            await told.enough.wait()
        (body,), (headers,) = told.bodies, told.headers
        assert b'"text":"hi"' in body
        id_, at = headers["webhook-id"], headers["webhook-timestamp"]
        assert is_standard(SECRET, id_, at, body, headers["webhook-signature"], float(at))


async def test_it_is_posted_again_until_it_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "BACKOFF_S", (0.01, 0.01, 0.01))
    async with listening(500, 302) as told, open_api(tmp_path, **settings(tmp_path)) as api:
        posted = await api.posted("hello", callback=f"http://127.0.0.1:{told.port}/told")
        await api.answers("hi", in_reply_to=posted["id"])
        with trio.fail_after(WITHIN_S):
            await told.enough.wait()
        assert len({each["webhook-id"] for each in told.headers}) == 1


async def test_what_was_not_confirmed_is_posted_by_the_next_process(tmp_path: Path) -> None:
    async with listening() as told:
        url = f"http://127.0.0.1:{told.port}/told"
        async with open_api(tmp_path, **settings(tmp_path)) as api:
            (tmp_path / "secret").unlink()
            posted = await api.posted("hello", callback=url)
            await api.answers("hi", in_reply_to=posted["id"])
        assert told.bodies == []
        async with open_api(tmp_path, **settings(tmp_path)) as api:
            await api.sender.server.rooms.transcript.writer.run(_make_due)
            api.sender.server.rooms.answered.tell()
            with trio.fail_after(WITHIN_S):
                await told.enough.wait()


def _make_due(connection: Any) -> None:
    connection.execute("UPDATE callback_queue SET due_at = '2020-01-01T00:00:00.000Z'")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://localhost/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://router.local/",
        "ftp://example.com/",
        "https://user@example.com/",
        "https://",
        "https://example.com:99999/",
        "javascript:alert(1)",
    ],
)
async def test_an_address_that_may_not_be_used_is_refused(tmp_path: Path, url: str) -> None:
    async with open_api(tmp_path, **settings(tmp_path, private_callbacks=False)) as api:
        answer = await api.ann.post("/v1/messages", json={"text": "hello", "callback": url})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "callback")
        assert api.host.seen == []


async def test_a_public_name_of_a_private_address_is_not_reached() -> None:
    class Rebinding:
        async def resolve(self, _host: str) -> Sequence[str]:
            await trio.lowlevel.checkpoint()
            return ["127.0.0.1", "10.0.0.1"]

    backend = GuardedBackend(Rebinding(), private=False)  # type: ignore[arg-type]  # it only resolves
    with pytest.raises(ConnectError, match="no public address"):
        await backend.connect_tcp("example.com", 80)


async def test_a_public_address_of_this_machine_is_not_reached() -> None:
    class Own:
        async def resolve(self, _host: str) -> Sequence[str]:
            await trio.lowlevel.checkpoint()
            return ["93.184.216.34"]

        def is_own(self, _address: str) -> bool:
            return True

    backend = GuardedBackend(Own(), private=False)  # type: ignore[arg-type]  # it never connects
    with pytest.raises(ConnectError, match="no public address"):
        await backend.connect_tcp("example.com", 80)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
async def test_a_name_that_no_resolver_takes_costs_only_its_callback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(callbacks, "BACKOFF_S", ())
    async with listening() as told, open_api(tmp_path, **settings(tmp_path)) as api:
        bad = await api.posted("hello", callback=f"http://{host}/told")
        await api.answers("lost", in_reply_to=bad["id"])
        good = await api.posted("hello", callback=f"http://127.0.0.1:{told.port}/told")
        await api.answers("hi", in_reply_to=good["id"])
        with trio.fail_after(WITHIN_S):
            await told.enough.wait()
        assert b'"text":"hi"' in told.bodies[0]
