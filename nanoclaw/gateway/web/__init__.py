"""The gateway as a proxy of the web: the only way out of a sandbox, to sites that the owner allows."""

from nanoclaw.gateway.web.internet import Internet, PublicInternet
from nanoclaw.gateway.web.proxy import WebCaller, WebProxy
from nanoclaw.gateway.web.sites import SiteKeeper

__all__ = ["Internet", "PublicInternet", "SiteKeeper", "WebCaller", "WebProxy"]
