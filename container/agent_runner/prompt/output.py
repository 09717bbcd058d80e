"""The final answer of a model, in parts: what goes to the conversation, what goes elsewhere."""

from attrs import frozen

from agent_runner.records import Reply, Turn


@frozen
class Output:
    """An answer of a model."""

    replies: tuple[Reply, ...]
    """Its texts, each with the name of its destination, if it has one. `<internal>` is stripped."""
    unknown: tuple[str, ...] = ()
    """Names that no destination has. Their texts are in no reply: tell the model."""


def read_output(text: str, turn: Turn) -> Output:
    """Read the final answer of a turn. It never fails, whatever the text."""
    del turn
    return Output((Reply(text),) if text.strip() else ())
