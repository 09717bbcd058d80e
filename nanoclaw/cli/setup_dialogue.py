"""The questions of setup and of a first run. Enter takes the offer; Ctrl-C ends with nothing changed."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import click
import trio
from attrs import evolve, field, frozen

from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.cli.first_run import template
from nanoclaw.cli.silence import silent
from nanoclaw.config import Config
from nanoclaw.config.entry_points import installed
from nanoclaw.config.nearest import nearest
from nanoclaw.config.origins import DEFAULT
from nanoclaw.config.system_zone import system_zone
from nanoclaw.config.zone_files import is_zone, zone_names
from nanoclaw.runtimes.factory import GROUP
from nanoclaw.setup.files import require_writable
from nanoclaw.setup.finding import cost_of, find, target_of
from nanoclaw.setup.ranking import can_chat, ranked
from nanoclaw.setup.sandboxes import Choice
from nanoclaw.setup.saving import Answers, save
from nanoclaw.setup.services import SERVICES, Service
from nanoclaw.setup.targets import ECHO, Offer, Target, key_words
from nanoclaw.setup.trial import address, asked, listed
from nanoclaw.setup.verdicts import Verdict

LISTED = 9
"""Models of a list that are shown at once."""
NOTHING = (
    "none was found, neither a key in the environment nor a server on this machine. Enter takes echo, which "
    "repeats what you type"
)
NO_URL = "must begin with http:// or https:// and name a server, such as http://127.0.0.1:8000/v1"
ECHO_WORDS = "none; the agent is echo, which repeats what you type"


def say(text: str) -> None:
    """Print lines for the person."""
    click.echo(harmless(text))


def ask(question: str, *, hidden: bool = False) -> str:
    """Ask a question and return the answer; empty for Enter. Raises KeyboardInterrupt: the person leaves."""
    try:
        answer: str = click.prompt(
            harmless(question), default="", show_default=False, prompt_suffix=" ", hide_input=hidden
        )
    except click.Abort:
        raise KeyboardInterrupt from None
    return answer.strip()


@frozen
class Picked:
    """The model that the person chose; `keep` leaves the configuration's as it is."""

    target: Target
    keep: bool = False


def first_answers(config: Config, file: Path, *, asks_model: bool) -> None:
    """Ask the questions of a first run, and write the answers. `file` is missing.

    Raises:
        ConfigError: the file could not be written.
        KeyboardInterrupt: the person leaves. Nothing is changed.
    """
    require_writable(config.home)
    with silent():
        target = ask_model(config.home, None) if asks_model else None
    save(config.home, file, Answers(target, ask_zone(config)), template(config))
    say(f"Written: {file}; `nanoclaw setup` changes it.")
    say("`nanoclaw channels add` connects the assistant to a chat app.")


# -- the model -------------------------------------------------------------------


def ask_model(home: Path, present: Target | None) -> Target | None:
    """Ask for a model until one answers, or the person keeps one that does not.

    Returns:
        None: the present one is kept.
    """
    offers = trio.run(find)
    menu = Menu(home, present, offers)
    picked = menu.first()
    while not (picked.target.has_model is False or _answers(picked.target)):
        words = "Enter shows all choices, again tries it once more, keep takes it all the same:"
        answer = ask(words).lower()
        if answer in {"k", "keep"}:
            break
        if answer not in {"a", "again"}:
            picked = menu.all()
    return None if picked.keep else picked.target


def _answers(target: Target) -> bool:
    click.echo(harmless(f"Asking {target.name} for a word ... "), nl=False)
    verdict, seconds = trio.run(timed, target)
    say(f"it answers ({seconds:.1f} s)." if verdict.fine else f"\nIt does not answer: {verdict.sentence}.")
    return verdict.fine


async def timed(target: Target) -> tuple[Verdict, float]:
    """Ask the model for a few words; return the verdict and the seconds that it took."""
    began = trio.current_time()
    return await asked(target), trio.current_time() - began


@frozen
class _Choice:
    words: str
    take: Callable[[], Picked | None] = field(repr=False)
    """Returns None if the person has to choose again."""


@frozen
class Menu:
    """What the person can choose from."""

    home: Path
    present: Target | None
    """The model of the configuration; None: it has none, or is to be ignored."""
    offers: Sequence[Offer]

    def first(self) -> Picked:
        """Offer the best choice on one line; `?` shows all."""
        if self.present is not None:
            picked, words = Picked(self.present, keep=True), f"{self._now()}. Enter keeps it"
        elif self.offers:
            picked, words = Picked(self.offers[0].target), f"{self.offers[0].words}. Enter takes it"
        else:
            picked, words = Picked(ECHO), NOTHING
        return self.all() if ask(f"Model: {words}, ? shows all choices:") else picked

    def all(self) -> Picked:
        """Show all choices with their numbers, until one is taken."""
        choices = self._choices()
        while True:
            say("\n".join(f"  {n}  {choice.words}" for n, choice in enumerate(choices, 1)))
            if (picked := choices[_choose("Your choice [1]:", len(choices))].take()) is not None:
                return picked

    def _choices(self) -> list[_Choice]:
        present = self.present
        kept = [_Choice(self._now(), partial(Picked, present, keep=True))] if present is not None else []
        found = [_Choice(offer.words, partial(_of_offer, offer)) for offer in self.offers]
        typed = [_Choice("a service whose key you type in", _typed), _Choice("a server by its address", _at)]
        return [*kept, *found, *typed, _Choice(ECHO_WORDS, partial(Picked, ECHO))]

    def _now(self) -> str:
        return f"{_words(self.present, self.home)}, as now"


def _words(target: Target | None, home: Path) -> str:
    if target is None or not target.has_model:
        return f"provider {target.provider if target else 'echo'}"
    return f"{target.name or 'the default model'} at {address(target)}, {key_words(target, home)}"


