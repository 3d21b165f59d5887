"""The linear systems of iteratively re-weighted least squares, which solve regressions with sparse rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cmbench.methods.views.inputs import Matrix


def reweighted(
    matrix: Matrix, stiffness: Matrix, target: Matrix, solve: Callable[[Matrix, Matrix], Matrix]
) -> Matrix:
    """Return (diag(stiffness) + matrix)⁻¹ target, for ``stiffness`` (d,) above 0 and ``target`` (d, c).

    The stiffness of a row on its way to zero grows without bound. The system is therefore scaled to
    I + S^(-1/2) matrix S^(-1/2) with S = diag(stiffness), which such rows leave well conditioned. ``solve``
    takes that and the scaled target, both of which it may overwrite, and returns the solution.

    >>> reweighted(np.eye(2), np.array([1.0, 1e300]), np.ones((2, 1)), np.linalg.solve).ravel()
    array([5.e-001, 1.e-300])
    """
    scale = 1 / np.sqrt(stiffness)
    system = scale[:, None] * matrix
    system *= scale
    system[np.diag_indices_from(system)] += 1.0
    return scale[:, None] * solve(system, scale[:, None] * target)
