"""Group-sparse label regression of two views over a falling sequence of sparsities: LGCFL's solver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cmbench.methods.group_threshold import Groups, stacked
from cmbench.methods.label_regression import LabelRegression, coupled
from cmbench.methods.monotone_fista import GroupPenalty, Quadratic, minimise
from cmbench.methods.views.inputs import Matrix


@dataclass(frozen=True, eq=False)
class GroupedView:
    """The regression of one view and the groups of its features."""

    regression: LabelRegression
    groups: Groups

    @property
    def largest_amounts(self) -> Matrix:
        """The least thresholds (n_groups,), proportional to sqrt(group size), that make W = 0 optimal."""
        roots = np.sqrt(self.groups.sizes)
        per_root = self.groups.norms(self.regression.quadratic.linear) / roots
        return np.asarray(roots * per_root.max())


@dataclass(frozen=True, eq=False)
class GroupSparseSolution:
    """Weights (d, c) of both views for one ``rho``, the objective by iteration, and the groups at zero."""

    rho: float
    image_weights: Matrix
    text_weights: Matrix
    history: tuple[list[float], ...]
    image_zero_share: float
    text_zero_share: float

    @property
    def iterations(self) -> int:
        """Iterations of the solver, the most of any part."""
        return max(map(len, self.history)) - 1


@dataclass(frozen=True, eq=False)
class _Part:
    """What can be solved alone: one view, or both when they are coupled."""

    smooth: Quadratic
    groups: Groups
    largest_amounts: Matrix


def solutions(
    images: GroupedView,
    texts: GroupedView,
    rhos: Sequence[float],
    *,
    beta: float,
    max_iterations: int,
    tolerance: float,
) -> Iterator[GroupSparseSolution]:
    """Yield the solution for each rho (relative to the least that makes a view zero), each from the last."""
    parts = _parts(images, texts, beta)
    steepness = [part.smooth.steepness() for part in parts]
    current = [np.zeros_like(part.smooth.linear) for part in parts]
    n_images = len(images.regression.quadratic.linear)
    for rho in rhos:
        solved = [
            minimise(
                part.smooth,
                GroupPenalty(part.groups, rho * part.largest_amounts),
                start,
                steepness=bound,
                max_iterations=max_iterations,
                tolerance=tolerance,
            )
            for part, start, bound in zip(parts, current, steepness, strict=True)
        ]
        current = [weights for weights, _ in solved]
        both = np.vstack(current)
        image_weights, text_weights = both[:n_images], both[n_images:]
        yield GroupSparseSolution(
            rho,
            image_weights,
            text_weights,
            tuple(history for _, history in solved),
            float(np.mean(images.groups.norms(image_weights) == 0)),
            float(np.mean(texts.groups.norms(text_weights) == 0)),
        )


def _parts(images: GroupedView, texts: GroupedView, beta: float) -> list[_Part]:
    if beta == 0:
        return [
            _Part(view.regression.quadratic, view.groups, view.largest_amounts) for view in (images, texts)
        ]
    smooth = coupled(images.regression, texts.regression, beta)
    amounts = np.concatenate([images.largest_amounts, texts.largest_amounts])
    return [_Part(smooth, stacked(images.groups, texts.groups), amounts)]
