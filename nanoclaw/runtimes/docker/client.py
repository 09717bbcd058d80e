"""Opens clients of a container engine. They close a socket that cannot connect; those of docker-py do not."""

from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM
from socket import socket as Socket  # noqa: N812 -- the name is that of a path here
from typing import Any

from docker import APIClient
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import DockerException
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

BASE_URL = "http+docker://"
"""The beginning of the addresses that the client gives to its adapter."""


def open_client(socket: Path, timeout_s: int) -> APIClient:
    """Return a client that speaks the engine's own version of the API. Blocking.

    Raises:
        DockerException: the engine is no engine, or too old.
        requests.RequestException: it cannot be reached.
    """
    with client_of_version(socket, DEFAULT_DOCKER_API_VERSION, timeout_s) as first:
        try:
            version = str(first.version(api_version=False)["ApiVersion"])
        except (KeyError, TypeError, ValueError) as error:
            raise DockerException(f"the engine at {socket} does not tell its version") from error
    return client_of_version(socket, version, timeout_s)


def client_of_version(socket: Path, version: str, timeout_s: int) -> APIClient:
    """Return a client that speaks one version of the API. It asks the engine nothing."""
    client: Any = APIClient(f"unix://{socket}", version=version, timeout=timeout_s)
    client.mount(BASE_URL, _Adapter(f"http+unix://{socket}", timeout_s))
    return client


class _Adapter(UnixHTTPAdapter):  # type: ignore[misc]  # docker-py has no types
    """Keeps the connections to one socket."""

    def get_connection(self, url: Any, proxies: Any = None) -> UnixHTTPConnectionPool:
        del proxies
        with self.pools.lock:
            pool = self.pools.get(url)
            if pool is None:
                pool = self.pools[url] = _Pool(
                    url, self.socket_path, self.timeout, maxsize=self.max_pool_size
                )
            return pool


class _Pool(UnixHTTPConnectionPool):  # type: ignore[misc]  # docker-py has no types
    """Makes the connections."""

    def _new_conn(self) -> Any:
        timeout_s: Any = self.timeout
        return _Connection(self.base_url, self.socket_path, timeout_s)


class _Connection(UnixHTTPConnection):  # type: ignore[misc]  # docker-py has no types
    """A connection that leaves no socket behind if it fails."""

    def connect(self) -> None:
        connected = Socket(AF_UNIX, SOCK_STREAM)
        try:
            connected.settimeout(self.timeout)
            connected.connect(self.unix_socket)
        except BaseException:
            connected.close()
            raise
        self.sock = connected
