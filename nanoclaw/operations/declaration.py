"""The declaration of an operation: a typed method of a noun, its right, and its presentation.

The command line, the control protocol and docs/cli.md are derived from the method's signature and docstring.
A parameter before the `*` is an argument of the command, one after it an option.
"""

import inspect
import re
import types
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import cache, update_wrapper
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Concatenate,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from attrs import field, frozen

from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.rights import Right
from nanoclaw.records.checking import BadValue, checked

if TYPE_CHECKING:
    from nanoclaw.operations.noun import Noun

P = ParamSpec("P")
T = TypeVar("T")

Kind = Literal["agent", "chat", "user", "session", "wiring", "question", "approval", "task", "message"]
"""The things that a parameter may name."""
MAX_TEXT = 256
"""Maximum characters of a text without its own bound."""
MAX_REFERENCE = 1200
"""Maximum characters of a reference: an address of 1,000, with `/thread` or `=agent` after it."""


# -- annotations of parameters -------------------------------------------------


@frozen
class Reference:
    """The parameter names an existing thing in one of the forms of `nanoclaw.operations.references`."""

    kind: Kind
    new: bool = False
    """True if it may name a thing that does not exist yet."""

    @property
    def in_files(self) -> bool:
        """True if it names a thing in the files of sessions, not a row of the central database."""
        return self.kind in {"task", "message"}


@frozen
class Named:
    """The parameter has another name outside of Python; `option` makes an argument an option."""

    name: str
    option: bool = False
    flag: str | None = None
    """The option's name on the command line, if that differs again."""


@frozen
class Text:
    """Bounds of a text, in characters."""

    longest: int = MAX_TEXT
    empty: bool = False


@frozen
class Between:
    """Bounds of a number."""

    least: int
    most: int


@frozen
class Listed:
    """A shell completes the parameter with a field of the rows that another operation lists.

    The other operation gets the argument `by`, as far as the line has it.
    """

    operation: str
    field: str
    by: str


@frozen
class Internal:
    """The parameter exists only for callers in Python."""


# -- declared ------------------------------------------------------------------


