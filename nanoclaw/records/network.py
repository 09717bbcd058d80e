"""The access of an agent to the network: a rule, and the sites that it names."""

import re
from datetime import datetime
from typing import Literal

from attrs import field, frozen

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LONGEST_HOST = 253
_HIGHEST_PORT = 65_535
WEB_PORTS = (80, 443)
"""The ports of a site that names none."""


class BadSite(ValueError):
    """A text that names no site. The text says why."""


@frozen
class Site:
    """A host, or all hosts below a domain, and the ports that may be reached there."""

    host: str
    """The name in lower case, as in a URL: an international name is in its ASCII form."""
    below: bool = False
    """True for all names below `host`, without `host` itself."""
    port: int | None = None
    """None for the ports of the web."""

    @classmethod
    def of(cls, text: str) -> "Site":
        """Read `example.org`, `*.example.org` or `example.org:8443`. Raises BadSite."""
        name, colon, digits = text.strip().partition(":")
        below = name.startswith("*.")
        host = ascii_host(name.removeprefix("*."))
        if colon and not (digits.isascii() and digits.isdecimal() and 0 < int(digits) <= _HIGHEST_PORT):
            raise BadSite(f"{digits!r:.40} is not a port")
        return cls(host, below, int(digits) if colon else None)

    def matches(self, host: str, port: int) -> bool:
        """Return True if it has this host, which must be in its ASCII form, and this port."""
        named = host.endswith(f".{self.host}") if self.below else host == self.host
        return named and (port in WEB_PORTS if self.port is None else port == self.port)

    def covers(self, other: "Site") -> bool:
        """Return True if it matches everything that another one matches."""
        if self.below:
            within = other.host.endswith(f".{self.host}") or (other.below and other.host == self.host)
        else:
            within = not other.below and other.host == self.host
        ports = WEB_PORTS if self.port is None else (self.port,)
        return within and all(port in ports for port in (WEB_PORTS if other.port is None else (other.port,)))

    @property
    def precision(self) -> tuple[bool, int, bool]:
        """Its rank among the sites that match an address: the highest says most precisely what is meant."""
        return (not self.below, len(self.host), self.port is not None)

    def __str__(self) -> str:
        """Return the text that `of` reads."""
        return f"{'*.' * self.below}{self.host}{'' if self.port is None else f':{self.port}'}"


def ascii_host(name: str) -> str:
    """Return the name of a host in its ASCII form, without a final dot. Raises BadSite."""
    try:
        host = name.rstrip(".").lower() if name.isascii() else name.rstrip(".").encode("idna").decode("ascii")
    except UnicodeError as error:
        raise BadSite(f"{name!r:.80} is not the name of a host") from error
    if len(host) > _LONGEST_HOST or not _HOST.fullmatch(host):
        raise BadSite(f"{name!r:.80} is not the name of a host")
    return host


Mode = Literal["none", "ask", "listed", "open"]


@frozen
class NetworkRule:
    """The part of the network that an agent may reach. Private addresses are never reached."""

    mode: Mode
    """`none`: nothing; `ask`: what the owner has allowed; `listed`: `sites`; `open`: all public hosts."""
    sites: tuple[Site, ...] = field(default=())

    def allows(self, host: str, port: int) -> bool:
        """Return True if the rule itself allows a host, in its ASCII form, and port."""
        return self.mode == "open" or any(site.matches(host, port) for site in self.sites)

    def __str__(self) -> str:
        """Return it in the words of the configuration."""
        return ", ".join(map(str, self.sites)) if self.mode == "listed" else self.mode


ASK = NetworkRule("ask")

SiteDecision = Literal["allowed", "refused"]


@frozen
class NetworkSite:
    """The owner's decision about a site and an agent."""

    agent_group_id: str
    site: str
    """In the words of `Site`."""
    decision: SiteDecision
    decided_by: str | None
    """A user id. None: whoever administers the host."""
    decided_at: datetime
