"""The gateway: runners ask models through it. It adds the keys, which no runner has."""

from nanoclaw.gateway.doors import DoorFailed, Gateway, open_gateway
from nanoclaw.gateway.local import LocalDoors, NoDoor
from nanoclaw.gateway.meter import Meter, ModelUsage, NoMeter
from nanoclaw.gateway.models import Model, SessionModels, key_variables, resolve
from nanoclaw.gateway.proxy import Answer, AnswerCut, Caller, Proxy, Request
from nanoclaw.gateway.upstream import (
    HttpServers,
    ModelServers,
    UpstreamAnswer,
    UpstreamFailed,
    UpstreamRequest,
)
from nanoclaw.gateway.web import Internet, PublicInternet, SiteKeeper, WebCaller, WebProxy

__all__ = [
    "Answer",
    "AnswerCut",
    "Caller",
    "DoorFailed",
    "Gateway",
    "HttpServers",
    "Internet",
    "LocalDoors",
    "Meter",
    "Model",
    "ModelServers",
    "ModelUsage",
    "NoDoor",
    "NoMeter",
    "Proxy",
    "PublicInternet",
    "Request",
    "SessionModels",
    "SiteKeeper",
    "UpstreamAnswer",
    "UpstreamFailed",
    "UpstreamRequest",
    "WebCaller",
    "WebProxy",
    "key_variables",
    "open_gateway",
    "resolve",
]
