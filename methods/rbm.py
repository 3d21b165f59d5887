"""Restricted Boltzmann machines: conditionals, free energy, and contrastive divergence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

Units: TypeAlias = Literal["gaussian", "binary"]


class RBM(nn.Module):
    """Binary hidden units h above visible units v that are real or binary.

    The model is p(v, h) = exp(-E(v, h)) / Z with ::

        E(v, h) = ½‖v - b‖² - vᵀWh - cᵀh     "gaussian": v real, of unit variance given h
        E(v, h) =    - bᵀv  - vᵀWh - cᵀh     "binary":   v in {0, 1}, or a probability

    from which follow p(h = 1 | v) = s(vW + c), and the mean of v given h, which is b + hWᵀ for real
    and s(b + hWᵀ) for binary units, with s the logistic function. W starts at N(0, 1 / number of hidden
    units) and the biases at 0, as in the deepnet program of Srivastava and Salakhutdinov; but those of real
    visible units start where they cancel hidden units of probability ½, since from 0 a short training may
    not get so far as the mean of the rows.

    Parameters
    ----------
    visible, hidden : int, numbers of units
    units : "gaussian" or "binary", of the visible units
    random : of the initial weights

    Notes
    -----
    P. Smolensky, 1986; N. Srivastava, R. Salakhutdinov, Multimodal learning with deep Boltzmann
    machines, JMLR 15, 2014.

    Examples
    --------
    >>> rbm = RBM(4, 3, "binary", torch.Generator().manual_seed(0))
    >>> rbm(torch.zeros(2, 4)).tolist()
    [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """

    def __init__(self, visible: int, hidden: int, units: Units, random: torch.Generator) -> None:
        super().__init__()
        self.units: Units = units
        self.weight = nn.Parameter(torch.randn(visible, hidden, generator=random) / math.sqrt(hidden))
        offset = 0.5 * self.weight.detach().sum(dim=1) if units == "gaussian" else torch.zeros(visible)
        self.visible_bias = nn.Parameter(-offset)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, visible: Tensor) -> Tensor:
        """Return p(h = 1 | v), (n, hidden), for v (n, visible)."""
        return self._hidden_input(visible).sigmoid()

    def visible_mean(self, hidden: Tensor) -> Tensor:
        """Return the mean of v given h, (n, visible), for h (n, hidden)."""
        mean = torch.addmm(self.visible_bias, hidden, self.weight.T)
        return mean.sigmoid() if self.units == "binary" else mean

    def reconstruction(self, visible: Tensor) -> Tensor:
        """Return the mean of v given the probabilities of h given v, (n, visible)."""
        return self.visible_mean(self(visible))

    def free_energy(self, visible: Tensor) -> Tensor:
        """Return F(v) = -log Σ_h exp(-E(v, h)), (n,); p(v) is proportional to exp(-F(v))."""
        hidden = softplus(self._hidden_input(visible)).sum(dim=1)
        if self.units == "binary":
            return -visible @ self.visible_bias - hidden
        return 0.5 * (visible - self.visible_bias).square().sum(dim=1) - hidden

    def _hidden_input(self, visible: Tensor) -> Tensor:
        return torch.addmm(self.hidden_bias, visible, self.weight)


@dataclass(frozen=True, eq=False)
class States:
    """Rows of visible units (n, visible) and the probabilities of their hidden units (n, hidden)."""

    visible: Tensor
    hidden: Tensor


@dataclass(frozen=True, eq=False)
class Divergence:
    """What contrastive divergence finds on a batch.

    The gradient of the log-likelihood is the difference between the means of vᵀh, v and h over the data
    and over the end of the chain.

    Parameters
    ----------
    data, chain : states of the data, and of the data after a few steps of the chain
    error : 0-d, the mean over rows of ‖v - its first reconstruction‖²
    """

    data: States
    chain: States
    error: Tensor


@torch.no_grad()
def contrastive_divergence(rbm: RBM, visible: Tensor, uniforms: Tensor) -> Divergence:
    """Run as many steps of Gibbs sampling from ``visible`` (n, visible) as ``uniforms`` has rows for.

    Hidden units are sampled: h is 1 where a number of ``uniforms`` (steps, n, hidden), uniform in
    [0, 1), lies below its probability. Visible units take their mean. Both ends give probabilities
    of h, not samples: the same mean with less noise.

    G. Hinton, Training products of experts by minimizing contrastive divergence, Neural Computation 14,
    2002. Details as in deepnet and in Hinton's "A practical guide to training restricted Boltzmann
    machines", 2010.
    """
    data = States(visible, rbm(visible))
    probabilities = data.hidden
    means: list[Tensor] = []
    for step in uniforms:
        means.append(rbm.visible_mean((step < probabilities).to(visible.dtype)))
        probabilities = rbm(means[-1])
    error = (visible - means[0]).square().sum(dim=1).mean()
    return Divergence(data, States(means[-1], probabilities), error)
