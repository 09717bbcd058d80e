"""The folder of an agent: made with the agent, so that its owner finds where to put notes and skills."""

from pathlib import Path

PRIVATE_DIR = 0o700


def make_agent_folder(groups: Path, folder: str) -> None:
    """Create `<groups>/<folder>/workspace`, for this user alone; keep existing files. Raises OSError."""
    workspace = groups / folder / "workspace"
    for each in (*reversed(workspace.parents), workspace):
        if not each.is_dir():
            each.mkdir(mode=PRIVATE_DIR, exist_ok=True)
