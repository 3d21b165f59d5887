"""What tells that a training went wrong: a non-finite loss, or representations that are all alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import MethodError

SMALLEST_SPREAD = 1e-3
LARGEST_COSINE = 0.99


class DivergenceError(MethodError):
    """A term of the objective became NaN or infinite while training."""

    def __init__(self, method: str, term: str, step: int, value: float) -> None:
        super().__init__(method, term, step, value)
        self.term, self.step = term, step

    def __str__(self) -> str:
        method, term, step, value = self.args
        return (
            f"{method}: {term} became {value} at step {step}; lower learning_rate, or the rate that belongs "
            "to that stage, standardise the features by preprocessing, or set gradient_clip where the "
            "method has it"
        )


class CollapseError(MethodError):
    """What networks put out tells training pairs no longer apart."""


@contextmanager
def collapse(what: str) -> Iterator[None]:
    """Make a ``CollapseError`` about ``what`` of a ``MethodError`` about values that networks put out.

    That of a scaling or of a CCA speaks of what the user gave, features and pairs.
    """
    try:
        yield
    except MethodError as error:
        raise CollapseError(f"{what} no longer tell training pairs apart") from error


def check_finite(method: str, term: str, step: int, value: float) -> None:
    """Raise ``DivergenceError`` unless ``value`` is finite."""
    if not math.isfinite(value):
        raise DivergenceError(method, term, step, value)


@dataclass(frozen=True)
class Spread:
    """How far representations lie apart.

    Parameters
    ----------
    deviation : mean over columns of the standard deviation
    cosine : mean cosine between two distinct rows; zero rows have cosine 0 to all

    Examples
    --------
    >>> Spread.of(np.ones((3, 2))).collapsed, Spread.of(np.eye(2)).collapsed
    (True, False)
    """

    deviation: float
    cosine: float

    @classmethod
    def of(cls, rows: NDArray[Any]) -> Spread:
        """Measure representations (n, k) with n of at least 2."""
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        units = rows / np.where(norms == 0.0, 1.0, norms)
        n = len(rows)
        off_diagonal = np.square(units.sum(axis=0)).sum() - np.square(units).sum()
        return cls(float(rows.std(axis=0).mean()), float(off_diagonal / (n * (n - 1))))

    @property
    def collapsed(self) -> bool:
        """Whether all items have practically the same representation."""
        return self.deviation <= SMALLEST_SPREAD or self.cosine >= LARGEST_COSINE
