"""Budgets in words, for owners, for people who write, and for errors. Pure functions."""

from datetime import datetime
from zoneinfo import ZoneInfo

from nanoclaw.budgets.limits import MICRO, Standing, kind_of
from nanoclaw.records import Measure
from nanoclaw.registry.usage import SCOPE

_WORDS = {"turns": "turns", "tool_calls": "tool calls", "messages": "messages", "tokens": "tokens"}
_SCOPES = {"day": "the whole installation", "agent": "this agent", "session": "this conversation"}


def dollars(micro: int) -> str:
    """Return money, with as many digits as small amounts need."""
    amount = micro / MICRO
    return f"${amount:,.2f}" if micro == 0 or micro >= MICRO // 100 else f"${amount:.6f}".rstrip("0")


def amount(measure: Measure, value: int) -> str:
    """Return an amount without the word of its measure."""
    return dollars(value) if measure == "money" else f"{value:,}"


def used(standing: Standing, where: str | None = None) -> str:
    """Return what is used of a limit, such as `412 of 500 turns of this conversation`."""
    measure, where = standing.measure, where or _SCOPES[kind_of(standing.scope)]
    of = f"{amount(measure, standing.used)} of {amount(measure, standing.limit.amount or 0)}"
    return f"{' '.join(filter(None, [of, _WORDS.get(measure, '')]))} of {where}"


def moment(until: datetime, zone: ZoneInfo) -> str:
    """Return a moment in the user's zone."""
    return f"{until.astimezone(zone):%Y-%m-%d %H:%M} ({zone.key})"


def command(standing: Standing) -> str:
    """Return the command that raises a limit."""
    flag = standing.measure.replace("_", "-")
    doubled = 2 * (standing.limit.amount or 0)
    value = f"{doubled / MICRO:g}" if standing.measure == "money" else f"{doubled}"
    return f"nanoclaw budgets set {standing.scope} --{flag} {value if doubled else 'none'}"


def reason(standing: Standing) -> str:
    """Return why a session waits, as a phrase."""
    return f"the budget for today is used up: {used(standing)}"


def for_people(standing: Standing, until: datetime, zone: ZoneInfo) -> str:
    """Return the notice to people whose messages wait."""
    again = f"at {moment(until, zone)}" if standing.limit.amount else "once the owner allows it"
    raised = ", or earlier if the owner raises it" if standing.limit.amount else ""
    return (
        f"My budget for today is used up ({used(standing)}). Your messages are kept. "
        f"I will answer {again}{raised}."
    )


def refusal(standing: Standing, until: datetime, zone: ZoneInfo) -> str:
    """Return the refusal of a request to a model."""
    return f"{reason(standing)}; it resumes at {moment(until, zone)}. To raise it: {command(standing)}"


def alert(standing: Standing, until: datetime, zone: ZoneInfo) -> str:
    """Return the sentence for the owner, with `SCOPE` in the place of the scope's name."""
    how = used(standing, SCOPE)
    if standing.state == "used up":
        rest = f"New messages wait until {moment(until, zone)}"
        return f"A budget for today is used up: {how}. {rest}. To continue now: {command(standing)}"
    return f"{standing.percent} % of a budget for today is used: {how}. To raise it: {command(standing)}"
