"""The configuration of a runner, from its environment (contract 1)."""

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path

from attrs import field, frozen

from agent_runner.errors import ConfigError
from agent_runner.providers.mcp_servers import McpServer
from agent_runner.providers.model_settings import ModelSettings, model_settings
from agent_runner.times import to_zone

HERE = Path(__file__).resolve().parent
# The schema beside the code comes first, so that both are of one version: in an image, a checkout, a wheel.
SCHEMA_DIRS = (
    HERE.parent / "schema",
    HERE.parents[1] / "schema",
    HERE.parent / "nanoclaw" / "_resources" / "schema",
)
DEFAULT_SCHEMA_DIR = Path("/opt/nanoclaw/schema")


@frozen(kw_only=True)
class RunnerConfig:
    """One session as its runner sees it. Durations are seconds."""

    inbound_db: Path = Path("/workspace/in/inbound.db")
    outbound_db: Path = Path("/workspace/outbound.db")
    heartbeat: Path = Path("/workspace/.heartbeat")
    workspace: Path = Path("/workspace/agent")
    shared: Path = Path("/workspace/global")
    model_socket: Path | None = None
    """The socket of the model gateway. None: this runner has no model."""
    web_socket: Path | None = None
    """The socket of the gateway as a proxy of the web. None: this runner has no network, or its own."""
    sandboxed: bool = False
    """True if the runtime isolates the runner, so that scripts and programs may run."""
    schema_dir: Path = DEFAULT_SCHEMA_DIR
    provider: str = "echo"
    agent_group_id: str = ""
    agent_group_name: str = ""
    assistant_name: str = ""
    admin_user_ids: tuple[str, ...] = ()
    mcp_servers: Mapping[str, McpServer] = field(factory=dict)
    timezone: str = "UTC"
    slow_poll: float = 30.0
    silence_limit: float = 1800.0
    """Time without activity after which a provider loses its turn."""
    keep_acks: float = 7 * 86_400.0
    """Age at which acks of final messages are pruned; 0 keeps them for ever."""
    keep_messages: float = 0.0
    """Age at which sent messages whose delivery is final are pruned; 0 keeps them for ever."""
    model_settings: Mapping[str, object] = field(factory=dict)
    """Settings for the provider's model, as the host sent them."""
    model: ModelSettings = field(factory=ModelSettings)
    """The settings of the model to ask."""

    @property
    def owner_lock(self) -> Path:
        """The lock file of this session's runner."""
        return self.outbound_db.parent / "owner"

    @property
    def draft(self) -> Path:
        """The file with the text so far of an answer."""
        return self.outbound_db.parent / ".draft"

    @property
    def outbox(self) -> Path:
        """The folder of files to send, with a folder for each message."""
        return self.outbound_db.parent / "outbox"


def from_environment(environ: Mapping[str, str]) -> RunnerConfig:
    """Read the environment. An empty variable counts as absent. Raises ConfigError, naming the variable."""
    given = {name: value for name, value in environ.items() if value}
    defaults = RunnerConfig()
    settings = _object(given, "NANOCLAW_MODEL_SETTINGS")
    return RunnerConfig(
        inbound_db=_path(given, "SESSION_INBOUND_DB_PATH", defaults.inbound_db),
        outbound_db=_path(given, "SESSION_OUTBOUND_DB_PATH", defaults.outbound_db),
        heartbeat=_path(given, "SESSION_HEARTBEAT_PATH", defaults.heartbeat),
        workspace=_path(given, "NANOCLAW_WORKSPACE", defaults.workspace),
        schema_dir=_schema_dir(given),
        provider=given.get("AGENT_PROVIDER", defaults.provider),
        agent_group_id=given.get("NANOCLAW_AGENT_GROUP_ID", ""),
        agent_group_name=given.get("NANOCLAW_AGENT_GROUP_NAME", ""),
        assistant_name=given.get("NANOCLAW_ASSISTANT_NAME", ""),
        admin_user_ids=_names(given.get("NANOCLAW_ADMIN_USER_IDS", "")),
        mcp_servers=_mcp_servers(_object(given, "NANOCLAW_MCP_SERVERS")),
        shared=_path(given, "NANOCLAW_SHARED", defaults.shared),
        model_socket=_optional_path(given, "NANOCLAW_MODEL_SOCKET"),
        web_socket=_optional_path(given, "NANOCLAW_WEB_SOCKET"),
        sandboxed=given.get("NANOCLAW_SANDBOX") == "1",
        model_settings=settings,
        model=model_settings(settings),
        timezone=_zone(given["TZ"]) if "TZ" in given else defaults.timezone,
        slow_poll=_seconds(given, "NANOCLAW_SLOW_POLL_S", defaults.slow_poll),
        keep_acks=_seconds(given, "NANOCLAW_KEEP_ACKS_S", defaults.keep_acks),
        keep_messages=_seconds(given, "NANOCLAW_KEEP_MESSAGES_S", defaults.keep_messages),
    )


