"""The command line of `nanoclaw setup`: its options, the call that tries the model, and its report."""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import trio
from attrs import evolve

from nanoclaw.cli.first_run import template
from nanoclaw.cli.output import show, tell
from nanoclaw.cli.parsing import FILE, Command, SectionOption
from nanoclaw.cli.places import Places, with_places
from nanoclaw.cli.run_command import is_terminal
from nanoclaw.cli.setup_dialogue import (
    ask_model,
    ask_sandbox,
    ask_zone,
    timed,
    url_problem,
    whole_url,
    zone_of,
)
from nanoclaw.cli.silence import silent
from nanoclaw.config import Config, ConfigError, Reading, read_config
from nanoclaw.config.entry_points import installed
from nanoclaw.config.model import KeyConfig
from nanoclaw.config.nearest import nearest
from nanoclaw.config.origins import DEFAULT
from nanoclaw.config.zone_files import zone_names
from nanoclaw.gateway.providers import KNOWN
from nanoclaw.runtimes.factory import GROUP as RUNTIMES
from nanoclaw.runtimes.known_providers import BUILT_IN, PROVIDERS
from nanoclaw.setup.files import require_writable
from nanoclaw.setup.finding import base_url as local_url
from nanoclaw.setup.finding import find, target_of
from nanoclaw.setup.ranking import can_chat, ranked
from nanoclaw.setup.sandboxes import LOOKS, Choice, choose
from nanoclaw.setup.saving import Answers, save
from nanoclaw.setup.sdk import missing_sdk
from nanoclaw.setup.services import BY_SLUG, LOCAL_BY_SLUG
from nanoclaw.setup.targets import ECHO, Target
from nanoclaw.setup.trial import listed
from nanoclaw.setup.verdicts import Verdict

FAILED = 1
"""Exit code: the model does not answer, and nothing was written."""
MODEL, KEY = "Model", "Place of the key, one of these"
SETUP = (
    "Choose the model, the sandbox and the time zone, try the model with one tiny call, and write "
    "config.toml. On a terminal it asks what no option answers, and Enter takes the offer; what is "
    "configured already is offered first."
)
EPILOG = (
    "Without a terminal nothing is asked: say --provider, --timezone, --sandbox or --yes. A model is "
    "called only if you name one or say --yes, and never with --no-check. Exit codes: 0 written; 1 the "
    "model does not answer, and nothing was written; 2 the options or files cannot be used."
)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,79}")


@click.command(
    "setup", cls=Command, help=SETUP, short_help="choose the model and the time zone", epilog=EPILOG
)
@click.option(
    "--provider",
    cls=SectionOption,
    section=MODEL,
    metavar="NAME",
    help=f"anthropic, openai (any server that speaks chat completions), echo; or {', '.join(LOCAL_BY_SLUG)}, "
    f"{', '.join(slug for slug in BY_SLUG if slug not in KNOWN)}",
)
@click.option(
    "--model", cls=SectionOption, section=MODEL, metavar="NAME", help="default: the server's best guess"
)
@click.option(
    "--base-url", cls=SectionOption, section=MODEL, metavar="URL", help="default: the provider's own"
)
@click.option("--key-env", cls=SectionOption, section=KEY, metavar="VARIABLE", help="the host's environment")
@click.option(
    "--key-file", cls=SectionOption, section=KEY, type=FILE, metavar="PATH", help="a file that holds it alone"
)
@click.option(
    "--key-command", cls=SectionOption, section=KEY, metavar="COMMAND", help="a command that prints it"
)
@click.option("--key-stdin", cls=SectionOption, section=KEY, is_flag=True, help="stdin; kept in <home>/keys")
@click.option(
    "--sandbox", metavar="NAME", help="where agents run: docker, bubblewrap or process; default: as it is"
)
@click.option("--timezone", metavar="ZONE", help="an IANA name, such as Europe/Berlin")
@click.option("--check/--no-check", default=True, help="call the model once; default: yes")
@click.option("--yes", is_flag=True, help="ask nothing, and take the first offer for what no option answers")
@click.option("--json", "as_json", is_flag=True, help="ask nothing, and print JSON, for programs")
@with_places
def setup(
    places: Places,
    *,
    as_json: bool,
    yes: bool,
    check: bool,
    timezone: str | None,
    **values: Any,
) -> int:
    """Ask, try and write; returns the exit code. Raises ConfigError."""
    reading = read_config(home=places.home, file=places.config, flags=places.flags)
    interactive = is_terminal() and not yes and not as_json
    sandbox: str | None = values.pop("sandbox")
    zone, named = _zone(timezone), _named_target(values)
    _require_runtime(sandbox)
    if (named, zone, sandbox) == (None, None, None) and not interactive and not yes:
        raise click.UsageError(
            "there is no terminal to ask at; say --provider, --timezone, --sandbox or --yes"
        )
    require_writable(reading.home)
    file = places.config or reading.home / "config.toml"
    choice = None if sandbox else _sandbox_choice(reading.config, file, interactive=interactive)
    with silent():
        target, verdict = _chosen(reading, named, interactive=interactive, yes=yes, check=check)
    if verdict is not None and not verdict.fine:
        return _failed(verdict, as_json=as_json)
    if zone is None and interactive:
        zone = ask_zone(reading.config)
    if choice is not None:
        sandbox = ask_sandbox(reading.config, choice) if interactive else choice.runtime
    answers = Answers(target, zone, sandbox)
    save(reading.home, file, answers, template(reading.config))
    _report(file, answers, verdict, _hints(places, answers), as_json=as_json)
    return 0


