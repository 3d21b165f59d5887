"""The parameters of a method: what each may be, which values are worth trying, and what it means.

A method says all of it once, in an annotated class attribute with a docstring under it ::

    class DeepSM(TrainedMethod):
        dropout: Annotated[float, Number(0, 0.99), SearchSpace(0.0, 0.5)] = 0.5
        "Share of hidden units left out in training."

From these attributes come the constructor, the check of values, the search space and every description.
"""

from __future__ import annotations

import ast
import inspect
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from itertools import pairwise
from numbers import Integral, Real
from types import SimpleNamespace
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Protocol,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from cmbench.errors import MethodError, either

if TYPE_CHECKING:
    from cmbench.methods.contract import Method

REQUIRED: Any = inspect.Parameter.empty
"""The default of a parameter that has none."""
UNKNOWN: Any = inspect.Parameter.empty
"""The annotation of a parameter that has none."""


@runtime_checkable
class Constraint(Protocol):
    """Anything that says whether it accepts a value; as text it reads as the remedy."""

    def accepts(self, value: Any) -> bool:
        """Return whether a parameter may have this value."""


@dataclass(frozen=True)
class SearchSpace:
    """The values of a parameter that are worth trying when a method is tuned.

    >>> SearchSpace(0.0, 0.5).values
    (0.0, 0.5)
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class Words:
    """One of a few fixed values.

    >>> print(Words("constraint", "unit"))
    'constraint' or 'unit'
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)

    def accepts(self, value: Any) -> bool:
        return any(type(value) is type(allowed) and value == allowed for allowed in self.values)

    def __str__(self) -> str:
        return either(map(repr, self.values))


@dataclass(frozen=True)
class Number:
    """A finite number from ``low`` to ``high``, bounds included, or one of a few ``words``.

    >>> Number(0, words=("validation",)).accepts("validation")
    True
    >>> print(Number(0, 1, open_ends=True))
    a number between 0 and 1, both excluded
    """

    low: float
    high: float = math.inf
    open_ends: bool = False
    words: tuple[str, ...] = ()

    def accepts(self, value: Any) -> bool:
        if isinstance(value, str):
            return value in self.words
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            return False
        number = float(value)
        inside = self.low <= number <= self.high
        return inside and not (self.open_ends and number in (self.low, self.high))

    def __str__(self) -> str:
        if self.high < math.inf:
            text = f"a number between {self.low} and {self.high}" + ", both excluded" * self.open_ends
        else:
            text = f"a number above {self.low}" if self.open_ends else f"a number of {self.low} or more"
        return either([text, *map(repr, self.words)])


@dataclass(frozen=True)
class Count:
    """A whole number of at least ``low``, or one of a few ``words``, or None where ``optional``.

    >>> Count(1).accepts(0), Count(1, words=("all",)).accepts("all")
    (False, True)
    >>> print(Count(1, words=("all", "validation")))
    a whole number of 1 or more, 'all' or 'validation'
    """

    low: int
    words: tuple[str, ...] = ()
    optional: bool = False

    def accepts(self, value: Any) -> bool:
        if value is None:
            return self.optional
        if isinstance(value, str):
            return value in self.words
        return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= self.low

    def __str__(self) -> str:
        others = [*map(repr, self.words), *(["None"] if self.optional else [])]
        return either([f"a whole number of {self.low} or more", *others])


@dataclass(frozen=True)
class SearchRange:
    """The numbers from ``low`` to ``high``, bounds included, as what is worth trying when a method is tuned.

    They are drawn evenly, or evenly in their logarithm where ``log``; whole numbers alone where ``whole``.
    Raises ``ValueError`` for ends between which nothing can be drawn so.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ValueError(f"{self!r}: {problem}")

    def _problem(self) -> str:
        """Return what is wrong with the ends, and the remedy; empty if nothing."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return "its ends must be finite numbers"
        if self.low >= self.high:
            return "the low end must be below the high one; give the smaller first"
        if self.log and self.low <= 0:
            return f"a logarithm needs a low end above 0; give {self.high / 1000:g}, say, or leave out log"
        if self.whole and not (float(self.low).is_integer() and float(self.high).is_integer()):
            return "whole numbers need whole ends; round them, or leave out whole"
        return ""

    def __iter__(self) -> Iterator[float]:
        """Yield the two ends."""
        return iter((self.low, self.high))

    def __str__(self) -> str:
        kind = "whole numbers" if self.whole else "numbers"
        return f"{kind} from {self.low} to {self.high}" + ", evenly in their logarithm" * self.log


@dataclass(frozen=True)
class AddedLater:
    """A parameter that earlier versions of a method had not, which did what it does at ``value``.

    The key of a cell leaves the parameter out at that value: results from before stay those of the same cell.
    """

    value: Any


@dataclass(frozen=True)
class When:
    """Which others must have certain values for a parameter to count: at any other value it does nothing.

    A float stands for all numbers above 0, as of a weight whose term must not be off.

    >>> print(When(pretrain="dae", w_inter=1.0))
    pretrain = 'dae' and w_inter > 0
    """

    values: Mapping[str, Any]

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "values", values)

    def __str__(self) -> str:
        return " and ".join(
            f"{name} > 0" if isinstance(value, float) else f"{name} = {value!r}"
            for name, value in self.values.items()
        )


