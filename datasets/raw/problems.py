"""All that is wrong with a dataset, told at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
