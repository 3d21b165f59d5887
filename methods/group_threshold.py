"""Groups of features, the group norm over them, and its proximal step: group soft-thresholding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.methods.views.inputs import Matrix


@dataclass(frozen=True, eq=False)
class Groups:
    """A partition of d features into groups.

    Parameters
    ----------
    membership : int (d,), the group of each feature, from 0 without gaps
    sizes : int (n_groups,)

    Examples
    --------
    >>> groups = contiguous_groups(3, block=2)
    >>> groups.norms(np.array([[3.0], [4.0], [1.0]]))
    array([5., 1.])
    >>> groups.shrunk(np.array([[3.0], [4.0], [1.0]]), np.array([2.5, 2.0])).ravel()
    array([1.5, 2. , 0. ])
    """

    membership: NDArray[np.intp]
    sizes: NDArray[np.intp]

    def norms(self, weights: Matrix) -> Matrix:
        """Return the Frobenius norm (n_groups,) of each group of rows of ``weights`` (d, c)."""
        squares = np.einsum("ij,ij->i", weights, weights, dtype=np.float64)
        return np.sqrt(np.bincount(self.membership, squares, minlength=len(self.sizes)))

    def shrunk(self, weights: Matrix, amounts: Matrix) -> Matrix:
        """Return ``weights`` with each group's norm lowered by its amount (n_groups,), to 0 at most.

        This minimises ½‖W - weights‖² + Σ amounts_g ‖W_g‖ over W.
        """
        norms = self.norms(weights)
        kept = np.clip(1 - amounts / np.where(norms > 0, norms, 1), 0, None)
        return weights * kept.astype(weights.dtype)[self.membership][:, None]


def groups_of(membership: NDArray[Any]) -> Groups:
    """Return the partition in which features with the same number in ``membership`` (d,) are a group."""
    _, inverse, sizes = np.unique(membership, return_inverse=True, return_counts=True)
    return Groups(inverse.astype(np.intp), sizes.astype(np.intp))


def contiguous_groups(n_features: int, *, block: int) -> Groups:
    """Return groups of ``block`` neighbouring features; the last may be smaller."""
    return groups_of(np.arange(n_features) // block)


def stacked(first: Groups, second: Groups) -> Groups:
    """Return the partition of the features of two views set one below the other."""
    membership = np.concatenate([first.membership, second.membership + len(first.sizes)])
    return Groups(membership, np.concatenate([first.sizes, second.sizes]))
