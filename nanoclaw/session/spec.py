"""What a session's runner is started with: provider, environment, folders (contract 1)."""

import json
from collections.abc import Mapping
from pathlib import Path

from nanoclaw.containers import RunnerSpec, StartFailed
from nanoclaw.session.services import Conversation, Services
from nanoclaw.store.projections import CentralView


def runner_spec(services: Services, who: Conversation, view: CentralView) -> RunnerSpec:
    """The specification of a runner; blocking (it reads container.json), so it runs on the executor.

    Raises:
        StartFailed: container.json cannot be used; the text says why.
    """
    group, config = who.agent_group, services.config
    folder = config.groups / group.folder
    settings = _settings(folder / "container.json")
    provider = (
        who.session.agent_provider
        or settings.get("provider")
        or group.agent_provider
        or config.model.provider
    )
    workspace = folder / "workspace"
    workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {
        "AGENT_PROVIDER": str(provider),
        "NANOCLAW_AGENT_GROUP_ID": group.id,
        "NANOCLAW_AGENT_GROUP_NAME": group.name,
        "NANOCLAW_ASSISTANT_NAME": config.prompt.assistant_name,
        "NANOCLAW_ADMIN_USER_IDS": ",".join(view.admin_ids),
        "NANOCLAW_MCP_SERVERS": json.dumps(settings.get("mcpServers", {})),
        "NANOCLAW_SLOW_POLL_S": str(config.runtime.slow_poll_s),
        "NANOCLAW_KEEP_ACKS_S": str(config.retention.acks_s),
        "NANOCLAW_KEEP_MESSAGES_S": str(config.retention.messages_s),
        "TZ": config.timezone,
    }
    return RunnerSpec(who.session.id, who.paths(config), workspace, str(provider), environment)


def _settings(file: Path) -> Mapping[str, object]:
    """An agent group's container.json; the host's alone, an agent never sees it."""
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StartFailed(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise StartFailed(f"{file}: a JSON object is wanted")
    return value
