"""Which values a parameter of a method may take, as data, and the check of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol, TypeAlias

from cmbench.errors import MethodError


class Constraint(Protocol):
    """Anything that says whether it accepts a value; as text it reads as the remedy."""

    def accepts(self, value: Any) -> bool: ...


Constraints: TypeAlias = Mapping[str, Constraint]


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
        return " or ".join(repr(allowed) for allowed in self.values)


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
        range_ = f"{self.low} or more" if self.high == math.inf else f"between {self.low} and {self.high}"
        text = f"a number {range_}" + (", both excluded" if self.open_ends else "")
        return " or ".join([text, *map(repr, self.words)])


@dataclass(frozen=True)
class Count:
    """A whole number of at least ``low``, or one of a few ``words``, or None where ``optional``.

    >>> Count(1).accepts(0), Count(1, words=("all",)).accepts("all")
    (False, True)
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
        return " or ".join([f"a whole number, {self.low} or more", *others])


@dataclass(frozen=True)
class AnyFolder:
    """A path, or None."""

    def accepts(self, value: Any) -> bool:
        return value is None or isinstance(value, str) or hasattr(value, "__fspath__")

    def __str__(self) -> str:
        return "the path of a folder or None"


def check_parameters(method: Any, constraints: Constraints) -> None:
    """Raise ``MethodError`` for the first parameter of ``method`` outside its constraint."""
    for name, constraint in constraints.items():
        value = getattr(method, name)
        if not constraint.accepts(value):
            raise MethodError(f"{method.name}: {name} is {value!r}; use {constraint}")
