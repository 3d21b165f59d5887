"""The adversarial losses of CM-GANs, as functions of logits.

A discriminator says D = sigmoid(logit). Its losses are means over the batch, written with softplus
so that no logit over- or underflows: -log D = softplus(-logit), -log(1 - D) = softplus(logit).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor
from torch.nn.functional import softplus

GeneratorForm: TypeAlias = Literal["non-saturating", "saturating", "literal"]
Scale: TypeAlias = Literal["log", "linear"]


@dataclass(frozen=True)
class AdversarialLosses:
    """What discriminators and generators minimise, given logits of any shape.

    Parameters
    ----------
    form : what a generator minimises
        ``"non-saturating"`` -log D, whose slope never vanishes while D sees through the generator;
        ``"saturating"`` log(1 - D), what equations 2 to 4 imply; ``"literal"`` +log D, the sign as
        printed in equations 9 and 10 with the descent of Algorithm 1, which works against itself.
    scale : ``"log"``, or ``"linear"`` with D for log D and -D for log(1 - D), as equations 3 and 4 print
    fake_weight : of each of the two fakes of an inter-modality discriminator

    Examples
    --------
    >>> import torch
    >>> round(AdversarialLosses().intra(torch.zeros(4), torch.zeros(4)).item(), 4)  # 2 log 2
    1.3863
    """

    form: GeneratorForm = "non-saturating"
    scale: Scale = "log"
    fake_weight: float = 0.5

    def real(self, logits: Tensor) -> Tensor:
        """Return the loss of judging ``logits`` against 1: -log D."""
        return softplus(-logits).mean() if self.scale == "log" else -logits.sigmoid().mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return the loss of judging ``logits`` against 0: -log(1 - D)."""
        return softplus(logits).mean() if self.scale == "log" else logits.sigmoid().mean()

    def intra(self, original: Tensor, reconstructed: Tensor) -> Tensor:
        """Return the loss of an intra-modality discriminator, the negative of equation 5 or 6."""
        return self.real(original) + self.fake(reconstructed)

    def inter(self, matched: Tensor, crossed: Tensor, mismatched: Tensor) -> Tensor:
        """Return the loss of an inter-modality discriminator, the negative of equation 7 or 8."""
        return self.real(matched) + self.fake_weight * (self.fake(crossed) + self.fake(mismatched))

    def generator(self, logits: Tensor) -> Tensor:
        """Return an adversarial term of equation 9 or 10, to be minimised by the generator."""
        if self.form == "non-saturating":
            return self.real(logits)
        return -self.fake(logits) if self.form == "saturating" else -self.real(logits)


def share_right(real: Tensor, *fakes: Tensor) -> Tensor:
    """Return the accuracy at D = 1/2, with the real and the fake side counting one half each.

    >>> import torch
    >>> share_right(torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -2.0])).item()
    0.75
    """
    right = [(logits.detach() < 0).float().mean() for logits in fakes]
    return ((real.detach() > 0).float().mean() + sum(right) / len(right)) / 2
