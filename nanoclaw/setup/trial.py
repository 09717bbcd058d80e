"""Tries a model: asks its server for its list, which is free, or for a few words."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nanoclaw.config.tables import KeyConfig
from nanoclaw.setup.http import Answer, Unanswered, send
from nanoclaw.setup.services import SERVICES
from nanoclaw.setup.targets import WIRES, Target
from nanoclaw.setup.verdicts import Outcome, Verdict, foreign, is_reply, judged, models_in, unknown_model

LIST_S = 10.0
CALL_S = 120.0
"""The longest wait for a few words. A server on the machine may have to load its model first."""
FEW_TOKENS = 16
QUESTION = "Answer with one word: are you there?"
_VERSION = {"anthropic-version": "2023-06-01"}


async def listed(target: Target) -> Verdict:
    """Ask the server for its models. It costs nothing.

    Returns:
        FINE also where the server has no such list, with a text that says so.
    """
    try:
        key = read_key(target)
        answer = await _request(target, key, "GET", "/models", None, LIST_S)
    except (NoKey, Unanswered) as error:
        return _unanswered(target, error)
    where = address(target)
    if answer.status in {404, 405, 501}:
        return Verdict(Outcome.FINE, f"{where} answers, and lists no models")
    if answer.status != 200:  # noqa: PLR2004
        return judged(answer, target.name, where, key)
    found = models_in(answer.body)
    if found is None:
        return foreign(where, "its list of models is none")
    names, _ = found
    if names and target.name is not None and not _has(names, target.name):
        return unknown_model(target.name, where, names)
    return Verdict(Outcome.FINE, f"{where} has {target.name or 'models'}", models=names)


def _has(names: tuple[str, ...], name: str) -> bool:
    """Return whether a list has a model; a name may stand for its newest version."""
    return name in names or f"{name}:latest" in names or any(each.startswith(f"{name}-20") for each in names)


async def asked(target: Target) -> Verdict:
    """Ask the model for a few words, and return whether it answers. It costs a fraction of a cent."""
    try:
        key = read_key(target)
        answer = await _ask(target, key)
    except (NoKey, Unanswered) as error:
        return _unanswered(target, error)
    if answer.status != 200:  # noqa: PLR2004
        return judged(answer, target.name, address(target), key)
    if not is_reply(answer.body):
        return foreign(address(target), "its answer is none")
    return Verdict(Outcome.FINE, f"{target.name} answers")


async def _ask(target: Target, key: str | None) -> Answer:
    messages = [{"role": "user", "content": QUESTION}]
    body: dict[str, Any] = {"model": target.name, "messages": messages}
    if WIRES[target.provider] == "anthropic":
        return await _request(target, key, "POST", "/messages", {**body, "max_tokens": FEW_TOKENS}, CALL_S)
    path = "/chat/completions"
    answer = await _request(target, key, "POST", path, {**body, "max_tokens": FEW_TOKENS}, CALL_S)
    if answer.status == 400 and b"max_completion_tokens" in answer.body:  # noqa: PLR2004 -- OpenAI's newer models
        newer = {**body, "max_completion_tokens": FEW_TOKENS}
        answer = await _request(target, key, "POST", path, newer, CALL_S)
    return answer


async def _request(  # noqa: PLR0913, PLR0917 -- one call, private
    target: Target, key: str | None, method: str, path: str, body: object, timeout_s: float
) -> Answer:
    is_anthropic = WIRES[target.provider] == "anthropic"
    url = f"{address(target)}{'/v1' if is_anthropic else ''}{path}"
    headers: Mapping[str, str] = _VERSION if is_anthropic else {}
    if key is not None:
        headers = {**headers, **({"x-api-key": key} if is_anthropic else {"authorization": f"Bearer {key}"})}
    return await send(method, url, headers=headers, body=body, timeout_s=timeout_s)


def address(target: Target) -> str:
    """Return the address of the target's server."""
    if target.base_url is not None:
        return target.base_url.rstrip("/")
    wire = WIRES.get(target.provider)
    return next((each.base_url for each in SERVICES if each.own and each.provider == wire), "")


def _unanswered(target: Target, error: Exception) -> Verdict:
    where = address(target)
    if isinstance(error, NoKey):
        return Verdict(Outcome.NO_KEY, str(error), error.advice)
    if isinstance(error, Unanswered) and error.silent:
        text = f"{where} was silent: {error}"
        return Verdict(Outcome.SILENT, text, "it may still load the model; try again, or look into its log")
    advice = "start that server, or correct base_url" if "://" in where else "give a base_url"
    return Verdict(Outcome.UNREACHABLE, f"{where} cannot be reached: {error}", advice)


# -- the key ---------------------------------------------------------------------

COMMAND_S = 30.0
MAX_KEY = 8192


class NoKey(Exception):
    """A key that cannot be read. No text has any of it."""

    def __init__(self, text: str, advice: str) -> None:
        super().__init__(text)
        self.advice = advice


@frozen
class _Source:
    words: str
    advice: str


def read_key(target: Target) -> str | None:
    """Return the key of a target, read now; None if it has none.

    Raises:
        NoKey: its place has none that can be used.
    """
    if target.typed is not None:
        return target.typed
    return None if target.key is None else _read(target.key)


def _read(key: KeyConfig) -> str:
    if key.env is not None:
        source = _Source(f"the variable {key.env}", "set it, or name another place for the key")
        return _usable(os.environ.get(key.env, ""), source)
    if key.file is not None:
        return _usable(
            _of_file(key.file), _Source(f"the file {key.file}", "write the key into it, and no more")
        )
    return _usable(_of_command(key.command), _Source(f"the command {key.command[0]!r}", "run it by hand"))


def _of_file(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_KEY + 1).decode("ascii", "replace")
    except OSError as error:
        raise NoKey(
            f"the key cannot be read: {file}: {error.strerror}", "check that path and its mode"
        ) from error


def _of_command(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(  # the owner's own
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        text = f"the command {command[0]!r} prints no key: {reason}"
        raise NoKey(text, "run it by hand to see why") from None
    return done.stdout.decode("ascii", "replace")


def _usable(text: str, source: _Source) -> str:
    key = text.strip()
    if not key:
        raise NoKey(f"{source.words} holds no key", source.advice)
    if len(key) > MAX_KEY or not key.isascii() or not key.isprintable():
        raise NoKey(
            f"{source.words} holds something that is no key: a key is one line of plain letters",
            source.advice,
        )
    return key