@dataclass(frozen=True)
class AnyFolder:
    """A path, or None."""

    def accepts(self, value: Any) -> bool:
        return value is None or isinstance(value, str) or hasattr(value, "__fspath__")

    def __str__(self) -> str:
        return "the path of a folder or None"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Parameters
    ----------
    name : as in the constructor and after ``--set METHOD.``
    type : its type, as text: ``int | str``; empty if the method does not tell
    constraint : which values are allowed; None if any is
    tried : the values worth trying when the method is tuned; empty if it has none
    default : its value if none is given; ``REQUIRED`` if one must be
    meaning : the docstring under it in the source; empty if there is none
    when : which others must have certain values for it to count; None if it always does
    """

    name: str
    type: str
    constraint: Constraint | None
    tried: tuple[Any, ...] | SearchRange
    default: Any
    meaning: str
    when: When | None = None

    @property
    def fixed(self) -> bool:
        """Whether its default is the only value that is allowed, as where an ablation switches a term off."""
        return self.constraint == Words(self.default)


@cache
def arguments_of(method: type) -> Mapping[str, inspect.Parameter]:
    """Return the arguments of a method's constructor by name, in its order."""
    return inspect.signature(method).parameters


def defaults_of(method: type) -> dict[str, Any]:
    """Return the defaults of a method's arguments as records hold values, tuples as lists; none of others."""
    given = {name: argument.default for name, argument in arguments_of(method).items()}
    return {
        name: list(default) if isinstance(default, tuple) else default
        for name, default in given.items()
        if default is not inspect.Parameter.empty
    }


@cache
def parameters_of(method: type[Method]) -> tuple[Parameter, ...]:
    """Return the parameters of a method: the arguments of its constructor.

    Those that its own class declares come before those that it inherits. If the constructor was written by
    hand, they come in its order, and the annotations of its arguments count too.

    Raises ``MethodError`` for an annotation with a constraint in which a name cannot be resolved, or a range
    is refused.
    """
    arguments = arguments_of(method).values()
    described = [_parameter(method, argument) for argument in arguments]
    if _has_constructor_by_hand(method):
        return tuple(described)
    return tuple(sorted(described, key=lambda parameter: _distance(method, parameter.name)))


