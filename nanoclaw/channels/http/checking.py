"""Checks that a server can listen where its table says."""

import errno
import json

import trio

from nanoclaw.channels.factory import Account, ChannelContext, SetupFailed
from nanoclaw.channels.http.config import HttpConfig

ANSWERS_WITHIN_S = 5.0
"""Time limit in seconds of the server that listens there already."""


async def check(config: HttpConfig, context: ChannelContext) -> Account:
    """Return the address of the server. Raises SetupFailed if another program listens there."""
    del context
    host, port = config.place
    address = f"http://{config.listen}"
    try:
        for listener in await trio.open_tcp_listeners(port, host=host):
            await listener.aclose()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise SetupFailed(f"cannot listen on {config.listen}: {error}; set another `listen`") from error
        if not await _is_ours(address):
            text = f"another program listens on {config.listen}; end it, or set another `listen`"
            raise SetupFailed(text) from error
    return Account(config.listen, address, address)


async def _is_ours(address: str) -> bool:
    """Return True if the server there is a running host: it asks for a key in its own way."""
    import httpx2  # noqa: PLC0415 -- takes 0.2 s

    try:
        async with httpx2.AsyncClient(timeout=ANSWERS_WITHIN_S, trust_env=False) as client:
            answer = await client.get(f"{address}/v1/models")
        return answer.status_code == 401 and "error" in json.loads(answer.content)  # noqa: PLR2004 -- no key
    except (httpx2.HTTPError, ValueError):
        return False
