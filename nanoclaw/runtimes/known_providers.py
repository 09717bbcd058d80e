"""The providers that the runner of this installation has."""

from attrs import frozen

from nanoclaw.config.entry_points import installed
from nanoclaw.config.nearest import nearest
from nanoclaw.config.tables import RuntimeConfig
from nanoclaw.gateway.providers import KNOWN, missing_extra

BUILT_IN = tuple(KNOWN)
"""The providers that come with the runner. Others are entry points of the group `PROVIDERS`."""
PROVIDERS = "nanoclaw.providers"


@frozen
class KnownProviders:
    """Providers by name."""

    names: tuple[str, ...] | None = None
    """The names. None stands for a runner of one's own, which may have any provider."""

    def __contains__(self, provider: str) -> bool:
        return self.names is None or provider in self.names

    def unusable(self, provider: str) -> str | None:
        """Return why the runner has no such provider, or cannot load it, and what to do. None: it can."""
        if provider not in self:
            return self._missing(provider)
        extra = None if self.names is None else missing_extra(provider)
        if extra is None:
            return None
        install = f"pip install 'nanoclaw[{extra}]'"
        return f"the provider {provider!r} needs a package that is not installed: {install}"

    def _missing(self, provider: str) -> str:
        names = self.names or ()
        near = nearest(provider, names) or "."
        return (
            f"there is no provider {provider!r}{near} Known: {', '.join(names)}. Choose one of these, or "
            "install the package that provides it beside NanoClaw: one with an entry point of that name in "
            f"the group {PROVIDERS}"
        )


ANY_PROVIDER = KnownProviders()


def known_providers(runner: RuntimeConfig) -> KnownProviders:
    """Return the providers of the configured runner."""
    return KnownProviders(None if runner.command else tuple(sorted({*BUILT_IN, *installed(PROVIDERS)})))
