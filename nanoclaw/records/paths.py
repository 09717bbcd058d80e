"""The folders and files of a session."""

from functools import cached_property
from pathlib import Path

from attrs import frozen


@frozen
class SessionPaths:
    """The folders and files of one session (contract 1)."""

    root: Path

    @classmethod
    def of(cls, data: Path, agent_group_id: str, session_id: str) -> "SessionPaths":
        """Return the paths of a session below the data directory."""
        return cls(data / "sessions" / agent_group_id / session_id)

    @cached_property
    def lock(self) -> Path:
        """The host's lock, outside both mounts."""
        return self.root / "owner"

    @cached_property
    def inbound_dir(self) -> Path:
        """The directory that is mounted read-only in the container."""
        return self.root / "inbound"

    @cached_property
    def inbound_db(self) -> Path:
        """The database that the host writes."""
        return self.inbound_dir / "inbound.db"

    @cached_property
    def inbox(self) -> Path:
        """Attachments of users, one folder for each message."""
        return self.inbound_dir / "inbox"

    @cached_property
    def outbound_dir(self) -> Path:
        """The directory that is mounted read-write in the container. Everything in it is hostile."""
        return self.root / "outbound"

    @cached_property
    def outbound_db(self) -> Path:
        """The database that the runner writes."""
        return self.outbound_dir / "outbound.db"

    @cached_property
    def outbox(self) -> Path:
        """Attachments of the agent, one folder for each message."""
        return self.outbound_dir / "outbox"

    @cached_property
    def draft(self) -> Path:
        """The file with the text so far of an answer, which the runner replaces by rename."""
        return self.outbound_dir / ".draft"

    @cached_property
    def gateway_dir(self) -> Path:
        """The directory of the gateway's socket, which only this session's runner sees."""
        return self.root / "gateway"

    @cached_property
    def model_socket(self) -> Path:
        """The socket at which the gateway serves this session's runner."""
        return self.gateway_dir / "model.sock"

    @cached_property
    def web_socket(self) -> Path:
        """The socket at which the gateway serves this session's sandbox as a proxy of the web."""
        return self.gateway_dir / "web.sock"

    @cached_property
    def heartbeat(self) -> Path:
        """The file whose mtime shows that the runner lives."""
        return self.outbound_dir / ".heartbeat"