def _of_offer(offer: Offer) -> Picked | None:
    if len(offer.models) > 1 and offer.target.key is None:
        return Picked(evolve(offer.target, name=ask_name(offer.models, shown=True)))
    return Picked(offer.target)


def _typed() -> Picked | None:
    say("\n".join(f"  {n}  {each.label}: {cost_of(each)}" for n, each in enumerate(SERVICES, 1)))
    service = SERVICES[_choose("Service [1]:", len(SERVICES))]
    key = ask(f"Key of {service.label} (it is not shown; Enter goes back):", hidden=True)
    if not key:
        return None
    return _with_models(evolve(target_of(service), typed=key), service)


def _at() -> Picked | None:
    while (problem := url_problem(url := _typed_url())) is not None:
        if not url:
            return None
        say(f"The address {problem}.")
    key = ask("Its key (it is not shown; Enter: none):", hidden=True)
    return _with_models(Target("openai", None, whole_url(url), typed=key or None), None)


def _typed_url() -> str:
    """Ask for an address. One without http:// or https:// is of a server nearby, so it gets http://."""
    url = ask("Address, such as http://192.168.1.5:8000/v1 (Enter goes back):")
    return f"http://{url}" if url and "://" not in url else url


def _with_models(target: Target, service: Service | None) -> Picked | None:
    """Ask for the model of a server, out of its own list where it has one."""
    verdict = trio.run(listed, evolve(target, name=None))
    if not verdict.fine:
        say(f"{verdict.sentence}.")
        return None
    preferred = service.model if service is not None else None
    names = tuple(filter(can_chat, ranked(verdict.models, preferred)))
    if not names and preferred is not None:
        names = (preferred,)
    name = ask_name(names, shown=service is None) if names else ask("Name of the model:")
    return Picked(evolve(target, name=name)) if name else None


def ask_name(names: Sequence[str], *, shown: bool) -> str:
    """Ask for one of the models of a server; Enter takes the first. `shown`: list the first ones at once."""
    if shown and len(names) > 1:
        _list(names[:LISTED])
    more = f"; ? lists all {len(names)}" if not shown or len(names) > LISTED else ""
    while True:
        answer = ask(f"Model [{names[0]}]{more}:")
        number = _number(answer, len(names))
        if answer == "?":
            _list(names)
        elif number is not None:
            return names[number]
        elif answer in names:
            return answer
        else:
            near = nearest(answer, names) or "; type its number or name"
            say(f"The server has no model {answer!r:.80}{near}.")


def _list(names: Sequence[str]) -> None:
    say("\n".join(f"  {n}  {name}" for n, name in enumerate(names, 1)))


def _choose(question: str, count: int) -> int:
    """Ask until the answer is a number of a list; return its index."""
    while (number := _number(ask(question), count)) is None:
        say(f"Type a number from 1 to {count}.")
    return number


def _number(answer: str, count: int) -> int | None:
    """Return the index that an answer means, 0 for Enter; None if the list has no such number."""
    if not answer:
        return 0
    return int(answer) - 1 if answer.isdecimal() and len(answer) < 6 and 1 <= int(answer) <= count else None  # noqa: PLR2004


def url_problem(url: str) -> str | None:
    """Return why a text is not the address of a server, to complete "The address"; None if it is one."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return NO_URL
    if not good or not url.isprintable() or " " in url:
        return NO_URL
    if parts.username or parts.password or parts.query or parts.fragment:
        return "must have no user, password or query; a key is asked for on its own"
    return None


def whole_url(url: str) -> str:
    """Return an address with the path of chat completions, which people leave out."""
    return f"{url.rstrip('/')}/v1" if urlsplit(url).path in {"", "/"} else url.rstrip("/")


# -- the sandbox -----------------------------------------------------------------


def ask_sandbox(config: Config | None, choice: Choice) -> str | None:
    """Ask where agents run. Return None if it stays as it is."""
    present = config.sandbox.runtime if config is not None else None
    chosen = config is not None and config.origins.place(("sandbox", "runtime")) != DEFAULT
    offer = present if chosen and present is not None else choice.runtime
    names = installed(GROUP)
    say("Where agents run:")
    for each in choice.looks:
        say(f"  {each.runtime}: {each.sentence}")
    say("  process: no isolation, and chat tools only")
    while True:
        answer = ask(f"Sandbox [{offer}]:").lower()
        if not answer:
            return None if chosen else offer
        if answer in names:
            return answer
        near = nearest(answer, names) or "; type one of these names"
        say(f"There is no sandbox {answer!r:.80}{near}.")


# -- the time zone ---------------------------------------------------------------


def ask_zone(config: Config | None) -> str | None:
    """Ask for the time zone.

    Returns:
        None: it stays as it is, which is the system's where the configuration names none.
    """
    system = system_zone()
    own = config.timezone if config is not None and config.zone_of_system is None else None
    offer, doubt = (own, None) if own else (system.name, system.doubt)
    if doubt is not None:
        say(f"The {doubt.split(': set timezone')[0].removeprefix('the ')}.")
    while True:
        answer = ask(f"Time zone [{offer}]:")
        if not answer:
            return offer if doubt is not None else None
        if (zone := zone_of(answer)) is not None:
            return zone
        near = nearest(answer, zone_names()) or "; type one such as Europe/Berlin"
        say(f"There is no time zone {answer!r:.80}{near}.")


def zone_of(answer: str) -> str | None:
    """Return the zone that a person means, in any case; None if there is none."""
    if is_zone(answer):
        return answer
    return next((name for name in zone_names() if name.lower() == answer.lower().replace(" ", "_")), None)
