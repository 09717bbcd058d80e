"""Tries a model through the gateway's own code: asks for the server's list, which is free, or a few words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import trio
from attrs import evolve, frozen

from nanoclaw.config.model import KeyConfig, ModelConfig
from nanoclaw.gateway import Caller, HttpServers, Model, Proxy, SessionModels, resolve
from nanoclaw.gateway.proxy import Answer, AnswerCut, Request
from nanoclaw.setup.targets import Target
from nanoclaw.setup.verdicts import (
    Outcome,
    Reply,
    Verdict,
    foreign,
    is_reply,
    judged,
    models_in,
    unknown_model,
)

LIST_S = 10.0
"""The longest wait for the list of a server's models."""
CALL_S = 120.0
"""The longest wait for a few words. A server on the machine may have to load its model first."""
MAX_BYTES = 4 << 20
FEW_TOKENS = 16
QUESTION = "Answer with one word: are you there?"
_HEADERS = (("content-type", "application/json"), ("anthropic-version", "2023-06-01"))


async def listed(target: Target) -> Verdict:
    """Ask the server for its models. It costs nothing.

    Returns:
        FINE also where the server has no such list, with a text that says so.
    """
    door = _Door(target, LIST_S)
    reply = await door.ask("GET", "/models", None)
    if reply.status in {404, 405, 501}:
        return Verdict(Outcome.FINE, f"{door.where} answers, and lists no models")
    if not reply.good:
        return judged(reply, target.name, door.where, has_key=door.has_key)
    found = models_in(reply.body)
    if found is None:
        return foreign(door.where, "its list of models is none")
    names, _ = found
    if names and target.name is not None and not _has(names, target.name):
        return unknown_model(target.name, door.where, names)
    return Verdict(Outcome.FINE, f"{door.where} has {target.name or 'models'}", models=names)


def _has(names: tuple[str, ...], name: str) -> bool:
    """Return True if a list has a model; a name may stand for its newest version."""
    return name in names or f"{name}:latest" in names or any(each.startswith(f"{name}-20") for each in names)


async def asked(target: Target) -> Verdict:
    """Ask the model for a few words, and return its verdict. It costs a fraction of a cent."""
    door = _Door(target, CALL_S)
    reply = await _words(door)
    if not reply.good:
        return judged(reply, target.name, door.where, has_key=door.has_key)
    if not is_reply(reply.body):
        return foreign(door.where, "its answer is none")
    return Verdict(Outcome.FINE, f"{door.model.name} answers")


async def _words(door: "_Door") -> Reply:
    body: dict[str, Any] = {
        "model": door.model.name,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": FEW_TOKENS,
    }
    if door.is_anthropic:
        return await door.ask("POST", "/messages", body)
    reply = await door.ask("POST", "/chat/completions", body)
    if reply.status == 400 and b"max_completion_tokens" in reply.body:  # noqa: PLR2004 -- OpenAI's newer models
        body["max_completion_tokens"] = body.pop("max_tokens")
        reply = await door.ask("POST", "/chat/completions", body)
    return reply


def address(target: Target) -> str:
    """Return the address of the target's server; empty if it is not known."""
    return _model(target, 1.0).base_url or ""


def _model(target: Target, timeout_s: float) -> Model:
    own = ModelConfig(target.provider, target.name, target.base_url, target.key, timeout_s=timeout_s)
    return resolve(own).first


@frozen
class _Door:
    """The gateway's way to one model, without a runner and a socket."""

    target: Target
    timeout_s: float

    @property
    def model(self) -> Model:
        return _model(self.target, self.timeout_s)

    @property
    def where(self) -> str:
        return self.model.base_url or f"the provider {self.target.provider}"

    @property
    def has_key(self) -> bool:
        return self.model.key is not None or self.target.typed is not None

    @property
    def is_anthropic(self) -> bool:
        return self.target.wire == "anthropic"

    async def ask(self, method: str, path: str, body: object) -> Reply:
        """Send one request, and return its whole answer."""
        content = b"" if body is None else json.dumps(body).encode()
        request = Request(
            method,
            f"/model{'/v1' if self.is_anthropic else ''}{path}",
            (("host", "gateway"), *_HEADERS),
            content,
        )
        upstream = HttpServers()
        try:
            with _with_key(self.target.typed, self.model) as model, trio.move_on_after(self.timeout_s):
                async with Proxy(upstream).handle(Caller("", "", SessionModels(model)), request) as answer:
                    return Reply(answer.status, await _whole(answer))
        except AnswerCut as error:
            return Reply.own("upstream", f"its answer was cut: {error}")
        finally:
            await upstream.aclose()
        return Reply.own("timeout", f"the model's server {self.where} took over {self.timeout_s:g} s")


async def _whole(answer: Answer) -> bytes:
    content = bytearray()
    async for chunk in answer.body:
        content += chunk
        if len(content) > MAX_BYTES:
            raise AnswerCut("it is too large")
    return bytes(content)


@contextmanager
def _with_key(typed: str | None, model: Model) -> Iterator[Model]:
    """Yield the model with a typed key in a file without a name: the gateway reads keys from their places."""
    if typed is None:
        yield model
        return
    with TemporaryFile() as file:
        file.write(typed.encode())
        file.flush()
        yield evolve(model, key=KeyConfig(file=Path(f"/dev/fd/{file.fileno()}")))
