"""Two plain baselines of pairs without labels: symmetric InfoNCE, and triplets of the hardest negative."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, relu

from cmbench.datasets.draft import Modality, Split
from cmbench.methods.parameters import Count, Number, SearchSpace, Words
from cmbench.methods.training.descent import decayed
from cmbench.methods.training.device import NetworkMap
from cmbench.methods.training.loop import Finding
from cmbench.methods.training.trained_method import TrainedMethod
from cmbench.methods.views.inputs import Matrix
from cmbench.methods.views.scaling import PREPROCESSING

LARGEST_SCALE = 100.0


class ContrastiveMethod(TrainedMethod):
    """A head for each modality, into a space in which partners are to be nearest by cosine."""

    uses_labels: ClassVar[bool] = False

    head: Annotated[str, Words("linear", "mlp"), SearchSpace("linear", "mlp")] = "mlp"
    """A linear map, or a hidden layer of ReLU with dropout before it."""
    n_components: Annotated[int, Count(1), SearchSpace(128, 256, 1024)] = 256
    """Size of the common space."""
    hidden_width: Annotated[int, Count(1)] = 1024
    """Units of the hidden layer."""
    dropout: Annotated[float, Number(0, 0.99), SearchSpace(0.0, 0.2, 0.5)] = 0.2
    """Share of hidden units left out in training."""

    preprocessing: Annotated[str, Words(*PREPROCESSING), SearchSpace("zscore", "global", "rownorm")] = (
        "global"
    )
    """As for all deep methods; the program of VSE++ expects rows of unit norm, ``"rownorm"``."""

    def networks(self, widths: Mapping[Modality, int], n_classes: int) -> Mapping[str, nn.Module]:
        return {name: self._head(width) for name, width in widths.items()}

    def _head(self, width: int) -> nn.Module:
        if self.head == "linear":
            return nn.Linear(width, self.n_components)
        return nn.Sequential(
            nn.Linear(width, self.hidden_width),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden_width, self.n_components),
        )

    def represent(self, outputs: Matrix) -> Matrix:
        """Return outputs (n, k) of unit length."""
        unit: Matrix = normalize(torch.from_numpy(outputs)).numpy()
        return unit


class InfoNCE(ContrastiveMethod):
    """Symmetric InfoNCE, the loss of CLIP, on features: each image is to find its text in the batch.

    With unit outputs v_i and t_i of the n pairs of a batch, and a scale s that is learned ::

        minimise  ½ [CE(s v tᵀ, identity) + CE(s t vᵀ, identity)].

    Labels are not used, and negatives of the same category are not spared: judged by category, a plain
    baseline of what pairs alone can teach.

    A. van den Oord, Y. Li, O. Vinyals, "Representation learning with contrastive predictive coding",
    arXiv 1807.03748; A. Radford et al., "Learning transferable visual models from natural language
    supervision", ICML 2021.

    Notes
    -----
    Ours, where CLIP trains its encoders: a head on fixed features, a constant learning rate, and early
    stopping on validation. The scale starts at 1 / 0.07 and is at most 100, as in CLIP.

    Examples
    --------
    >>> import numpy as np
    >>> from cmbench.datasets.draft import Split
    >>> rng = np.random.default_rng(0)
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) for d in (6, 4)]
    >>> pairs = Split(*views, labels=np.arange(40) % 2, ids=np.arange(40).astype(str))
    >>> InfoNCE(n_components=8, hidden_width=8, epochs=2).fit(pairs, pairs).transform_images(views[0]).shape
    (40, 8)
    """

    name: ClassVar[str] = "contrastive"
    paper_name: ClassVar[str] = "InfoNCE"
    citation: ClassVar[str] = (
        "A. Radford, J. W. Kim, C. Hallacy, A. Ramesh, G. Goh, S. Agarwal, G. Sastry, A. Askell, P. Mishkin, "
        "J. Clark, G. Krueger, I. Sutskever, Learning transferable visual models from natural language "
        "supervision, ICML 2021"
    )
    version: ClassVar[int] = 2

    batch_size = 256
    learning_rate: Annotated[float | str, Number(0, open_ends=True), SearchSpace(1e-4, 1e-3)] = 1e-3
    """Learning rate of AdamW."""
    weight_decay: Annotated[float | str, Number(0), SearchSpace(1e-4, 1e-2, 1e-1)] = 1e-2
    """Decay of weights by AdamW, not of biases nor of the scale."""
    temperature: Annotated[float, Number(0, open_ends=True)] = 0.07
    """What cosines are divided by at first, at least 0.01; it is learned."""

    def networks(self, widths: Mapping[Modality, int], n_classes: int) -> Mapping[str, nn.Module]:
        self.scale_ = Scale(-math.log(self.temperature))
        return {**super().networks(widths, n_classes), "scale": self.scale_}

    def loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
        return info_nce(images, texts, self.scale_())

    def optimizer_of(self, networks: Sequence[nn.Module]) -> torch.optim.Optimizer:
        groups = decayed(networks, float(self.weight_decay))
        return torch.optim.AdamW(groups, lr=float(self.learning_rate), fused=True)


class Scale(nn.Module):
    """A positive number that is learned by its logarithm, at most 100.

    It is the logarithm that is cut, after an update, as in CLIP: where a bound on the number itself is
    reached, its gradient is 0, and it stays there.
    """

    def __init__(self, logarithm: float) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.tensor([logarithm]))

    def forward(self) -> Tensor:
        with torch.no_grad():
            self.logarithm.clamp_(max=math.log(LARGEST_SCALE))
        return self.logarithm.exp()


def info_nce(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss of n pairs, rows of both (n, k).

    >>> eye = torch.eye(3)
    >>> float(info_nce(eye, eye, torch.tensor(1.0))) - math.log(1 + 2 * math.exp(-1)) < 1e-6
    True
    """
    cosines = scale * normalize(images) @ normalize(texts).T
    partners = torch.arange(len(images), device=cosines.device)
    return (cross_entropy(cosines, partners) + cross_entropy(cosines.T, partners)) / 2


