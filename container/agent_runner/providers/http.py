"""The HTTP client of a provider. The runner decides its route, such as the socket of a gateway."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from agent_runner.errors import ProviderError


class HttpResponse(Protocol):
    """A response. Its body may not have arrived yet."""

    @property
    def status_code(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are not case-sensitive."""
        ...

    async def aread(self) -> bytes:
        """Read the whole body."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Read the body as it arrives."""
        ...


class HttpClient(Protocol):
    """The part of `httpx2.AsyncClient` that every client here has.

    The client of a real runner is an `httpx2.AsyncClient`, so a model's SDK takes it as its `http_client`.
    """

    async def request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a request and read the whole response."""
        ...

    def stream(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[HttpResponse]:
        """Send a request; the body is read inside the context."""
        ...


class HttpClients(Protocol):
    """Opens HTTP clients. A provider opens one for as long as it is open itself."""

    def open(self) -> AbstractAsyncContextManager[HttpClient]:
        """Open a client; it is closed with the context. Raises ProviderError if there is none."""
        ...


class NoHttp:
    """The clients of a runner that must not reach a network, such as a simulated one."""

    def open(self) -> AbstractAsyncContextManager[HttpClient]:
        """Refuse. Raises ProviderError."""
        raise ProviderError("this runner has no HTTP client")