def _chosen(
    reading: Reading, named: Target | None, *, interactive: bool, yes: bool, check: bool
) -> tuple[Target | None, Verdict | None]:
    """Return the model to write and the verdict on it; None for a model that stays, or was not tried here."""
    if named is None and interactive:
        return ask_model(reading.home, present_target(reading.config)), None
    if named is not None and check:
        _require_known(named.provider)
    target = named or (_taken(reading.config) if yes else None)
    return (None, None) if target is None else _checked(target, check=check)


def _require_runtime(name: str | None) -> None:
    """Refuse a runtime that is not installed. Raises UsageError."""
    known = installed(RUNTIMES)
    if name is not None and name not in known:
        near = nearest(name, known) or f"; there are {', '.join(known)}"
        raise click.UsageError(f"argument --sandbox: there is no runtime {name!r:.80}{near}")


def _sandbox_choice(config: Config | None, file: Path, *, interactive: bool) -> Choice | None:
    """Return the best runtime of this machine, if it is to be offered or written; None: it stays as it is.

    A file that is there keeps its runtime, unless a person is asked. A variable that names one wins.
    """
    if config is None:
        return None
    origin = config.origins.place(("sandbox", "runtime"))
    if os.path.lexists(file) and not interactive:
        return None
    return choose(os.environ) if origin == DEFAULT or origin.startswith(str(file)) else None


def _zone(text: str | None) -> str | None:
    if text is None:
        return None
    zone = zone_of(text)
    if zone is None:
        near = nearest(text, zone_names()) or "; an IANA name such as Europe/Berlin is expected"
        raise click.UsageError(f"argument --timezone: there is no time zone {text!r:.80}{near}")
    return zone


def present_target(config: Config | None) -> Target | None:
    """Return the model of a configuration; None if it has only echo."""
    if config is None or config.model.provider == "echo":
        return None
    model = config.model
    return Target(model.provider, model.name, model.base_url, model.key)


def _taken(config: Config | None) -> Target | None:
    """Return the best offer; None if a model is configured already."""
    if present_target(config) is not None:
        return None
    offers = trio.run(find)
    return offers[0].target if offers else ECHO


# -- options ---------------------------------------------------------------------


def _named_target(values: Mapping[str, Any]) -> Target | None:
    """Return the target that the options name; None if they name none."""
    given = {name: value for name, value in values.items() if value not in {None, False}}
    provider = given.get("provider")
    if provider is None:
        if given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise click.UsageError(f"{flags} needs --provider beside it")
        return None
    key = _key(given)
    typed = _key_of_stdin() if "key_stdin" in given else None
    if not (provider == "claude" or provider in BY_SLUG or provider in LOCAL_BY_SLUG):
        return Target(provider, given.get("model"), _url(given), key, typed)
    target = _of_provider(provider)
    url, name = _url(given), given.get("model")
    if (
        url is not None and url != target.base_url
    ):  # another server has neither the service's key nor its model
        target = Target(target.provider, None, url)
    if key is not None or typed is not None:
        target = evolve(target, key=key, typed=typed)
    return evolve(target, name=name or target.name)


def _require_known(provider: str) -> None:
    """Refuse a provider that is not there. Raises UsageError."""
    known = {*BUILT_IN, *installed(PROVIDERS)}
    if provider not in known:
        near = nearest(provider, {*known, *BY_SLUG, *LOCAL_BY_SLUG})
        words = f"there is no provider {provider!r:.80}{near or ', nor a package that brings it'}"
        raise click.UsageError(f"argument --provider: {words}; --no-check writes it all the same")


def _of_provider(provider: str) -> Target:
    if provider in LOCAL_BY_SLUG:
        return Target("openai", None, local_url(LOCAL_BY_SLUG[provider], os.environ))
    service = BY_SLUG["anthropic" if provider == "claude" else provider]
    variable = next((each for each in service.variables if os.environ.get(each)), service.variables[0])
    target = target_of(service, KeyConfig(env=variable))
    return evolve(target, provider=provider) if provider in KNOWN else target


def _url(given: Mapping[str, Any]) -> str | None:
    url = given.get("base_url")
    if url is None:
        return None
    if (problem := url_problem(url)) is not None:
        raise click.UsageError(f"argument --base-url: {problem}")
    speaks_anthropic = Target(given["provider"]).wire == "anthropic"
    return url.rstrip("/") if speaks_anthropic else whole_url(url)