class Triplet(ContrastiveMethod):
    """Triplets of the hardest negative in the batch, the loss of VSE++, on features.

    With cosines S = v tᵀ of the n pairs of a batch and m the margin ::

        minimise  Σ_i [m + max_{j≠i} S_ij - S_ii]_+  +  Σ_j [m + max_{i≠j} S_ij - S_jj]_+.

    Labels are not used. The first ``warm_up`` epochs take all negatives, summed, in place of the hardest,
    from which a network that knows nothing does not get going; their states are not kept. With
    ``negatives="all"`` every epoch takes the sum, which its authors call VSE0.

    F. Faghri, D. Fleet, J. Kiros, S. Fidler, "VSE++: improving visual-semantic embeddings with hard
    negatives", BMVC 2018.

    Notes
    -----
    Ours, where VSE++ trains its encoders: heads on fixed features, by default with a hidden layer and
    dropout, with PyTorch's initial weights and decay of weights (the program has one linear layer with those
    of Xavier, and none); Adam at a constant rate with early stopping on validation in place of 30 epochs, of
    which the second half has a tenth of the rate.

    Examples
    --------
    >>> import numpy as np
    >>> from cmbench.datasets.draft import Split
    >>> rng = np.random.default_rng(0)
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) for d in (6, 4)]
    >>> pairs = Split(*views, labels=np.arange(40) % 2, ids=np.arange(40).astype(str))
    >>> Triplet(n_components=8, hidden_width=8, epochs=2).fit(pairs, pairs).transform_images(views[0]).shape
    (40, 8)
    """

    name: ClassVar[str] = "triplet"
    paper_name: ClassVar[str] = "Triplet"
    citation: ClassVar[str] = (
        "F. Faghri, D. Fleet, J. Kiros, S. Fidler, VSE++: improving visual-semantic embeddings with hard "
        "negatives, BMVC 2018"
    )
    version: ClassVar[int] = 3

    n_components = 1024
    batch_size = 128
    learning_rate: Annotated[float | str, Number(0, open_ends=True), SearchSpace(2e-4, 1e-3)] = 2e-4
    """Learning rate of Adam."""
    margin: Annotated[float, Number(0, open_ends=True), SearchSpace(0.1, 0.2)] = 0.2
    """m, by which the cosine of partners should exceed any other."""
    negatives: Annotated[str, Words("hardest", "all"), SearchSpace("hardest", "all")] = "hardest"
    """Whether the hardest negative of each item counts, or the sum over all."""
    warm_up: Annotated[int, Count(0)] = 2
    """Epochs with all negatives at first, before the hardest."""
    gradient_clip = 2.0
    """Largest norm of the gradient of both networks; a longer one is cut to it. 2 as in the program of VSE++.
    """

    def loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
        return triplet_loss(
            images, texts, self.margin, hardest=self.negatives == "hardest" and not self._warms_up
        )

    def score(
        self, outputs: Mapping[Modality, NetworkMap], train: Split, validation: Split
    ) -> float | Finding:
        found = super().score(outputs, train, validation)
        assert isinstance(found, float)
        return Finding(found, {"validation_map": found}, keep=not self._warms_up)

    @property
    def _warms_up(self) -> bool:
        return self.negatives == "hardest" and self.epoch_number < self.warm_up


def triplet_loss(images: Tensor, texts: Tensor, margin: float, *, hardest: bool) -> Tensor:
    """Return the sum over both directions and n pairs, rows (n, k), of the hinge of their negatives.

    ``hardest`` takes the most similar negative of each item, and otherwise the sum over all of them.

    >>> equal = torch.ones(4, 2)
    >>> round(float(triplet_loss(equal, equal, 0.2, hardest=True)), 4)  # 2 n margin, where all are alike
    1.6
    """
    cosines = normalize(images) @ normalize(texts).T
    partners = torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    total = cosines.new_zeros(())
    for similarities in (cosines, cosines.T):
        costs = relu(margin + similarities - similarities.diagonal()[:, None]).masked_fill(partners, 0.0)
        total = total + (costs.amax(dim=1) if hardest else costs).sum()
    return total