@frozen
class Parameter:
    """One parameter of an operation. `name` is its Python name, `label` its name everywhere else."""

    name: str
    label: str
    type: Any
    help: str
    required: bool
    argument: bool
    flag: str
    """Name of the option on the command line."""
    default: Any = None
    reference: Reference | None = None
    listed: Listed | None = None
    text: Text = Text()
    bounds: Between = Between(-(2**53), 2**53)
    """Bounds of a number. The default is the range that every JSON reader holds exactly."""

    @property
    def base(self) -> Any:
        """The type of a value that is not None."""
        return _without_none(self.type)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a closed set."""
        return get_args(self.base) if get_origin(self.base) is Literal else ()

    @property
    def is_json(self) -> bool:
        """True if it is a JSON object."""
        return get_origin(self.base) is Mapping or self.base is Mapping or get_origin(self.base) is dict


@frozen
class Declared:
    """The properties that the decorator gives an operation."""

    right: Right
    asks: str | None
    """The question before something is destroyed, with `{parameter}` in it; None if nothing is."""
    reads: bool
    columns: tuple[str, ...]
    conflict: str | None
    missing: str | None


@frozen
class Operation:
    """One operation of the list."""

    noun: str
    verb: str
    summary: str
    details: str
    parameters: tuple[Parameter, ...]
    declared: Declared
    method: Callable[..., Awaitable[Any]] = field(repr=False)

    @property
    def name(self) -> str:
        """The method of the control protocol, such as `members.add`."""
        return f"{self.noun}.{self.verb}"

    @property
    def words(self) -> str:
        """The name on the command line, such as `members add`."""
        return f"{self.noun.replace('_', '-')} {self.verb}"

    def parameter(self, label: str) -> Parameter | None:
        """Return the parameter with that label."""
        return next((each for each in self.parameters if each.label == label), None)


def operation(  # noqa: PLR0913 -- what there is to say, by name
    *,
    right: Right,
    reads: bool = False,
    asks: str | None = None,
    columns: Sequence[str] = (),
    conflict: str | None = None,
    missing: str | None = None,
) -> Callable[[Callable[Concatenate[Any, P], Awaitable[T]]], Callable[Concatenate[Any, P], Awaitable[T]]]:
    """Declare a method of a noun as an operation.

    Args:
        right: who may do it at least.
        reads: it changes nothing.
        asks: the question that a person answers before something is destroyed.
        columns: the fields of a result that a table for people shows.
        conflict: the refusal where a constraint of the database forbids it.
        missing: the refusal where the result is None: there was nothing to change.
    """

    def decorate(
        method: Callable[Concatenate[Any, P], Awaitable[T]],
    ) -> Callable[Concatenate[Any, P], Awaitable[T]]:
        signature = inspect.signature(method)

        async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            values = dict(list(bound.arguments.items())[1:])
            declaration = of_method(self.name, call)
            _check_types(declaration, values)
            values = await self.admitted(declaration, values, strict=False)
            return await method(self, **values)  # type: ignore[call-arg]  # bound to the signature above

        update_wrapper(call, method)
        declared = Declared(right, asks, reads, tuple(columns), conflict, missing)
        call.__dict__["declared"] = declared
        call.__dict__["undecorated"] = method
        return call

    return decorate


def _check_types(declaration: Operation, values: Mapping[str, Any]) -> None:
    """Check the arguments of a call in Python, where nothing else looks at their types.

    Raises:
        BadArguments: one is not of its type.
    """
    for parameter in declaration.parameters:
        try:
            checked(values[parameter.name], parameter.type)
        except BadValue as error:
            raise BadArguments(str(error.within(parameter.name))) from None


def operations_of(noun: "type[Noun]") -> Iterator[Operation]:
    """Return the operations of a noun, in the order of its class."""
    for cls in reversed(noun.__mro__):
        for value in vars(cls).values():
            if "declared" in getattr(value, "__dict__", {}):
                yield of_method(noun.name, value)


@cache
def of_method(noun: str, method: Any) -> Operation:
    """Return the operation of a decorated method."""
    inner = method.__dict__["undecorated"]
    summary, details, helps = _docstring(inspect.getdoc(inner) or "")
    hints = get_type_hints(inner, include_extras=True)
    parameters = [
        _parameter(each, hints[each.name], helps)
        for each in list(inspect.signature(inner).parameters.values())[1:]
        if not _said(hints[each.name], Internal)
    ]
    _check_result(hints.get("return"))
    verb = inner.__name__.rstrip("_").replace("_", "-")
    return Operation(noun, verb, summary, details, tuple(parameters), method.__dict__["declared"], inner)


def _check_result(hint: Any) -> None:
    """Check that a list as the result is one of objects: a table has a row for each.

    Raises:
        TypeError: it is a list of something else.
    """
    plain = _without_none(_plain(hint))
    elements = get_args(plain) if get_origin(plain) in {Sequence, list} else ()
    for element in (each for each in elements if each in {str, int, float, bool}):
        raise TypeError(
            f"the result is a list of {element.__name__}; return a list of a class of attrs, or one text"
        )


def _parameter(found: inspect.Parameter, hint: Any, helps: Mapping[str, str]) -> Parameter:
    named = next(iter(_said(hint, Named)), None)
    reference = next(iter(_said(hint, Reference)), None)
    required = found.default is inspect.Parameter.empty
    if found.name not in helps:
        raise TypeError(f"the parameter {found.name} has no line under Args")
    label = named.name if named else found.name.rstrip("_")
    return Parameter(
        name=found.name,
        label=label,
        type=_plain(hint),
        help=helps[found.name],
        required=required,
        argument=found.kind is not inspect.Parameter.KEYWORD_ONLY and not (named and named.option),
        flag=(named and named.flag) or f"--{label.replace('_', '-')}",
        default=None if required else found.default,
        reference=reference,
        listed=next(iter(_said(hint, Listed)), None),
        text=next(iter(_said(hint, Text)), Text(MAX_REFERENCE) if reference else Text()),
        bounds=next(iter(_said(hint, Between)), Between(-(2**53), 2**53)),
    )


# -- annotations and docstrings ------------------------------------------------


def _said(hint: Any, wanted: type[T]) -> list[T]:
    """Return the annotations of a type, including those within `X | None`."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        return [mark for mark in marks if isinstance(mark, wanted)] + _said(inner, wanted)
    if get_origin(hint) in {Union, types.UnionType}:
        return [mark for each in get_args(hint) for mark in _said(each, wanted)]
    return []


def _plain(hint: Any) -> Any:
    """Return the type without its annotations."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in {Union, types.UnionType}:
        return Union[tuple(_plain(each) for each in get_args(hint))]  # noqa: UP007 -- built at run time
    return hint


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in {Union, types.UnionType}:
        return next(each for each in get_args(hint) if each is not type(None))
    return hint


def _docstring(text: str) -> tuple[str, str, Mapping[str, str]]:
    """Return the first line, what follows it, and a text for each parameter."""
    body, _, arguments = text.partition("\nArgs:\n")
    arguments = arguments.partition("\nRaises:")[0]
    summary, _, details = body.partition("\n")
    details = details.partition("\nRaises:")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE)
    return (
        summary.strip(),
        _joined(details),
        {name: _joined(words).removesuffix(".") for name, words in found},
    )


def _joined(text: str) -> str:
    return " ".join(text.split())
