"""The second stage of CCL: two networks, a contrastive term across modalities, classes within each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import skip_init

from cmbench.methods.views.inputs import MODALITIES, Modality


class CommonNetwork(nn.Module):
    """The network of one modality: codes h become g = s(hA + a)B + b, and f = s(g), s the logistic function.

    Classes are read off g by one more full connection. Weights are uniform, as X. Glorot and Y. Bengio have
    it, and biases 0.

    Parameters
    ----------
    width, hidden, embedding, classes : int, sizes of codes, of the layer between, of g, and of logits
    random : of the initial weights
    """

    def __init__(
        self, width: int, hidden: int, embedding: int, classes: int, random: torch.Generator
    ) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            _glorot(width, hidden, random), nn.Sigmoid(), _glorot(hidden, embedding, random)
        )
        self.head = _glorot(embedding, classes, random)

    def forward(self, codes: Tensor) -> Tensor:
        """Return f (n, embedding) in (0, 1) of codes (n, width)."""
        common: Tensor = self.shared(codes).sigmoid()
        return common


def contrastive_loss(images: Tensor, texts: Tensor, classes: Tensor, margin: float = 1.0) -> Tensor:
    """Return the contrastive loss of all n² pairs of an image (n, k) and a text (n, k), 0-d.

    With d_ij the distance of image i and text j, and class i the class of pair i ::

        1/n ( Σ_ij of one class d_ij² + Σ_ij of two classes max(0, margin - d_ij)² )

    The released program reports half of it and follows the gradient of the whole. At distance 0, where a
    distance has no gradient, that of the second sum is 0.
    """
    distances = torch.cdist(images, texts, compute_mode="donot_use_mm_for_euclid_dist")
    same = classes[:, None] == classes
    apart = (margin - distances).clamp(min=0)
    return torch.where(same, distances, apart).square().sum() / len(images)


@dataclass(frozen=True)
class CorrelationObjective:
    """Weights of the terms: contrastive, and classes of each modality; and the margin of the former."""

    w_inter: float = 1.0
    w_intra: float = 1.0
    margin: float = 1.0

    def __call__(
        self, networks: Mapping[Modality, CommonNetwork], codes: Mapping[Modality, Tensor], classes: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch of pairs, 0-d, and its terms without their weights, by name.

        Both tasks read the same g: the contrastive one its logistic function f, the classes g itself.
        """
        shared = {name: networks[name].shared(codes[name]) for name in MODALITIES}
        images, texts = (shared[name].sigmoid() for name in MODALITIES)
        terms = {"inter": contrastive_loss(images, texts, classes, self.margin)}
        for name in MODALITIES:
            terms[f"{name}_intra"] = cross_entropy(networks[name].head(shared[name]), classes)
        intra = terms["image_intra"] + terms["text_intra"]
        return self.w_inter * terms["inter"] + self.w_intra * intra, terms


def _glorot(n_in: int, n_out: int, random: torch.Generator) -> nn.Linear:
    layer: nn.Linear = skip_init(nn.Linear, n_in, n_out)  # type: ignore[no-untyped-call]
    nn.init.xavier_uniform_(layer.weight, generator=random)
    nn.init.zeros_(layer.bias)
    return layer
