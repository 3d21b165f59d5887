"""All that is wrong with a dataset, told at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from cmbench.errors import DatasetError

MOST_TOLD = 20


class Problems:
    """A list of problems that ``settle`` raises as one ``DatasetError``; ``what`` begins its message."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._found: list[str] = []

    def add(self, problem: str) -> None:
        """Note a problem: the file, the value and the remedy."""
        self._found.append(problem)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the ``DatasetError`` that ends the block, and go on after it."""
        try:
            yield
        except DatasetError as error:
            self.add(str(error))

    def settle(self) -> None:
        """Raise ``DatasetError`` if there is a problem; the first twenty are told, the rest counted."""
        if not self._found:
            return
        rest = len(self._found) - MOST_TOLD
        told = [*self._found[:MOST_TOLD], *([f"and {rest} more like these"] if rest > 0 else [])]
        raise DatasetError(f"{self.what}: " + "; ".join(told))


class Labelled(Protocol):
    """Something of a category, such as a pair."""

    @property
    def label(self) -> int:
        """The category, from 0."""
        ...


def check_counts(
    pairs: Sequence[Labelled],
    class_names: Sequence[str],
    published: Sequence[int],
    *,
    place: object,
    problems: Problems,
) -> None:
    """Note each category of which ``place`` has not as many pairs as published (one number a category)."""
    counts = Counter(pair.label for pair in pairs)
    for label, (name, expected) in enumerate(zip(class_names, published, strict=True)):
        if counts[label] != expected:
            problems.add(
                f"{place} has {counts[label]} pairs of {name!r} and should have {expected}; "
                "the copy is not complete, get it again"
            )


def check_categories(
    class_names: Sequence[str], count: int | None, *, place: object, problems: Problems
) -> None:
    """Note that ``place`` has not as many categories as published."""
    if len(class_names) != count:
        problems.add(
            f"{place} names {len(class_names)} categories and should name {count}; get the file again"
        )
