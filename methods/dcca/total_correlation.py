"""The total correlation of two batches of paired outputs, with its gradient in closed form.

For outputs H1 (m, o1) and H2 (m, o2), centred to A and B::

    S11 = AᵀA/(m-1) + r I,   S22 = BᵀB/(m-1) + r I,   S12 = AᵀB/(m-1),   T = S11^-½ S12 S22^-½

the total correlation is the trace norm of T: the sum of its singular values, which are the canonical
correlations of H1 and H2 with ridge r. It is not the sum of their squares, nor the Frobenius norm.
With T = U D Vᵀ its gradient is (Andrew, Arora, Bilmes, Livescu, ICML 2013)::

    ∂/∂H1 = (B G12ᵀ + 2 A G11) / (m-1),   G12 = S11^-½ U Vᵀ S22^-½,   G11 = -½ S11^-½ U D Uᵀ S11^-½

and alike for H2. Nothing is differentiated through a decomposition, whose derivative is infinite
where eigenvalues coincide, as all of them do when the outputs are white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cmbench.errors import MethodError

SMALLEST_EIGENVALUE = 1e-10  # of a ridged covariance; without a ridge a constant output has 0


@dataclass(frozen=True, eq=False)
class Correlation:
    """What two batches of outputs have in common.

    Parameters
    ----------
    total : 0-d float64, the sum of the canonical correlations, from 0 to the smaller width
    conditions : the condition numbers of S11 and of S22
    """

    total: Tensor
    conditions: tuple[Tensor, Tensor]


def total_correlation(first: Tensor, second: Tensor, *, ridge: float) -> Correlation:
    """Return the total correlation of outputs (m, o1) and (m, o2), to be maximised.

    All is computed in float64, whatever the outputs are: the inverse roots magnify rounding by up to
    the square root of the condition number. NaN or infinity in the outputs gives NaN. With no more
    rows than outputs raises ``MethodError``: without a ridge any such batches correlate fully.

    Examples
    --------
    >>> first = torch.tensor([[1.0], [2.0], [4.0]])
    >>> second = torch.tensor([[0.0], [1.0], [1.0]])
    >>> round(total_correlation(first, second, ridge=0.0).total.item(), 4)  # as Pearson's r
    0.7559
    """
    rows, widest = len(first), max(first.shape[1], second.shape[1])
    if rows != len(second):
        raise MethodError(f"there are {rows} outputs of one view and {len(second)} of the other; give pairs")
    if rows <= widest:
        raise MethodError(
            f"a batch of {rows} pairs cannot tell {widest} outputs apart; lower n_components below {rows}, "
            "or give more pairs"
        )
    total, *conditions = _TraceNorm.apply(first.double(), second.double(), ridge)  # type: ignore[no-untyped-call]
    return Correlation(total, (conditions[0], conditions[1]))


class _TraceNorm(torch.autograd.Function):
    """The trace norm of T, and the condition numbers, which have no gradient."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
        if not (first.isfinite().all() and second.isfinite().all()):
            return _undefined(ctx, first, second)
        degrees = len(first) - 1
        a, b = first - first.mean(dim=0), second - second.mean(dim=0)
        whiten_a, condition_a = _inverse_root(a.T @ a / degrees, ridge)
        whiten_b, condition_b = _inverse_root(b.T @ b / degrees, ridge)
        u, d, vt = torch.linalg.svd(whiten_a @ (a.T @ b / degrees) @ whiten_b, full_matrices=False)
        across = whiten_a @ u @ vt @ whiten_b
        within_a = whiten_a @ (u * d) @ u.T @ whiten_a  # -2 G11
        within_b = whiten_b @ (vt.T * d) @ vt @ whiten_b
        ctx.save_for_backward((b @ across.T - a @ within_a) / degrees, (a @ across - b @ within_b) / degrees)
        ctx.mark_non_differentiable(condition_a, condition_b)
        return d.sum(), condition_a, condition_b

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        to_first, to_second = ctx.saved_tensors
        return slopes[0] * to_first, slopes[0] * to_second, None


def _inverse_root(covariance: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Return (S + ridge I)^-½ and the condition number of S + ridge I, no eigenvalue below the floor."""
    values, vectors = torch.linalg.eigh(covariance)
    values = (values + ridge).clamp(min=SMALLEST_EIGENVALUE)
    return (vectors * values.rsqrt()) @ vectors.T, values[-1] / values[0]


def _undefined(ctx: Any, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    nothing = (first.new_full((), torch.nan) for _ in range(3))
    total, condition_a, condition_b = nothing
    ctx.save_for_backward(torch.full_like(first, torch.nan), torch.full_like(second, torch.nan))
    ctx.mark_non_differentiable(condition_a, condition_b)
    return total, condition_a, condition_b
