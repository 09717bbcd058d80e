"""Finds models: keys in the environment, and model servers on this machine's loopback."""

import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import trio

from nanoclaw.budgets.prices import Prices
from nanoclaw.config.model import KeyConfig
from nanoclaw.setup.http import Unanswered, send
from nanoclaw.setup.ranking import can_chat, ranked
from nanoclaw.setup.services import LOCAL, OWNERS, SERVICES, LocalServer, Service
from nanoclaw.setup.targets import Offer, Target
from nanoclaw.setup.verdicts import models_in

PROBE_S = 1.0
FREE = "free"


async def find(environ: Mapping[str, str] | None = None) -> tuple[Offer, ...]:
    """Return what was found: servers on this machine first, then services whose key is there.

    It takes at most `PROBE_S`, and asks only addresses of this machine.
    """
    environ = os.environ if environ is None else environ
    found = dict[int, Offer]()

    async def probe(place: int, server: LocalServer) -> None:
        offer = await offer_of(server, base_url(server, environ))
        if offer is not None:
            found[place] = offer

    async with trio.open_nursery() as nursery:
        for place, server in enumerate(LOCAL):
            nursery.start_soon(probe, place, server)
    return (*(found[place] for place in sorted(found)), *_with_keys(environ))


def _with_keys(environ: Mapping[str, str]) -> Iterator[Offer]:
    for service in SERVICES:
        variable = next((each for each in service.variables if environ.get(each, "").strip()), None)
        if variable is not None:
            target = target_of(service, KeyConfig(env=variable))
            yield Offer(target, f"{service.label}, key in {variable}", cost_of(service))


def target_of(service: Service, key: KeyConfig | None = None) -> Target:
    """Return the target of a service."""
    return Target(service.provider, service.model, None if service.own else service.base_url, key)


def cost_of(service: Service) -> str:
    """Return the cost of a service's model, for people."""
    price = Prices({}).find(service.model, service.base_url)
    cost = service.cost if price is None else f"about ${price.input:g} in, ${price.output:g} out"
    return f"{cost} per million tokens" if "$" in cost else cost


def base_url(server: LocalServer, environ: Mapping[str, str]) -> str:
    """Return the address of a server on this machine. Ollama's may be in OLLAMA_HOST."""
    host = _ollama_host(environ.get("OLLAMA_HOST", "")) if server.slug == "ollama" else None
    return f"http://{host or f'127.0.0.1:{server.port}'}/v1"


def _ollama_host(text: str) -> str | None:
    """Return the host and port of OLLAMA_HOST, if they are of this machine."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname or "", parts.port or LOCAL[0].port
    except ValueError:
        return None
    if host == "localhost":
        return f"localhost:{port}"
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if address.is_unspecified:
        return f"127.0.0.1:{port}"
    shown = f"[{address}]" if ":" in host else host
    return f"{shown}:{port}" if address.is_loopback else None


async def offer_of(server: LocalServer, url: str) -> Offer | None:
    """Return what a server offers; None if there is none, or something else answers there."""
    try:
        answer = await send("GET", f"{url}/models", timeout_s=PROBE_S, proxies=False)
    except Unanswered:
        return None
    found = models_in(answer.body) if answer.status == 200 else None  # noqa: PLR2004
    if found is None or not (names := tuple(filter(can_chat, ranked(found[0])))):
        return None
    label = OWNERS.get(found[1] or "", server.label)
    return Offer(Target("openai", names[0], url), f"{label} on this machine", FREE, names)
