"""Answers of the proxy itself. They tell the agent what to do."""

from typing import Literal

Reason = Literal[
    "asked",  # the owner is asked
    "bad",  # this is no request of a proxy
    "busy",  # there is no room now
    "closed",  # the agent has no network
    "full",  # the owner has too many questions already
    "private",  # the address is not public
    "refused",  # the owner has refused it
    "store",  # the decisions cannot be read, or the question cannot be stored
    "unlisted",  # it is not in the agent's list
    "unreachable",  # the server or its name cannot be reached
    "withdrawn",  # the permission ended while the connection was made
]
_STATUS: dict[Reason, int] = {"bad": 400, "busy": 429, "store": 503, "unreachable": 502}
FORBIDDEN = 403


class WebRefused(Exception):
    """A request that leads nowhere. The text is for the agent."""

    def __init__(self, reason: Reason, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.status = status or _STATUS.get(reason, FORBIDDEN)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of the answer."""
        return [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(self.body))),
            ("x-nanoclaw-refused", self.reason),
            ("connection", "close"),
        ]

    @property
    def phrase(self) -> bytes:
        """The text for the status line: most clients show that, and not the body."""
        return str(self).encode("ascii", "replace")

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return f"NanoClaw: {self}\n".encode()


def asked(site: str) -> WebRefused:
    """Return the refusal of a site that the owner is asked about."""
    return WebRefused(
        "asked",
        f"the owner has not allowed {site} yet and has been asked. Go on without it, "
        "or tell the user that you wait for the permission, and try again later",
    )


def refused(site: str) -> WebRefused:
    """Return the refusal of a site that the owner has refused."""
    return WebRefused("refused", f"the owner has refused {site}. Do not try it again")


def unlisted(site: str) -> WebRefused:
    """Return the refusal of a site that is not in the agent's list."""
    return WebRefused("unlisted", f"{site} is not among the sites of this agent. Go on without it")


def full(site: str) -> WebRefused:
    """Return the refusal of a site without a question to the owner."""
    return WebRefused(
        "full",
        f"the owner has not allowed {site}, and was not asked: too many questions of this agent wait already",
    )


def unasked(site: str) -> WebRefused:
    """Return the refusal of a site if the question could not be stored."""
    return WebRefused("store", f"{site} is not allowed, and the owner cannot be asked now. Try again later")


def closed() -> WebRefused:
    """Return the refusal of everything."""
    return WebRefused("closed", "this agent has no access to the web. Go on without it")


def private(site: str) -> WebRefused:
    """Return the refusal of an address that is not public."""
    return WebRefused(
        "private", f"{site} has no address on the public internet. Private addresses are never reached"
    )


def withdrawn(site: str) -> WebRefused:
    """Return the refusal of a site that was allowed when the request began."""
    return WebRefused("withdrawn", f"the owner has withdrawn the permission for {site}")
