"""The SDK's requests on trio: HTTP over httpx2. Answers have a bounded size, and files are streamed."""

import os
from typing import Any

import httpx2
from telegram.error import BadRequest, NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

os.environ.setdefault("PTB_TIMEDELTA", "1")  # else the SDK warns of each answer that asks to wait

CONNECT_S, READ_S, WRITE_S = 10.0, 30.0, 60.0
LARGEST_ANSWER = 32 << 20
SERVER_ERROR = 500
TOO_LARGE = 413


class NotSent(NetworkError):
    """Telegram could not be reached, or says that it is out of order: it did nothing."""


class TrioRequest(BaseRequest):
    """Sends the SDK's requests with a client of its own. It needs no `initialize`."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    @property
    def read_timeout(self) -> float:
        """Return the longest silence of the server in seconds."""
        return READ_S

    async def initialize(self) -> None:
        """Do nothing."""

    async def shutdown(self) -> None:
        """Do nothing. The connection that made the client closes it."""

    async def do_request(  # noqa: PLR0913, PLR0917 -- the SDK's signature
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = None,
        write_timeout: Any = None,
        connect_timeout: Any = None,
        pool_timeout: Any = None,
    ) -> tuple[int, bytes]:
        """Send one request, and return the status and the body of the answer."""
        timeout = httpx2.Timeout(
            READ_S,
            connect=_seconds(connect_timeout, CONNECT_S),
            read=_seconds(read_timeout, READ_S),
            write=_seconds(write_timeout, WRITE_S),
            pool=_seconds(pool_timeout, CONNECT_S),
        )
        try:
            return await self._ask(url, method, request_data, timeout)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise NotSent(f"cannot reach Telegram: {_told(error)}") from error
        except httpx2.TimeoutException as error:
            raise TimedOut("Telegram did not answer in time") from error
        except httpx2.HTTPError as error:
            raise NetworkError(f"the connection to Telegram was lost: {_told(error)}") from error

    async def _ask(
        self, url: str, method: str, request_data: RequestData | None, timeout: httpx2.Timeout
    ) -> tuple[int, bytes]:
        fields = request_data.json_parameters if request_data else None
        files: Any = request_data.multipart_data if request_data else None
        async with self._client.stream(
            method, url, data=fields, files=files or None, timeout=timeout
        ) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise NetworkError(f"the answer has more than {LARGEST_ANSWER:,} bytes")
        if response.status_code >= SERVER_ERROR:
            raise NotSent(f"Telegram is out of order: HTTP status {response.status_code}")
        if response.status_code == TOO_LARGE:
            raise BadRequest("the request is too large for Telegram")
        return response.status_code, bytes(body)


def _seconds(given: object, default: float) -> float:
    """Return a limit. The SDK has a value of its own for one that is not given."""
    return float(given) if isinstance(given, int | float) else default


def _told(error: Exception) -> str:
    """Return the words of an error. Those of httpx2 have no address, which would show the token."""
    return f"{type(error).__name__}: {error}"
