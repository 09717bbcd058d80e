"""Webhooks: who may report events, and each event once."""

import hmac
import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio

from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.signatures import hex_signature, standard_signature
from nanoclaw.channels.http.webhooks import Style, read_webhook
from nanoclaw.records import Address, Routed, Webhook, received
from nanoclaw.testing.conformance.exchanges import Host
from tests.channels.http.http_under_test import open_api

SECRET, NOW = "s3cret", 1_000_000.0
BODY = b'{"action": "opened"}'


def signed(style: Style, body: bytes = BODY, secret: str = SECRET, at: float = NOW) -> dict[str, str]:
    """Return the headers of a webhook."""
    match style:
        case "secret":
            return {"x-webhook-secret": secret}
        case "hmac":
            return {"x-webhook-signature": hex_signature(secret, body)}
        case "github":
            return {"x-hub-signature-256": hex_signature(secret, body), "x-github-event": "issues"}
        case "standard":
            signature = standard_signature(secret, "id-1", str(int(at)), body)
            return {"webhook-id": "id-1", "webhook-timestamp": str(int(at)), "webhook-signature": signature}


STYLES: tuple[Style, ...] = ("secret", "hmac", "github", "standard")


@pytest.mark.parametrize("style", STYLES)
def test_a_signed_event_is_read(style: Style) -> None:
    found = read_webhook(style, SECRET, signed(style), BODY, NOW)
    assert found.payload == {"action": "opened"}
    assert found.event == ("issues" if style == "github" else "event")
    assert found.id == ("id-1" if style == "standard" else None)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("wrong", ["nothing", "secret", "empty secret"])
def test_an_event_of_a_stranger_is_refused(style: Style, wrong: str) -> None:
    headers = {} if wrong == "nothing" else signed(style, secret="other" if wrong == "secret" else "")
    with pytest.raises(ApiError, match="signature or secret"):
        read_webhook(style, SECRET, headers, BODY, NOW)


@pytest.mark.parametrize("style", ["hmac", "github", "standard"])
def test_a_changed_body_is_refused(style: Style) -> None:
    with pytest.raises(ApiError, match="signature or secret"):
        read_webhook(style, SECRET, signed(style), BODY + b" ", NOW)


@pytest.mark.parametrize("age_s", [-301, 301])
def test_an_old_signature_with_a_date_is_refused(age_s: float) -> None:
    with pytest.raises(ApiError, match="signature or secret"):
        read_webhook("standard", SECRET, signed("standard", at=NOW - age_s), BODY, NOW)


def test_signatures_are_those_that_others_compute() -> None:
    key = b64encode(b"0123456789").decode()
    expected = b64encode(hmac.new(b"0123456789", b"id.1." + BODY, sha256).digest()).decode()
    assert standard_signature(f"whsec_{key}", "id", "1", BODY) == f"v1,{expected}"
    # the example of GitHub's documentation
    github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert hex_signature("It's a Secret to Everybody", b"Hello, World!") == github


def test_a_form_of_github_is_read() -> None:
    body = b"payload=%7B%22a%22%3A+1%7D"
    headers = {**signed("github", body), "content-type": "application/x-www-form-urlencoded"}
    assert read_webhook("github", SECRET, headers, body, NOW).payload == {"a": 1}


# -- the endpoint -------------------------------------------------------------------


def hooks(folder: Path, style: Style) -> dict[str, Any]:
    """Return the settings of a channel with a webhook."""
    (folder / "secret").write_text(SECRET)
    return {"gh": {"secret": {"file": str(folder / "secret")}, "style": style, "chat": "team"}}


async def test_an_event_reaches_the_chat_once_per_delivery(tmp_path: Path) -> None:
    async with open_api(tmp_path, webhooks=hooks(tmp_path, "github")) as api:
        headers = {**signed("github"), "x-github-delivery": "d-1", "content-type": "application/json"}
        for _ in range(2):
            answer = await api.anybody.post("/v1/webhooks/gh", content=BODY, headers=headers)
            assert answer.status_code == 202
        (event,) = api.host.webhooks
        assert (event.address, event.source, event.event) == (Address("http", "team"), "gh", "issues")
        assert event.payload == {"action": "opened"}


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("gh", b"{", 400),
        ("gh", json.dumps({"a": "x" * 300_000}).encode(), 422),
        ("gh", b'"' + b"x" * (3 << 20) + b'"', 413),
        ("nothing", BODY, 404),
    ],
)
async def test_a_bad_event_is_refused(tmp_path: Path, name: str, body: bytes, status: int) -> None:
    async with open_api(tmp_path, Checks(), webhooks=hooks(tmp_path, "hmac")) as api:
        headers = signed("hmac", body)
        answer = await api.anybody.post(f"/v1/webhooks/{name}", content=body, headers=headers)
        assert (answer.status_code, api.host.webhooks) == (status, [])


async def test_an_event_that_nobody_gets_is_refused(tmp_path: Path) -> None:
    async with open_api(tmp_path, Drops(), webhooks=hooks(tmp_path, "secret")) as api:
        answer = await api.anybody.post("/v1/webhooks/gh", content=BODY, headers=signed("secret"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "dropped")


async def test_a_secret_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    settings = hooks(tmp_path, "secret")
    (tmp_path / "secret").unlink()
    async with open_api(tmp_path, webhooks=settings) as api:
        answer = await api.anybody.post("/v1/webhooks/gh", content=BODY, headers=signed("secret"))
        assert answer.status_code == 503


class Checks(Host):
    """A host that refuses a bad event as a real one does."""

    async def offer(self, event: Any) -> Routed:
        received(event)
        return await super().offer(event)


class Drops(Host):
    """A host whose chat has no agent."""

    async def offer(self, event: Any) -> Routed:
        await trio.lowlevel.checkpoint()
        assert isinstance(event, Webhook)
        return Routed(dropped="no agent is wired to this chat")