def _key(given: Mapping[str, Any]) -> KeyConfig | None:
    ways = [name for name in ("key_env", "key_file", "key_command", "key_stdin") if name in given]
    if len(ways) > 1:
        raise click.UsageError(
            " and ".join(f"--{way.replace('_', '-')}" for way in ways) + " exclude each other"
        )
    match ways:
        case ["key_env"]:
            if not _VARIABLE.fullmatch(given["key_env"]):  # it may be the key itself, so it is not shown
                raise click.UsageError("argument --key-env: must be the name of a variable, in capitals")
            return KeyConfig(env=given["key_env"])
        case ["key_file"]:
            return KeyConfig(file=given["key_file"].expanduser().absolute())
        case ["key_command"]:
            return KeyConfig(command=_command(given["key_command"]))
        case _:
            return None


def _command(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise click.UsageError(f"argument --key-command: cannot be split into words: {error}") from None
    if not words:
        raise click.UsageError("argument --key-command: must be a command")
    return words


def _key_of_stdin() -> str:
    text = sys.stdin.read(16_384).strip() if sys.stdin is not None and not sys.stdin.isatty() else ""
    if not text or len(text.split()) != 1 or not text.isascii() or not text.isprintable():
        raise click.UsageError("--key-stdin: stdin must hold the key and nothing else")
    return text


# -- the check and the report ----------------------------------------------------


def _checked(target: Target, *, check: bool) -> tuple[Target, Verdict | None]:
    """Find the model's name where none was given, and call the model. Without `check` nothing is sent."""
    if not target.has_model or not check:
        return target, None
    if target.name is None:
        verdict = trio.run(listed, target)
        names = tuple(filter(can_chat, ranked(verdict.models)))
        if not verdict.fine:
            return target, verdict
        if not names:
            raise click.UsageError("the server lists no models; name one with --model")
        target = evolve(target, name=names[0])
    verdict, _ = trio.run(timed, target)
    return target, verdict


def _failed(verdict: Verdict, *, as_json: bool) -> int:
    if as_json:
        found = {"outcome": verdict.outcome.value, "text": verdict.text, "advice": verdict.advice}
        show(json.dumps({"ok": False, "check": found}, indent=2, ensure_ascii=False))
    else:
        tell(f"nanoclaw: {verdict.sentence}")
        tell("nanoclaw: nothing was written; --no-check writes it all the same")
    return FAILED


def _hints(places: Places, answers: Answers) -> list[str]:
    """Return what keeps the written answers from having an effect."""
    target = answers.target
    hints = []
    if target is not None and (missing := missing_sdk(target.provider)) is not None:
        hints.append(str(missing))
    try:
        reading: Reading = read_config(home=places.home, file=places.config, flags=places.flags)
    except ConfigError as error:
        return [*hints, *error.problems]
    hints.extend(reading.problems)
    config = reading.config
    hints.extend(_sandbox_hints(config, answers.sandbox))
    if config is not None and target is not None and config.model.provider != target.provider:
        place = config.origins.place(("model", "provider"))
        hints.append(f"the provider is {config.model.provider} all the same, because {place} says so")
    return hints


def _sandbox_hints(config: Config | None, sandbox: str | None) -> Iterator[str]:
    if sandbox is None:
        return
    if config is not None and config.sandbox.runtime != sandbox:
        place = config.origins.place(("sandbox", "runtime"))
        yield f"agents run in {config.sandbox.runtime} all the same, because {place} says so"
    found = LOOKS[sandbox](os.environ) if sandbox in LOOKS else None
    if found is not None and not found.works:
        yield f"{sandbox} does not work now, so messages wait: {found.sentence}"


def _report(
    file: Path, answers: Answers, verdict: Verdict | None, hints: list[str], *, as_json: bool
) -> None:
    if as_json:
        show(json.dumps(_plain(file, answers, verdict, hints), indent=2, ensure_ascii=False))
        return
    target = answers.target
    answers_it = "It answers. " if verdict is not None else ""
    model = f"{target.provider}{f', {target.name}' if target.name else ''}. {answers_it}" if target else ""
    sandbox = f"Agents run in: {answers.sandbox}. " if answers.sandbox else ""
    show(f"{f'Model: {model}' if model else ''}{sandbox}Written: {file}")
    show("`nanoclaw channels add` connects the assistant to a chat app.")
    for hint in hints:
        tell(f"nanoclaw: {hint}")


def _plain(file: Path, answers: Answers, verdict: Verdict | None, hints: list[str]) -> dict[str, object]:
    target = answers.target
    model = (
        None
        if target is None
        else {"provider": target.provider, "name": target.name, "base_url": target.base_url}
    )
    return {
        "ok": True,
        "file": str(file),
        "model": model,
        "timezone": answers.timezone,
        "sandbox": answers.sandbox,
        "check": None if verdict is None else {"outcome": verdict.outcome.value, "text": verdict.text},
        "hints": hints,
    }
