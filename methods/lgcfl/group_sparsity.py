"""Monotone FISTA for a quadratic plus a group norm.

Minimises J(W) = ½⟨W, HW⟩ - ⟨B, W⟩ + constant + Σ_g amounts_g ‖W_g‖_F.

A. Beck and M. Teboulle, "Fast gradient-based algorithms for constrained total variation image
denoising and deblurring problems", IEEE TIP 18, 2009, with the function restart of B. O'Donoghue and
E. Candès, "Adaptive restart for accelerated gradient schemes", Foundations of Computational
Mathematics 15, 2015: without them the monotone iteration can stand still for longer than the
stopping rule waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvalsh
from scipy.sparse.linalg import LinearOperator, eigsh

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


WINDOW = 10  # iterations over which the decrease is judged
SMALL = 64  # features up to which an eigenvalue is taken from the dense matrix
SAFETY = 1.001  # the largest eigenvalue is approached from below


@dataclass(frozen=True, eq=False)
class Quadratic:
    """½⟨W, HW⟩ - ⟨B, W⟩ + constant, with H given by its product with a matrix.

    Parameters
    ----------
    product : W (d, c) to HW (d, c)
    linear : B (d, c)
    constant : the value at W = 0
    """

    product: Callable[[Matrix], Matrix]
    linear: Matrix
    constant: float

    def value(self, weights: Matrix, product: Matrix) -> float:
        """Return the value at ``weights``, given ``product`` = HW."""
        return 0.5 * _inner(weights, product) - _inner(self.linear, weights) + self.constant

    def steepness(self) -> float:
        """Return an upper bound, tight to 0.1 %, of the largest eigenvalue of H."""
        width = len(self.linear)
        if width <= SMALL:
            return SAFETY * float(eigvalsh(self.product(np.eye(width)))[-1])
        operator = LinearOperator((width, width), matvec=self._matvec, dtype=np.float64)
        start = np.random.default_rng(0).normal(size=width)
        largest = eigsh(operator, k=1, v0=start, tol=1e-4, return_eigenvectors=False)
        return SAFETY * float(largest[0])

    def _matvec(self, vector: Matrix) -> Matrix:
        column = vector.reshape(-1, 1).astype(self.linear.dtype)
        return self.product(column).ravel().astype(np.float64)


@dataclass(frozen=True, eq=False)
class GroupPenalty:
    """Σ_g amounts_g ‖W_g‖_F."""

    groups: Groups
    amounts: Matrix

    def value(self, weights: Matrix) -> float:
        return float(self.amounts @ self.groups.norms(weights))


def minimise(
    smooth: Quadratic,
    penalty: GroupPenalty,
    start: Matrix,
    *,
    steepness: float,
    max_iterations: int,
    tolerance: float,
) -> tuple[Matrix, list[float]]:
    """Return the minimiser (d, c) and J at the start and after each iteration; J never rises.

    A proximal step that would raise J is not taken, and the momentum starts anew from the best
    point. Stops when J has fallen by less than ``tolerance`` times its value over ten iterations.
    An iteration takes one product with H: those of the extrapolated points are combinations of
    earlier ones.
    """
    best, best_product = start, smooth.product(start)
    point, point_product, momentum = best, best_product, 1.0
    history = [smooth.value(best, best_product) + penalty.value(best)]
    for _ in range(max_iterations):
        # The proximal step: down the gradient HW - B of the quadratic, then what the penalty makes of it.
        step = point - (point_product - smooth.linear) / steepness
        tried = penalty.groups.shrunk(step, penalty.amounts / steepness)
        tried_product = smooth.product(tried)
        value = smooth.value(tried, tried_product) + penalty.value(tried)
        if value > history[-1]:  # the restart of O'Donoghue and Candès
            if point is best:
                break  # a plain proximal step cannot raise J but for rounding
            history.append(history[-1])
            point, point_product, momentum = best, best_product, 1.0
            continue
        history.append(value)
        # Nesterov's momentum, Beck and Teboulle's t: the next step starts ahead of the new best point.
        before, momentum = momentum, (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = (before - 1) / momentum
        point = tried + ahead * (tried - best)
        point_product = tried_product + ahead * (tried_product - best_product)
        best, best_product = tried, tried_product
        if len(history) > WINDOW and history[-1 - WINDOW] - history[-1] < tolerance * abs(history[-1]):
            break
    return best, history


def _inner(left: Matrix, right: Matrix) -> float:
    """Return Σ left · right, summed in float64."""
    return float(np.vdot(left.astype(np.float64, copy=False), right.astype(np.float64, copy=False)))
