"""Training curves: scalars averaged between two looks at the validation pairs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmbench.errors import MethodError

SMALLEST_SPREAD = 1e-3  # mean standard deviation at or below which representations count as all alike
LARGEST_COSINE = 0.99  # and the mean cosine at or above which they do


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
    """The outputs of networks no longer tell training pairs apart."""


@contextmanager
def collapse(what: str) -> Iterator[None]:
    """Turn a ``MethodError`` about the outputs of networks into a ``CollapseError`` about ``what``.

    The message of a scaling or a CCA is about features and pairs, which the user gave; here the networks are
    at fault.
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
        # |sum of unit rows|² is the sum of the cosines of all pairs; take off those of a row with itself
        n = len(rows)
        off_diagonal = np.square(units.sum(axis=0)).sum() - np.square(units).sum()
        return cls(float(rows.std(axis=0).mean()), float(off_diagonal / (n * (n - 1))))

    @property
    def collapsed(self) -> bool:
        """Whether all items have practically the same representation."""
        return self.deviation <= SMALLEST_SPREAD or self.cosine >= LARGEST_COSINE


Curves: TypeAlias = dict[str, NDArray[np.float64]]


class CurveRecorder:
    """Collects scalars step by step and turns them into one point of each curve at a time.

    Scalars stay on the device until they are flushed, so that a GPU is not waited for at every
    step. ``flush`` checks all of them: the first that is not finite raises ``DivergenceError``
    with its name and step.

    Examples
    --------
    >>> recorder = CurveRecorder("toy")
    >>> recorder.add(1, [("loss", torch.tensor(2.0))])
    >>> recorder.add(2, [("loss", torch.tensor(1.0))])
    >>> recorder.point(2, recorder.flush() | {"validation_map": 0.5})
    >>> {name: values.tolist() for name, values in recorder.curves().items()}
    {'iteration': [2.0], 'loss': [1.5], 'validation_map': [0.5]}
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self._waiting: list[tuple[int, str, Tensor]] = []
        self.points: list[dict[str, float]] = []

    def add(self, step: int, watched: list[tuple[str, Tensor]]) -> None:
        """Take the 0-d tensors of one step, by name, in the order they came about."""
        self._waiting += [(step, name, value) for name, value in watched]

    def state(self) -> dict[str, Any]:
        """Return all that was collected, as plain numbers, for a checkpoint."""
        waiting = [(step, name, float(value)) for step, name, value in self._waiting]
        return {"points": self.points, "waiting": waiting}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        self.points = state["points"]
        self._waiting = [(step, name, torch.tensor(value)) for step, name, value in state["waiting"]]

    def flush(self) -> dict[str, float]:
        """Return the mean of each scalar since the last call; all must be finite."""
        if not self._waiting:
            return {}
        values = torch.stack([value.float().cpu() for _, _, value in self._waiting]).tolist()
        by_name = defaultdict(list)
        for (step, name, _), value in zip(self._waiting, values, strict=True):
            check_finite(self._method, name, step, value)
            by_name[name].append(value)
        self._waiting = []
        return {name: float(np.mean(points)) for name, points in by_name.items()}

    def point(self, iteration: int, values: Mapping[str, float]) -> None:
        """Make a point at ``iteration`` of each curve in ``values``."""
        self.points.append({"iteration": float(iteration), **values})

    def curves(self) -> Curves:
        """Return every curve (points,); a scalar that was not measured at a point is NaN there."""
        return curves_of(self.points)


def in_parallel(recorders: Sequence[CurveRecorder]) -> Curves:
    """Return the curves of several trainings on one axis of iterations; names of curves must differ.

    A training without a point at an iteration, since it had ended before for one, has NaN there.
    """
    joined: dict[float, dict[str, float]] = {}
    for point in (point for recorder in recorders for point in recorder.points):
        joined.setdefault(point["iteration"], {}).update(point)
    return curves_of([joined[iteration] for iteration in sorted(joined)])


def curves_of(points: Sequence[Mapping[str, float]]) -> Curves:
    """Return the curves through points, each of them (points,); what a point lacks is NaN there."""
    names = dict.fromkeys(name for point in points for name in point)
    return {name: np.array([point.get(name, np.nan) for point in points]) for name in names}


def gradient_norm(parameters: list[Tensor]) -> Tensor:
    """Return the 2-norm of all gradients together; 0 where nothing is trained."""
    norms = [values.grad.norm() for values in parameters if values.grad is not None]
    return torch.stack(norms).norm() if norms else torch.zeros(())
