"""Fetches files from addresses that users or networks name. It reaches no private address.

A name is looked up once, and the connection goes to the address that was checked. Redirects are followed only
as far as the same holds for each of them.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import trio
from attrs import frozen

from nanoclaw.gateway.web.addresses import is_never_reached, is_public
from nanoclaw.gateway.web.internet import Internet, PublicInternet

if TYPE_CHECKING:
    import httpx2

FETCH_S = 300.0
"""Time limit in seconds of one file, from the first look-up to the last byte."""
SILENCE_S = 30.0
"""Time limit in seconds of each step: a look-up, a connection, a byte."""
MOST_REDIRECTS = 5
CHUNK = 1 << 16
"""Bytes that are in memory at once."""
_PORTS = {"http": 80, "https": 443}


class NotFetched(Exception):
    """A file cannot be fetched. The text says why, without the address, which may hold a secret."""


@frozen
class _Place:
    """The parts of an address."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """The server, as `https://host:port`."""
        return f"{self.scheme}://{self.host}:{self.port}"


@asynccontextmanager
async def fetched(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    trusted: Collection[str] = (),
    internet: Internet | None = None,
    within_s: float = FETCH_S,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield the content of an address in chunks.

    Args:
        url: the address, of http or https.
        headers: sent to the first server only, such as a token.
        trusted: addresses of servers from the configuration, such as `api_base`. They may be private.
        internet: looks names up. Tests put their own here.
        within_s: the time limit of the whole block, in seconds.

    Raises:
        NotFetched: the address is private or invalid, its server does not answer with the file, or the time
            is over. It is raised in the block, too.
    """
    import httpx2  # noqa: PLC0415 -- takes 0.2 s, and many channels fetch nothing

    origins = frozenset(_place(each).origin for each in trusted)
    ways = internet or PublicInternet()
    with trio.move_on_after(within_s) as scope:
        try:
            async with AsyncExitStack() as stack:
                client = httpx2.AsyncClient(timeout=SILENCE_S, trust_env=False, follow_redirects=False)
                await stack.enter_async_context(client)
                answer = await _answer(client, stack, _place(url), dict(headers or {}), origins, ways)
                yield answer.aiter_bytes(CHUNK)
                return
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise NotFetched(f"its server failed: {type(error).__name__}") from error
    if scope.cancelled_caught:
        raise NotFetched(f"it took longer than {within_s:g} s")


async def _answer(  # noqa: PLR0913, PLR0917 -- the parts of a request
    client: "httpx2.AsyncClient",
    stack: AsyncExitStack,
    place: _Place,
    headers: dict[str, str],
    trusted: Collection[str],
    internet: Internet,
) -> "httpx2.Response":
    """Send the request, follow redirects, and return the answer with the file."""
    for _ in range(MOST_REDIRECTS + 1):
        address = place.host if place.origin in trusted else await _public_address(place, internet)
        request = client.build_request(
            "GET",
            _at(place, address),
            headers={**headers, "Host": urlsplit(place.url).netloc.rpartition("@")[2]},
            extensions={"sni_hostname": place.host},
        )
        answer = await client.send(request, stream=True)
        stack.push_async_callback(answer.aclose)
        if not answer.is_redirect:
            if not answer.is_success:
                raise NotFetched(f"its server answers with status {answer.status_code}")
            return answer
        found = _place(urljoin(place.url, answer.headers.get("location", "")))
        headers = headers if found.origin == place.origin else {}
        place = found
    raise NotFetched("its server redirects too often")


def _place(url: str) -> _Place:
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii") if parts.hostname else ""
    except (ValueError, UnicodeError) as error:
        raise NotFetched("its address is not valid") from error
    if parts.scheme not in _PORTS or not host:
        raise NotFetched("its address is not one of the web")
    return _Place(url, parts.scheme, host, port or _PORTS[parts.scheme])


def _at(place: _Place, address: str) -> str:
    """Return the URL with an address in the place of the name."""
    parts = urlsplit(place.url)
    literal = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{literal}:{place.port}", fragment="").geturl()


async def _public_address(place: _Place, internet: Internet) -> str:
    """Look a name up, and return an address that may be reached.

    Raises:
        NotFetched: there is none.
    """
    if is_public(place.host):
        return place.host
    if is_never_reached(place.host):
        raise NotFetched("its address is private")
    try:
        with trio.fail_after(SILENCE_S):
            found = await internet.resolve(place.host)
    except (OSError, trio.TooSlowError) as error:
        raise NotFetched(f"the name of its server cannot be resolved: {type(error).__name__}") from error
    public = [each for each in found if is_public(each) and not internet.is_own(each)]
    if not public:
        raise NotFetched("its address is private")
    return public[0]
