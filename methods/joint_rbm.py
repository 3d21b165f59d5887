"""One RBM above several groups of visible units, and its hidden units when groups are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from cmbench.errors import MethodError
from cmbench.methods.rbm import RBM

MEAN_FIELD_STEPS = 10  # as in the released programs
Name = TypeVar("Name", bound=str)


def separated(rows: Tensor, widths: Mapping[Name, int]) -> dict[Name, Tensor]:
    """Return the groups of rows (n, sum of widths) by name, which stand side by side in that order.

    >>> separated(torch.tensor([[1.0, 2.0, 3.0]]), {"image": 2, "text": 1})["text"].tolist()
    [[3.0]]
    """
    groups = torch.split(rows, list(widths.values()), dim=1)
    return dict(zip(widths, groups, strict=True))


class JointRBM(RBM):
    """A binary RBM whose visible units are the groups p, q, ... side by side.

    Its energy is ::

        E(p, q, h) = - bᵀp - dᵀq - cᵀh - pᵀUh - qᵀVh

    so that it is trained like any RBM, by ``train_rbm`` on rows of ``joined`` groups. This is the top of
    the multimodal deep belief network of N. Srivastava, R. Salakhutdinov, Multimodal learning with
    deep Boltzmann machines, JMLR 15, 2014. One group alone makes it a plain RBM.

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

        With s the logistic function, a missing group q starts at s(d), its mean without the rest. Then
        ``steps`` times h becomes s(pU + qV + c) and q becomes s(hVᵀ + d), and h of the last q is
        returned. Each of these raises the variational lower bound of log p(p), which is tight where
        V = 0. Without a missing group this is p(h = 1 | v).
        """
        missing = self._missing(present)
        n = len(next(iter(present.values())))
        resting = separated(self.visible_bias.sigmoid().expand(n, -1), self.widths)
        groups = {**resting, **present}
        for _ in range(steps if missing else 0):
            means = separated(self.visible_mean(self(self.joined(groups))), self.widths)
            groups |= {name: means[name] for name in missing}
        hidden: Tensor = self(self.joined(groups))
        return hidden

    def _missing(self, present: Mapping[str, Tensor]) -> list[str]:
        unknown = [name for name in present if name not in self.widths]
        if unknown or not present:
            raise MethodError(
                f"a joint RBM of {', '.join(self.widths)} was given {', '.join(present) or 'nothing'}; "
                "give at least one of its groups and no other"
            )
        return [name for name in self.widths if name not in present]


class GroupCode(nn.Module):
    """The hidden units of a joint RBM given one of its groups, as a network."""

    def __init__(self, joint: JointRBM, group: str, steps: int = MEAN_FIELD_STEPS) -> None:
        super().__init__()
        self.joint, self.group, self.steps = joint, group, steps

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows of the group (n, width) to probabilities (n, hidden)."""
        return self.joint.infer({self.group: rows}, self.steps)
