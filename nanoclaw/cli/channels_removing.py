"""`nanoclaw channels remove`: takes a channel out of the configuration and out of the running host."""

from collections.abc import Mapping

import trio

from nanoclaw.channels.accounts import account_file
from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.cli.channels_pairing import ask
from nanoclaw.cli.client import NoHost, NotRunning, RequestFailed, connect
from nanoclaw.cli.output import tell
from nanoclaw.cli.places import Places
from nanoclaw.config import Config
from nanoclaw.setup.channels import remove_channel


def remove(places: Places, config: Config, name: str, *, forget: bool) -> Mapping[str, object]:
    """Remove the table of a channel, stop the channel, and return what was done. Raises ConfigError."""
    file = places.config or config.home / "config.toml"
    secrets = remove_channel(config.home, file, name)
    account_file(config.data, name).unlink(missing_ok=True)
    tell(f"nanoclaw: removed [channels.{name}] from {file}; its chats and their history stay")
    stopped = trio.run(_stop, config, name)
    for secret in secrets.values():
        if forget:
            secret.unlink(missing_ok=True)
    if secrets:
        names = ", ".join(map(str, secrets.values()))
        tell(
            f"nanoclaw: deleted {names}"
            if forget
            else f"nanoclaw: kept {names}; --forget-secret deletes such files"
        )
    return {
        "name": name,
        "file": str(file),
        "stopped": stopped,
        "secrets": [str(each) for each in secrets.values()],
        "forgotten": forget,
    }


async def _stop(config: Config, name: str) -> bool:
    """Stop the channel in the running host. Return False if it runs on there."""
    try:
        async with connect(config.data) as client:
            await ask(client, "channels.unpair", channel=name)
            await ask(client, "channels.stop", channel=name)
    except NotRunning:
        return True
    except RequestFailed as error:
        if error.code in {"not_found", "bad_request"}:
            return True
        tell(f"nanoclaw: the running host still has the channel: {harmless(str(error))}")
        return False
    except NoHost as error:
        tell(f"nanoclaw: {harmless(str(error))}; if a host runs, it has the channel until it is restarted")
        return False
    tell("nanoclaw: the running host has stopped the channel")
    return True
