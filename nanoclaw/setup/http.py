"""Single requests to model servers: bounded in size and time, and never redirected."""

from collections.abc import Mapping

import httpx2
import trio
from attrs import frozen

MAX_BYTES = 4 * 1024 * 1024


class Unanswered(Exception):
    """A server that gives no answer. `silent`: it was reached, and said nothing in time."""

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.silent = silent


@frozen
class Answer:
    """The answer of a server."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def send(  # noqa: PLR0913 -- the parts of a request, by name
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: object = None,
    timeout_s: float,
    proxies: bool = True,
) -> Answer:
    """Send one request and return the whole answer.

    `proxies` admits those that the environment names.

    Raises:
        Unanswered: there is no answer within `timeout_s`, or it is too large.
    """
    try:
        with trio.fail_after(timeout_s):
            async with (
                httpx2.AsyncClient(trust_env=proxies, timeout=timeout_s) as client,
                client.stream(method, url, headers=headers, json=body) as response,
            ):
                content = await _bounded(response)
                return Answer(response.status_code, dict(response.headers), content)
    except (trio.TooSlowError, httpx2.ReadTimeout, httpx2.PoolTimeout, httpx2.WriteTimeout) as error:
        raise Unanswered(f"no answer in {timeout_s:g} s", silent=True) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
        raise Unanswered(" ".join(str(error).split()) or type(error).__name__) from error


async def _bounded(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_BYTES:
            raise Unanswered("the answer is too large")
    return bytes(content)
