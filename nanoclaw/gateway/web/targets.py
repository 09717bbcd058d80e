"""The address that a request to the proxy names. Everything that is not one strict form is refused."""

import re
from ipaddress import IPv4Address, IPv6Address

import h11
from attrs import frozen

from nanoclaw.gateway.web.refusals import WebRefused
from nanoclaw.records.network import WEB_PORTS, BadSite, ascii_host

_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[^\[\]:@/?#%\\\s]+)(?::([0-9]{1,5}))?")
_HTTP = "http://"
_HTTP_PORT = 80
_HIGHEST_PORT = 65_535
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


@frozen
class Target:
    """The destination of a request."""

    host: str
    """A name in its ASCII form, or an address without brackets."""
    port: int
    path: str | None
    """The path and query of a plain request. None: a tunnel."""
    literal: bool = False
    """True if `host` is an address."""

    @property
    def site(self) -> str:
        """The site that an owner would allow: the host, and the port unless it is one of the web's."""
        return self.host if self.port in WEB_PORTS and ":" not in self.host else self.authority

    @property
    def authority(self) -> str:
        """Host and port, as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def host_header(self) -> str:
        """The value of the header Host of a plain request."""
        return self.authority.removesuffix(f":{_HTTP_PORT}") if self.port == _HTTP_PORT else self.authority


def target_of(request: h11.Request) -> Target:
    """Return the target of a request. Raises WebRefused."""
    text = request.target.decode("latin-1")
    if request.method == b"CONNECT":
        return _target(text, None, None)
    if text[: len(_HTTP)].lower() != _HTTP:
        raise WebRefused(
            "bad", "this is a proxy: it takes CONNECT host:port, and requests for http:// addresses, only"
        )
    authority, path = _split(text[len(_HTTP) :])
    return _target(authority, _HTTP_PORT, path)


def _split(rest: str) -> tuple[str, str]:
    """Split what follows `http://` into authority and path. Fragments are not sent."""
    whole = rest.partition("#")[0]
    end = min((at for at in (whole.find("/"), whole.find("?")) if at >= 0), default=len(whole))
    path = whole[end:]
    return whole[:end], path if path.startswith("/") else f"/{path}"


def _target(authority: str, port: int | None, path: str | None) -> Target:
    matched = _AUTHORITY.fullmatch(authority)
    if matched is None:
        raise WebRefused("bad", "the address must be a host and a port, such as example.org:443")
    name, digits = matched.groups()
    number = int(digits) if digits else port
    if number is None or not 0 < number <= _HIGHEST_PORT:
        raise WebRefused("bad", "the address has no port between 1 and 65535")
    host, literal = _host(name)
    return Target(host, number, path, literal)


def _host(name: str) -> tuple[str, bool]:
    """Return a host, and True if it is an address."""
    try:
        if name.startswith("["):
            return str(IPv6Address(name[1:-1])), True
        host = ascii_host(name)
        if name.endswith("..") or not name.isascii():
            raise BadSite("it is not written as a host is")
        if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):  # some resolvers take 127.1
            return str(IPv4Address(host)), True
    except ValueError as error:
        raise WebRefused("bad", "the address has no valid host") from error
    return host, False
