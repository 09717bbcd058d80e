"""Fetches a page of the web. The only way out of a sandbox is its proxy, which `HTTPS_PROXY` names."""

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import trio
from attrs import evolve, frozen

from agent_runner.errors import ToolError
from agent_runner.foreign import describe
from agent_runner.prompt.markup import body
from agent_runner.sandbox.programs import module_command, run_program

LIMIT_S = 60.0
"""Seconds for a page, with its redirects."""
CONVERT_S = 30.0
"""Seconds to make Markdown of a page."""
LARGEST = 4 * 1024 * 1024
"""Bytes of a page that are read."""
LONGEST_URL = 8_000
MOST_REDIRECTS = 5
LONGEST_REASON = 1_000
"""Characters of what a server or the proxy says about an error."""
HEADERS: Mapping[str, str] = {
    "User-Agent": "nanoclaw",
    "Accept": "text/markdown, text/html;q=0.9, text/plain;q=0.9, */*;q=0.5",
}
HTML = ("text/html", "application/xhtml+xml")
TEXTS = (
    "application/json",
    "application/xml",
    "application/javascript",
    "application/yaml",
    "application/toml",
)
SUFFIXES = ("+json", "+xml", "+yaml")
FIRST_ERROR = 400
"""The lowest HTTP status of an error."""
REDIRECTS = (301, 302, 303, 307, 308)


@frozen
class Page:
    """A page as text."""

    url: str
    """Its address after redirects."""
    media_type: str
    text: str
    note: str = ""
    """What is missing of it, or is wrong with it."""


@frozen
class _Answer:
    url: str
    status: int
    headers: Mapping[str, str]
    data: bytes
    is_cut: bool
    encoding: str


async def fetch(url: str) -> Page:
    """Return a page. Raises ToolError with the reason, also that of the proxy."""
    try:
        with trio.fail_after(LIMIT_S):
            answer = await _follow(url)
    except trio.TooSlowError as error:
        raise ToolError(f"{url:.200} did not answer within {LIMIT_S:.0f} s") from error
    if answer.status >= FIRST_ERROR:
        page = await _page(answer)
        raise ToolError(
            f"{answer.url} answers {answer.status}: {body(page.text, LONGEST_REASON) or '(nothing)'}"
        )
    return await _page(answer)


async def _follow(url: str) -> _Answer:
    httpx2: Any = import_module("httpx2")
    async with httpx2.AsyncClient(headers=HEADERS, timeout=LIMIT_S) as client:
        for _ in range(MOST_REDIRECTS + 1):
            _check(url)
            try:
                answer = await _get(client, url)
                target = answer.headers.get("location") if answer.status in REDIRECTS else None
                if target is None:
                    return answer
                url = str(httpx2.URL(url).join(target))
            except httpx2.ProxyError as error:
                raise ToolError(await _refusal(url, str(error))) from error
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
                raise ToolError(f"{url:.200} cannot be read: {describe(error)}") from error
    raise ToolError(f"{url:.200}: more than {MOST_REDIRECTS} redirects")


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= LONGEST_URL
    except ValueError:
        usable = False
    if not usable:
        raise ToolError(f"{url:.200} is not an address of the web: it begins with http:// or https://")


async def _get(client: Any, url: str) -> _Answer:
    async with client.stream("GET", url) as response:
        data = await _beginning(response) if _is_text(_media_type(response.headers)) else b""
        return _Answer(
            url,
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            data[:LARGEST],
            len(data) > LARGEST,
            response.encoding or "utf-8",
        )


async def _beginning(response: Any) -> bytes:
    """Return a body, or a bit more than its beginning that is shown.

    A response that is closed and read on ends its generators. Those that are left would end at any time.
    """
    data = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            data += chunk[: LARGEST + 1 - len(data)]
            if len(data) > LARGEST:
                await response.aclose()
    except Exception:
        if len(data) <= LARGEST:
            raise
    return bytes(data)


# -- what comes back ---------------------------------------------------------------


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "text/plain").partition(";")[0].strip().lower()


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in (*HTML, *TEXTS) or media_type.endswith(SUFFIXES)


async def _page(answer: _Answer) -> Page:
    media_type = _media_type(answer.headers)
    if not _is_text(media_type):
        size = answer.headers.get("content-length", "unknown")
        raise ToolError(
            f"{answer.url:.500} is {media_type:.100} ({size:.20} bytes), not text; download it with curl"
        )
    try:
        text = answer.data.decode(answer.encoding, "replace")
    except LookupError:
        text = answer.data.decode("utf-8", "replace")
    note = f"only the first {LARGEST // 2**20} MiB" if answer.is_cut else ""
    page = Page(answer.url, media_type, text, note)
    return await _as_markdown(page) if media_type in HTML else page


async def _as_markdown(page: Page) -> Page:
    """Return an HTML page as Markdown, or as it is if it cannot be converted."""
    command, variables = module_command("agent_runner.sandbox.pages")
    try:
        ran = await run_program(
            [*command, page.url],
            folder="/",
            most=LARGEST,
            limit_s=CONVERT_S,
            given=page.text.encode(),
            variables=variables,
        )
    except OSError as error:
        return evolve(page, note=f"HTML, because no converter could be started: {error.strerror}")
    if ran.late or ran.code:
        return evolve(page, note="HTML, because it could not be made Markdown")
    return evolve(page, text=ran.output.decode("utf-8", "replace"))


# -- the proxy ---------------------------------------------------------------------


async def _refusal(url: str, reason: str) -> str:
    """Say why the proxy refuses. Its words are in the body of its answer, which httpx2 does not pass on."""
    words = ""
    with suppress(OSError, ValueError, trio.BrokenResourceError, trio.TooSlowError):
        with trio.fail_after(5.0):
            words = await _words_of_proxy(url)
    return f"{url:.200}: the proxy of this sandbox refuses: {words or reason}"[:LONGEST_REASON]


async def _words_of_proxy(url: str) -> str:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    address = getproxies().get(parts.scheme, "")
    if not address or proxy_bypass(host):
        return ""
    proxy = urlsplit(address)
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    async with await trio.open_tcp_stream(proxy.hostname or "", proxy.port or 80) as stream:
        await stream.send_all(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        answer = bytearray()
        while len(answer) < 4 * LONGEST_REASON and (data := await stream.receive_some(4096)):
            answer += data
            if _is_whole(bytes(answer)):
                break
    head, _, words = bytes(answer).partition(b"\r\n\r\n")
    return "" if head.split(b" ", 2)[1:2] == [b"200"] else words.decode("utf-8", "replace").strip()


def _is_whole(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if found and name == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
    return bool(found) and b" 200" in head[:16]
