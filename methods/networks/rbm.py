"""Restricted Boltzmann machines: conditional distributions, and contrastive divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from cmbench.errors import MethodError
from cmbench.methods.networks.layers import separated

Units: TypeAlias = Literal["gaussian", "binary"]


class RBM(nn.Module):
    """Binary hidden units h above visible units v that are real or binary.

    The model is p(v, h) = exp(-E(v, h)) / Z with ::

        E(v, h) = ½‖v - b‖² - vᵀWh - cᵀh     "gaussian": v real, of unit variance given h
        E(v, h) =    - bᵀv  - vᵀWh - cᵀh     "binary":   v in {0, 1}, or a probability

    With s the logistic function, p(h = 1 | v) = s(vW + c) follows from it; the mean of v given h is b + hWᵀ
    for real and s(b + hWᵀ) for binary units.

    W starts at N(0, 1 / number of hidden units) and the biases at 0, as in the deepnet program of Srivastava
    and Salakhutdinov. The biases of real visible units are an exception: they start at -½ Σ_j W_ij, so that
    rows reconstructed from hidden units of probability ½ have mean 0, since a short training that starts
    from b = 0 may not get as far as the mean of the rows.

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
        of_half = 0.5 * self.weight.detach().sum(dim=1) if units == "gaussian" else torch.zeros(visible)
        self.visible_bias = nn.Parameter(-of_half)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, visible: Tensor) -> Tensor:
        """Return p(h = 1 | v), (n, hidden), for v (n, visible)."""
        return torch.addmm(self.hidden_bias, visible, self.weight).sigmoid()

    def visible_mean(self, hidden: Tensor) -> Tensor:
        """Return the mean of v given h, (n, visible), for h (n, hidden)."""
        mean = torch.addmm(self.visible_bias, hidden, self.weight.T)
        return mean.sigmoid() if self.units == "binary" else mean

    def reconstruction(self, visible: Tensor) -> Tensor:
        """Return the mean of v given the probabilities of h given v, (n, visible)."""
        return self.visible_mean(self(visible))


@dataclass(frozen=True, eq=False)
class States:
    """Rows of visible units (n, visible) and the probabilities of their hidden units (n, hidden)."""

    visible: Tensor
    hidden: Tensor


@dataclass(frozen=True, eq=False)
class Divergence:
    """Both ends of the Markov chain of contrastive divergence on a batch.

    The gradient of the log-likelihood by W, b and c is approximately the mean of vᵀh, v and h over the data,
    less that over the end of the chain.

    Parameters
    ----------
    data, chain : states at the start of the chain, which are the data, and at its end
    error : 0-d, the mean over rows of ‖v - v'‖², with v' the visible units after the first step
    """

    data: States
    chain: States
    error: Tensor


@torch.no_grad()
def contrastive_divergence(rbm: RBM, visible: Tensor, uniforms: Tensor) -> Divergence:
    """Run as many steps of Gibbs sampling from ``visible`` (n, visible) as ``uniforms`` has rows for.

    In each step hidden units are sampled: h is 1 where a number of ``uniforms`` (steps, n, hidden), uniform
    in [0, 1), lies below its probability. Visible units take their mean given h. Both ends of the chain have
    probabilities of h in place of samples, which have the same mean and less noise.

    G. Hinton, Training products of experts by minimizing contrastive divergence, Neural Computation 14,
    2002. Details as in deepnet and in Hinton's "A practical guide to training restricted Boltzmann
    machines", 2010.
    """
    data = States(visible, rbm(visible))
    probabilities = data.hidden
    means: list[Tensor] = []
    for uniform in uniforms:
        sampled = (uniform < probabilities).to(visible.dtype)
        means.append(rbm.visible_mean(sampled))
        probabilities = rbm(means[-1])
    error = (visible - means[0]).square().sum(dim=1).mean()
    return Divergence(data, States(means[-1], probabilities), error)


MEAN_FIELD_STEPS = 10  # as in the released programs


class JointRBM(RBM):
    """A binary RBM whose visible units are the groups p, q, ... side by side.

    Its energy is ::

        E(p, q, h) = - bᵀp - dᵀq - cᵀh - pᵀUh - qᵀVh

    which is that of an RBM whose visible units are all groups (``joined``); ``train_rbm`` trains it as such.
    It is the top of the multimodal deep belief network of N. Srivastava, R. Salakhutdinov, Multimodal
    learning with deep Boltzmann machines, JMLR 15, 2014. With one group it is a plain RBM.

    Parameters
    ----------
    widths : number of units of each group by its name, in their order
    hidden : int
    random : of the initial weights

    Examples
    --------
    >>> joint = JointRBM({"image": 3, "text": 2}, 4, torch.Generator().manual_seed(0))
    >>> joint.infer({"text": torch.ones(5, 2)}).shape
    torch.Size([5, 4])
    """

    def __init__(self, widths: Mapping[str, int], hidden: int, random: torch.Generator) -> None:
        super().__init__(sum(widths.values()), hidden, "binary", random)
        self.widths = dict(widths)

    def joined(self, groups: Mapping[str, Tensor]) -> Tensor:
        """Return all groups (n, width of the group) side by side, (n, visible)."""
        return torch.cat([groups[name] for name in self.widths], dim=1)

    def infer(self, present: Mapping[str, Tensor], steps: int = MEAN_FIELD_STEPS) -> Tensor:
        """Return probabilities of h (n, hidden) given some of the groups, by mean field.

        A missing group q starts at s(d), its mean if W were 0, with s the logistic function. Then ``steps``
        times it computes ::

            h = s(pU + qV + c),  q = s(hVᵀ + d)

        Each of these raises the variational lower bound of log p(p). The h that follows from the last q is
        returned; without a missing group it is p(h = 1 | v).

        Raises
        ------
        MethodError
            No group is given, or one that the RBM does not have.
        """
        missing = self._missing(present)
        if not missing:
            exact: Tensor = self(self.joined(present))
            return exact
        # What the groups that are given add to h stays the same
        weights = {name: rows.T for name, rows in separated(self.weight.T, self.widths).items()}
        given = self.hidden_bias + sum(rows @ weights[name] for name, rows in present.items())
        # Missing groups, side by side, start at the logistic function of their biases
        biases = separated(self.visible_bias[None], self.widths)
        bias = torch.cat([biases[name] for name in missing], dim=1)
        weight = torch.cat([weights[name] for name in missing])
        groups = bias.sigmoid().expand(len(given), -1)
        # Mean-field updates of h and of the missing groups
        for _ in range(steps):
            hidden = torch.addmm(given, groups, weight).sigmoid()
            groups = torch.addmm(bias, hidden, weight.T).sigmoid()
        return torch.addmm(given, groups, weight).sigmoid()

    def _missing(self, present: Mapping[str, Tensor]) -> list[str]:
        """Return the names of the groups that are not given; raise for one that is not known."""
        unknown = [name for name in present if name not in self.widths]
        if unknown or not present:
            raise MethodError(
                f"a joint RBM of {', '.join(self.widths)} was given {', '.join(present) or 'nothing'}; "
                "give at least one of its groups and no other"
            )
        return [name for name in self.widths if name not in present]


class GroupCode(nn.Module):
    """The network that maps one group of a joint RBM to its hidden units; the other groups are inferred."""

    def __init__(self, joint: JointRBM, group: str) -> None:
        super().__init__()
        self.joint, self.group = joint, group

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows of the group (n, width) to probabilities (n, hidden)."""
        return self.joint.infer({self.group: rows}, MEAN_FIELD_STEPS)
