"""What makes the result of a cell doubtful, as far as its numbers and the curves of its training show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmbench.evaluation.measures import MAP
from cmbench.evaluation.protocol import BIMODAL_TASKS, task_text

if TYPE_CHECKING:
    from cmbench.evaluation.evaluator import Evaluation

Curves = Mapping[str, NDArray[np.float64]]

SMALLEST_RISE = 0.005
"""By which the validation curve of a training that was cut short rises in its last fifth."""
FEWEST_POINTS = 5
"""Of a curve that is judged."""
_TIED = 1e-9
_VALIDATION = "curve_validation_"
_FALLING = ("loss", "error")  # of curves that are better the lower they are


def doubts(evaluation: Evaluation, curves: Curves, fitted: Mapping[str, Any]) -> list[str]:
    """Return what to doubt, a sentence without a full stop each.

    A training that went on after the iteration whose state it kept, which ``fitted`` says as
    ``best_iteration_``, stopped by itself, whatever another curve does.
    """
    best = fitted.get("best_iteration_")
    kept = best if isinstance(best, int | float) else np.inf  # anything, of a plugin
    return [*_at_chance(evaluation), *_of_training(curves, kept)]


def _at_chance(evaluation: Evaluation) -> Iterator[str]:
    """Yield the tasks that are no better than a random ranking.

    A ranking of ties has exactly the MAP of chance, because ties count in expectation over their orders.
    Other rankings are at chance if their MAP is within two standard errors of it, or below.
    """
    for task in BIMODAL_TASKS:
        if task not in evaluation.map:
            continue
        words = task_text(task)
        reached, chance = evaluation.map[task], evaluation.chance[MAP.name][task]
        if abs(reached - chance) < _TIED:
            yield f"{words} ranks all items alike, as if those of one side had one representation"
        elif reached - chance < 2 * evaluation.standard_error[task]:
            yield f"{words} is no better than chance (MAP {reached:.3f}, of a random ranking {chance:.3f})"


def _of_training(curves: Curves, kept: float) -> Iterator[str]:
    """Yield what the curves over the validation pairs say against the training."""
    steps = curves.get("curve_iteration")
    for name, values in curves.items():
        known = ~np.isnan(values)
        if steps is None or not name.startswith(_VALIDATION) or known.sum() < FEWEST_POINTS:
            continue
        measure = name.removeprefix(_VALIDATION).replace("_", " ")
        falls = any(word in measure for word in _FALLING)
        if np.ptp(values[known]) < _TIED:
            yield f"validation {measure} was the same throughout the training, and chose nothing"
        elif kept >= steps[known][-1] and (rise := _last_rise(-values[known] if falls else values[known])):
            went = f"{'fell' if falls else 'rose'} (by {rise:.3f} in its last fifth"
            yield (
                f"training was cut short while validation {measure} still {went}, which ended at iteration "
                f"{steps[known][-1]:.0f}); give it more iterations"
            )


def _last_rise(values: NDArray[Any]) -> float:
    """Return by how much the last fifth of a curve is better than what was before, if it ends at its best.

    0 for one that had its best before the end, as every training that stops by itself has.
    """
    start = len(values) - max(1, len(values) // 5)
    rise = float(values[start:].max() - values[:start].max())
    return rise if values.argmax() == len(values) - 1 and rise >= SMALLEST_RISE else 0.0
