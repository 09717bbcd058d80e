"""Channels by type. An entry point of the group `nanoclaw.channels` is a factory that makes one.

    TELEGRAM = ChannelFactory(TelegramConfig, make_telegram)

`TelegramConfig` is the frozen class of a table `[channels.<name>]` of that type. Several tables may have the
same type. Each makes a channel with its own name, and chats are stored under that name. So the chats of two
bots of one network never mix. Ids of users have the network's prefix, so both bots use one id for a person.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from attrs import Factory, frozen

from nanoclaw.channels.faults import faults
from nanoclaw.channels.protocol import Channel
from nanoclaw.config import Config, ConfigError, NamedTable, read_table
from nanoclaw.config.entry_points import load
from nanoclaw.config.kinds import Text, Unfit
from nanoclaw.system.clock import Clock, SystemClock

C = TypeVar("C")
GROUP = "nanoclaw.channels"
RESERVED = {"cli": "the terminal's name", "agent": "the name under which agents write to each other"}


@frozen
class ChannelContext:
    """The parts of a host that a channel may use."""

    name: str
    """The channel's own name: its `channel_type`, the first part of the addresses of its chats."""
    folder: Path
    """A folder of its own. The channel makes it when it needs it."""
    timezone: str
    """The user's zone, an IANA name."""
    assistant_name: str
    """The name that users know."""
    clock: Clock = Factory(SystemClock)
    """The date."""


@frozen
class SetupQuestion:
    """A value that `nanoclaw channels add` asks for."""

    key: str
    """The key of the table. A secret is stored in a file of its own, and the key names that."""
    prompt: str
    """The words of the question."""
    secret: bool = False
    """True if it is not shown, and stored in a file that only its owner can read."""
    help: str = ""
    """Where to find the value, in a sentence or two."""
    default: str | None = None
    """The answer that Enter gives. None: there must be one."""


@frozen
class Account:
    """The assistant's account on a network, as one call to the network found it."""

    id: str
    """Its id there."""
    name: str
    """Its name there, such as `@my_assistant_bot`."""
    link: str | None = None
    """An address that opens a chat with it, if the network has such addresses."""


class SetupFailed(Exception):
    """A network refuses the settings, or cannot be reached. The text says why and what to do."""


@frozen
class ChannelSetup(Generic[C]):
    """The way to set a channel up on a terminal."""

    questions: Sequence[SetupQuestion]
    """The values to ask for, in order."""
    check: Callable[[C, ChannelContext], Awaitable[Account]]
    """Ask the network once whether the settings are right. Raises SetupFailed."""
    how_to_pair: str | None = "Write this code to the assistant in a direct chat"
    """The words before the code by which the owner shows who they are there. None: there is no code."""
    next_steps: Sequence[str] = ()
    """Lines that say what to do next, where there is no code."""


@frozen
class ChannelFactory(Generic[C]):
    """Makes a channel from its configuration and the host's context."""

    config: type[C]
    """A frozen class of attrs: the keys of the table besides `type`. One with `repr=False` is a secret."""
    make: Callable[[C, ChannelContext], Channel]
    """A function that returns at once. The channel connects when its sender is opened."""
    setup: ChannelSetup[C] | None = None
    """What `nanoclaw channels add` asks and checks. None: its table is written by hand."""


@frozen
class ConfiguredChannel:
    """A table `[channels.<name>]`, read."""

    name: str
    factory: ChannelFactory[Any]
    settings: Any


def read_channels(tables: Mapping[str, NamedTable], home: Path) -> tuple[list[ConfiguredChannel], list[str]]:
    """Read the tables of channels. Relative paths in them are below the home.

    Returns:
        Those that can be used, and the problems of the others, one line each.
    """
    read, problems = list[ConfiguredChannel](), list[str]()
    for table in tables.values():
        try:
            read.append(_read(table, home))
        except ConfigError as error:
            problems.extend(error.problems)
    return read, problems


def configured_channels(config: Config) -> Sequence[Channel]:
    """Make all channels that the configuration names.

    Raises:
        ConfigError: a type is not installed or broken, or a table does not fit. It has all problems.
    """
    read, problems = read_channels(config.channels, config.home)
    made = list[Channel]()
    for each in read:
        try:
            made.append(_made(each, config))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    return made


def make_channel(config: Config, name: str) -> Channel:
    """Make one channel that the configuration names.

    Raises:
        ConfigError: there is no such table, its type is not installed or broken, or it does not fit.
    """
    return _made(read_channel(config, name), config)


def read_channel(config: Config, name: str) -> ConfiguredChannel:
    """Read one table `[channels.<name>]`. Errors are those of `make_channel`."""
    if name not in config.channels:
        raise ConfigError(f"there is no table [channels.{name}] in the configuration")
    return _read(config.channels[name], config.home)


def _read(table: NamedTable, home: Path) -> ConfiguredChannel:
    where = table.origins.label(())
    if table.name in RESERVED:
        raise ConfigError(f"{where}: {table.name} is {RESERVED[table.name]}; choose another name")
    try:
        type_ = Text().read(table.type)
    except Unfit as error:
        raise ConfigError(f"{table.origins.label(('type',))} {error}") from error
    named = table.origins.label(("type",)) if "type" in table.values else where
    factory = load(GROUP, type_, ChannelFactory, where=named)
    return ConfiguredChannel(
        table.name, factory, read_table(table, factory.config, base=home, known=("type",))
    )


def context_of(config: Config, name: str) -> ChannelContext:
    """Return the parts of a host that the channel of this name may use."""
    return ChannelContext(
        name, config.data / "channels" / name, config.timezone, config.prompt.assistant_name
    )


def _made(each: ConfiguredChannel, config: Config) -> Channel:
    where = config.channels[each.name].origins.label(())
    context = context_of(config, each.name)
    try:
        channel: Channel = each.factory.make(each.settings, context)
    except Exception as error:  # a foreign package may raise anything
        raise ConfigError(f"{where}: the channel cannot be made: {type(error).__name__}: {error}") from error
    wrong = next(_faults(channel, each.name), None)
    if wrong is not None:
        raise ConfigError(f"{where}: its package made {channel!r:.100}, which is no channel: {wrong}")
    return channel


def _faults(channel: object, name: str) -> Iterator[str]:
    """Yield what a channel of a foreign package lacks."""
    channel_type = getattr(channel, "channel_type", None)
    if channel_type != name:
        yield f"its channel_type must be {name!r}, got {channel_type!r}"
    yield from faults(channel)
