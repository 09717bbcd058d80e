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

__all__ = [
    "Answer",
    "AnswerCut",
    "Caller",
    "DoorFailed",
    "Gateway",
    "HttpServers",
    "LocalDoors",
    "Meter",
    "Model",
    "ModelServers",
    "ModelUsage",
    "NoDoor",
    "NoMeter",
    "Proxy",
    "Request",
    "SessionModels",
    "UpstreamAnswer",
    "UpstreamFailed",
    "UpstreamRequest",
    "key_variables",
    "open_gateway",
    "resolve",
]
