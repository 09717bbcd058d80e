"""The parameter types that operations share; in Python they are texts."""

from collections.abc import Mapping
from typing import Annotated

from nanoclaw.operations.declaration import Reference, Text

AgentRef = Annotated[str, Reference("agent")]
"""An agent, by folder, name or id."""
ChatRef = Annotated[str, Reference("chat")]
"""A chat, by `channel:platform_id`, name or id."""
UserRef = Annotated[str, Reference("user")]
"""A user, by id or name."""
NewUserRef = Annotated[str, Reference("user", new=True)]
"""A user, by id; one who has never written may be meant."""
SessionRef = Annotated[str, Reference("session")]
"""A session, by id or by `channel:platform_id[/thread]`."""
WiringRef = Annotated[str, Reference("wiring")]
"""A wiring, by id, by `chat=agent`, or by its chat if that chat has only one."""
QuestionRef = Annotated[str, Reference("question")]
"""A question, by id."""
ApprovalRef = Annotated[str, Reference("approval")]
"""An approval, by id."""
TaskRef = Annotated[str, Reference("task")]
"""A task, by id; with `session/` before it where two sessions have the same. The handler gets both."""
MessageRef = Annotated[str, Reference("message")]
"""A message, by id; with `session/` before it where several sessions have it. The handler gets both."""
OptionalText = Annotated[str, Text(empty=True)]
"""A text that may be empty; an empty text removes the value."""
JsonObject = Mapping[str, object]
