"""The model services that setup knows: how each is reached, where its key may be, and what it costs."""

from attrs import frozen

from nanoclaw.gateway.providers import KNOWN


@frozen
class Service:
    """A model service that wants a key."""

    slug: str
    """Its name for `--provider`, and of the file of its key."""
    label: str
    provider: str
    """The provider that speaks to it."""
    base_url: str
    """Its address, as `[model] base_url` has it."""
    variables: tuple[str, ...]
    """The environment variables in which people keep its key, the usual one first."""
    model: str
    """The model to offer."""
    cost: str
    """The cost of that model, where the table of prices does not know it; in dollars per million tokens."""
    own: bool = False
    """The address is the provider's own, so the configuration need not name it."""


SERVICES: tuple[Service, ...] = (
    Service(
        "anthropic",
        "Anthropic",
        "anthropic",
        KNOWN["anthropic"].base_url or "",
        ("ANTHROPIC_API_KEY",),
        KNOWN["anthropic"].model,
        "its own price",
        own=True,
    ),
    Service(
        "openai",
        "OpenAI",
        "openai",
        KNOWN["openai"].base_url or "",
        ("OPENAI_API_KEY",),
        KNOWN["openai"].model,
        "its own price",
        own=True,
    ),
    Service(
        "openrouter",
        "OpenRouter",
        "openai",
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY",),
        "openrouter/auto",
        "the price of the model that it picks",
    ),
    Service(
        "gemini",
        "Google Gemini",
        "openai",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "gemini-2.5-flash",
        "about $0.30 in, $2.50 out",
    ),
    Service(
        "deepseek",
        "DeepSeek",
        "openai",
        "https://api.deepseek.com/v1",
        ("DEEPSEEK_API_KEY",),
        "deepseek-chat",
        "about $0.28 in, $0.42 out",
    ),
    Service(
        "mistral",
        "Mistral",
        "openai",
        "https://api.mistral.ai/v1",
        ("MISTRAL_API_KEY",),
        "mistral-medium-latest",
        "about $0.40 in, $2 out",
    ),
    Service(
        "groq",
        "Groq",
        "openai",
        "https://api.groq.com/openai/v1",
        ("GROQ_API_KEY",),
        "openai/gpt-oss-120b",
        "about $0.15 in, $0.60 out",
    ),
)
BY_SLUG = {service.slug: service for service in SERVICES}


@frozen
class LocalServer:
    """A model server that people run on their own machine, and its usual port."""

    slug: str
    label: str
    port: int


LOCAL: tuple[LocalServer, ...] = (
    LocalServer("ollama", "Ollama", 11434),
    LocalServer("llama.cpp", "llama.cpp", 8080),
    LocalServer("vllm", "vLLM", 8000),
    LocalServer("lm-studio", "LM Studio", 1234),
)
LOCAL_BY_SLUG = {server.slug: server for server in LOCAL}
OWNERS = {"library": "Ollama", "llamacpp": "llama.cpp", "vllm": "vLLM", "organization_owner": "LM Studio"}
"""What `owned_by` in a list of models says of the server."""


def service_at(base_url: str) -> Service | None:
    """Return the service with this address; None if no known one has it."""
    return next((each for each in SERVICES if each.base_url == base_url.rstrip("/")), None)