def _path(given: Mapping[str, str], name: str, default: Path) -> Path:
    path = Path(given.get(name, default))
    if not path.name:
        raise ConfigError(f"{name}={given[name]!r} is not a path to a file")
    return path.absolute()


def _optional_path(given: Mapping[str, str], name: str) -> Path | None:
    return _path(given, name, HERE) if name in given else None


def _schema_dir(given: Mapping[str, str]) -> Path:
    if "NANOCLAW_SCHEMA_DIR" in given:
        return _with_outbound(_path(given, "NANOCLAW_SCHEMA_DIR", DEFAULT_SCHEMA_DIR), "NANOCLAW_SCHEMA_DIR")
    found = (path for path in SCHEMA_DIRS if (path / "outbound").is_dir())
    return next(found, None) or _with_outbound(DEFAULT_SCHEMA_DIR, "NANOCLAW_SCHEMA_DIR is not set, and")


def _with_outbound(path: Path, where: str) -> Path:
    if not (path / "outbound").is_dir():
        raise ConfigError(f"{where} {path} has no folder outbound/ with the schema of outbound.db")
    return path


def _seconds(given: Mapping[str, str], name: str, default: float) -> float:
    try:
        seconds = float(given.get(name, default))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < inf:
        raise ConfigError(f"{name}={given[name]!r} must be a number of seconds, 0 or more")
    return seconds


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _zone(name: str) -> str:
    try:
        return to_zone(name).key
    except ValueError as error:
        raise ConfigError(f"TZ={error}") from error


def _object(given: Mapping[str, str], name: str) -> Mapping[str, object]:
    try:
        value = json.loads(given.get(name, "{}"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a JSON object, got {type(value).__name__}")
    return value


def _mcp_servers(servers: Mapping[str, object]) -> Mapping[str, McpServer]:
    return {name: _mcp_server(name, server) for name, server in servers.items()}


def _mcp_server(name: str, server: object) -> McpServer:
    match server:
        case {"command": str(command), **rest} if command and set(rest) <= {"args", "env"}:
            env = _texts(name, "env", rest.get("env", {}))
            return McpServer(command, _args(name, rest.get("args", [])), env)
        case {"url": str(url), **rest} if url and set(rest) <= {"headers"}:
            return McpServer(url=url, headers=_texts(name, "headers", rest.get("headers", {})))
        case _:
            raise ConfigError(
                f"NANOCLAW_MCP_SERVERS: {name!r} must be {{command, args?, env?}} or {{url, headers?}}"
            )


def _args(name: str, args: object) -> tuple[str, ...]:
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        raise ConfigError(f"NANOCLAW_MCP_SERVERS: args of {name!r} must be a list of strings")
    return tuple(args)


def _texts(name: str, key: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ConfigError(f"NANOCLAW_MCP_SERVERS: {key} of {name!r} must be an object of strings")
    return {str(each): str(text) for each, text in value.items()}
