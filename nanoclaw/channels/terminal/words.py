"""Texts of the terminal's chat: the greeting, which names the agents, and the help."""

from collections.abc import Sequence

from nanoclaw.records import Answering

HELP_LINE = "/help"
HELP = """\
a text            a message for the agent; pasted lines stay one message
a number          answers a question whose choices have numbers
/help             shows this, and the commands that the agent answers
arrow-up          brings back what you typed before
Ctrl-C, Ctrl-D    ends
In a shell: `nanoclaw status` (what is going on), `nanoclaw messages list` (where is my message?),
`nanoclaw tasks list` (reminders), `nanoclaw logs`, `nanoclaw --help`."""


def greeting(assistant: str, answering: Sequence[Answering]) -> str:
    """Return the lines at the beginning of a prompt."""
    welcome = f"{assistant} is here. Type a message and press Enter; Ctrl-C or Ctrl-D ends."
    return f"{welcome}\n{_who(answering)} {HELP_LINE} lists what you can type."


def _who(answering: Sequence[Answering]) -> str:
    if not answering:
        return "No agent answers here: `nanoclaw wirings create --help` says how to connect one."
    names = " and ".join(f"{each.agent} ({_model(each)})" for each in answering)
    return f"{names} {'answers' if len(answering) == 1 else 'answer'} here."


def _model(who: Answering) -> str:
    if who.provider == "echo":
        return "provider echo: it repeats what you type; `nanoclaw setup` chooses a model"
    return f"provider {who.provider}" if who.model is None else f"model {who.model}, provider {who.provider}"