def as_given(method: type[Method], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as the method's own are: a list, which JSON has for a tuple, where the default is one."""
    defaults = {parameter.name: parameter.default for parameter in parameters_of(method)}
    return {
        name: tuple(value) if isinstance(value, list) and isinstance(defaults.get(name), tuple) else value
        for name, value in values.items()
    }


def check_parameters(method: Method) -> None:
    """Raise ``MethodError`` for the first parameter of ``method`` outside its constraint."""
    kind = type(method)
    check_values(kind, {name: getattr(method, name) for name in constraints_of(kind)})


def check_values(method: type[Method], values: Mapping[str, Any]) -> None:
    """Raise ``MethodError`` for the first of the values, by parameter, that is outside its constraint."""
    for name, constraint in constraints_of(method).items():
        if name in values and not constraint.accepts(values[name]):
            raise MethodError(f"{method.name}: {name} is {values[name]!r}; use {constraint}")


def constraints_of(method: type[Method]) -> dict[str, Constraint]:
    """Return the constraints of a method by the name of the parameter, for those that have one."""
    described = parameters_of(method)
    return {
        parameter.name: parameter.constraint for parameter in described if parameter.constraint is not None
    }


@cache
def added_later(method: type[Method]) -> Mapping[str, Any]:
    """Return the values at which parameters do what a method did before it had them, by parameter."""
    details = {name: getattr(_annotation(method, name), "__metadata__", ()) for name in arguments_of(method)}
    return {
        name: detail.value
        for name, added in details.items()
        for detail in added
        if isinstance(detail, AddedLater)
    }


class FieldsSearchSpace:
    """A class attribute: the values worth trying, by parameter, that the fields of a method declare."""

    def __get__(self, instance: object, owner: type[Method]) -> Mapping[str, Sequence[Any] | SearchRange]:
        return {parameter.name: parameter.tried for parameter in parameters_of(owner) if parameter.tried}


def add_constructor(method: type[Method]) -> None:
    """Give a class the constructor that its annotated attributes describe.

    A class whose constructor is written by hand, in itself or in a class it is derived from, keeps it.
    Class variables, names that begin or end in an underscore, and other attributes of a class that it is
    derived from (``name``, say) are no parameters. A plain assignment to an inherited parameter changes
    its default; what ``fixed`` names is no parameter any more.
    """
    if _has_constructor_by_hand(method):
        return
    declared, documentation = inspect.get_annotations(method), method.__doc__
    inherited = {field.name: field for base in reversed(method.__bases__) for field in _fields(base)}
    for name, value in vars(method).get("fixed", {}).items():
        setattr(method, name, value)
    method.__annotations__ = {
        **{name: inherited[name].type for name in vars(method) if name in inherited},
        **{name: kind for name, kind in declared.items() if _may_be_field(method, name, inherited)},
        **dict.fromkeys(vars(method).get("fixed", {}), ClassVar[Any]),
    }
    dataclass(kw_only=True, eq=False, repr=False)(method)
    method.__annotations__, method.__doc__ = declared, documentation


def _fields(method: type) -> list[Field[Any]]:
    return [field for field in fields(method) if field.init] if is_dataclass(method) else []


def _has_constructor_by_hand(method: type) -> bool:
    owner = _owner_of_constructor(method)
    return owner is not object and "__dataclass_fields__" not in vars(owner)


def _owner_of_constructor(method: type) -> type:
    return next(base for base in method.__mro__ if "__init__" in vars(base))


def _may_be_field(method: type, name: str, inherited: Mapping[str, Field[Any]]) -> bool:
    if name in inherited or isinstance(vars(method).get(name), Field):
        return True
    if name.startswith("_") or name.endswith("_"):
        return False
    return not any(name in vars(base) or name in inspect.get_annotations(base) for base in method.__mro__[1:])


def _parameter(method: type[Method], argument: inspect.Parameter) -> Parameter:
    annotation = _annotation(method, argument.name)
    details = getattr(annotation, "__metadata__", ())
    meanings = (_docstrings(owner) for owner in method.__mro__)
    return Parameter(
        name=argument.name,
        type=_type_text(annotation),
        constraint=next((detail for detail in details if isinstance(detail, Constraint)), None),
        tried=next(
            (_tried(detail) for detail in details if isinstance(detail, SearchSpace | SearchRange)), ()
        ),
        default=_default(method, argument),
        meaning=next((texts[argument.name] for texts in meanings if argument.name in texts), ""),
        when=next((detail for detail in details if isinstance(detail, When)), None),
    )


def _tried(detail: SearchSpace | SearchRange) -> tuple[Any, ...] | SearchRange:
    return detail.values if isinstance(detail, SearchSpace) else detail


def _default(method: type[Method], argument: inspect.Parameter) -> Any:
    factories = {field.name: field.default_factory for field in _fields(method)}
    factory = factories.get(argument.name, MISSING)
    return argument.default if factory is MISSING else factory()


def _type_text(annotation: Any) -> str:
    if annotation is UNKNOWN:
        return ""
    plain = annotation.__origin__ if get_origin(annotation) is Annotated else annotation
    return plain if isinstance(plain, str) else inspect.formatannotation(plain)


def _annotation(method: type[Method], name: str) -> Any:
    """Return the nearest annotation of a parameter that is ``Annotated``, otherwise the nearest of any."""
    resolved = [
        _resolved(annotations[name], owner, f"{method.name}: {name}")
        for owner, annotations in _annotations(method)
        if name in annotations
    ]
    detailed = [annotation for annotation in resolved if get_origin(annotation) is Annotated]
    return next(iter([*detailed, *resolved]), UNKNOWN)


def _annotations(method: type) -> Iterator[tuple[type, Mapping[str, Any]]]:
    """Yield the classes that may tell of a parameter, the nearest first, with the annotations of each."""
    if _has_constructor_by_hand(method):
        owner = _owner_of_constructor(method)
        yield owner, inspect.get_annotations(vars(owner)["__init__"])
    for base in method.__mro__:
        yield base, inspect.get_annotations(base)


def _resolved(annotation: Any, owner: type, parameter: str) -> Any:
    """Return an annotation as an object.

    One without constraint stays a text where it names what only a type checker imports.
    """
    holder = SimpleNamespace(__annotations__={"it": annotation})
    names = getattr(sys.modules.get(owner.__module__), "__dict__", {})
    try:
        return get_type_hints(holder, names, dict(vars(owner)), include_extras=True)["it"]
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        if "Annotated" not in str(annotation):
            return str(annotation)
        raise MethodError(
            f"{parameter} is annotated as {annotation}, of which not everything can be resolved ({error}); "
            "define or import it at the top of the module, outside 'if TYPE_CHECKING'"
        ) from error
    except ValueError as error:
        raise MethodError(f"{parameter}: {error}") from error


def _distance(method: type, name: str) -> int:
    """Return how far up the class is that first had the parameter: 0 for the method itself."""
    owners = [number for number, base in enumerate(method.__mro__) if name in inspect.get_annotations(base)]
    return max(owners, default=0)


@cache
def _docstrings(owner: type) -> Mapping[str, str]:
    """Return the docstrings under the attributes of a class, by attribute; none where there is no source."""
    try:
        source = inspect.getsource(owner)
    except (OSError, TypeError):
        return {}
    tree = ast.parse(f"if True:\n{source}" if source[0].isspace() else source)
    body = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)).body
    return {
        name: inspect.cleandoc(text).strip()
        for statement, following in pairwise(body)
        for name in _assigned(statement)
        if (text := _text(following)) is not None
    }


def _assigned(statement: ast.stmt) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _text(statement: ast.stmt) -> str | None:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
