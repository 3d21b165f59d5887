"""DSCMR: deep supervised cross-modal retrieval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot, softplus

from cmbench.datasets.draft import Modality
from cmbench.methods.parameters import Count, Number, SearchSpace, Words
from cmbench.methods.training.trained_method import TrainedMethod
from cmbench.methods.views.scaling import PREPROCESSING

LEAST_SQUARE = 1e-12  # added to squared norms, for their root to have a slope at 0


class DSCMR(TrainedMethod):
    """Deep supervised cross-modal retrieval: one classifier of both modalities, and a loss of all pairs.

    With outputs v_i and t_i of the n pairs of a batch, their scores v_i P + b and t_i P + b by a classifier
    that both share, one-hot labels T, S_ij = 1 if i and j have one category and else 0, and Γ_ij(a, b) =
    cos(a_i, b_j) / 2 ::

        J1 = mean_i ‖v_i P + b - T_i‖ + mean_i ‖t_i P + b - T_i‖,
        J2 = Σ over (a, b) = (v, v), (v, t), (t, t) of mean_ij [log(1 + exp Γ_ij) - S_ij Γ_ij],
        J3 = mean_i ‖v_i - t_i‖,
        minimise  J1 + pair_weight J2 + partner_weight J3.

    Each modality has a hidden layer of ReLU of its own; the layer after it, whose output represents the
    item, is shared.

    L. Zhen, P. Hu, X. Wang, D. Peng, "Deep supervised cross-modal retrieval", CVPR 2019.

    Notes
    -----
    The norms are of rows and not squared, as the released program has them; ``norm="frobenius"`` is the
    formula of the paper, the norm of the whole matrix by the number of pairs. The released program keeps
    the epoch that is best on test, and does not shuffle; neither is done here: the state is that of the
    best validation MAP, and batches are drawn anew in each epoch. It takes features as they are, which the
    preset ``released`` does.

    Examples
    --------
    >>> import numpy as np
    >>> from cmbench.datasets.draft import Split
    >>> rng = np.random.default_rng(0)
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) for d in (6, 4)]
    >>> pairs = Split(*views, labels=np.arange(40) % 2, ids=np.arange(40).astype(str))
    >>> method = DSCMR(hidden_width=8, n_components=5, epochs=2).fit(pairs, pairs)
    >>> method.transform_texts(views[1]).shape
    (40, 5)
    """

    name: ClassVar[str] = "dscmr"
    paper_name: ClassVar[str] = "DSCMR"
    citation: ClassVar[str] = (
        "L. Zhen, P. Hu, X. Wang, D. Peng, Deep supervised cross-modal retrieval, CVPR 2019"
    )
    uses_labels: ClassVar[bool] = True
    momenta: ClassVar[tuple[float, float]] = (0.5, 0.999)
    version: ClassVar[int] = 1
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "released": {
            "preprocessing": "none",
            "learning_rate": 1e-4,
            "epochs": 500,
            "patience": 500,
            "pair_weight": 1e-3,
            "partner_weight": 0.1,
        }
    }

    hidden_width: Annotated[int, Count(1)] = 2048
    """Units of the hidden layer of each modality."""
    n_components: Annotated[int, Count(1)] = 1024
    """Outputs of the shared layer, the size of the common space."""
    pair_weight: Annotated[float, Number(0), SearchSpace(1e-3, 1e-1, 1.0)] = 1e-3
    """Weight of J2, by which items of one category draw each other. The released program has 0.001."""
    partner_weight: Annotated[float, Number(0), SearchSpace(0.0, 1e-1)] = 0.1
    """Weight of J3, the distance of partners."""
    norm: Annotated[str, Words("rows", "frobenius")] = "rows"
    """Whether J1 and J3 are means over norms of rows, or norms of matrices by the number of rows."""
    dropout: Annotated[float, Number(0, 0.99), SearchSpace(0.0, 0.5)] = 0.0
    """Share of hidden units left out in training; none in the paper."""
    preprocessing: Annotated[str, Words(*PREPROCESSING), SearchSpace("none", "zscore", "global")] = "global"
    """As for all deep methods; the released program has ``"none"``."""
    batch_size = 100
    epochs: Annotated[int, Count(1), SearchSpace(200, 500)] = 200
    """Passes over the training pairs, at most. The released program has 500. With 200, training ends on
    ``scenes`` while MAP on validation still rises.
    """
    patience = 30
    learning_rate: Annotated[float | str, Number(0, open_ends=True), SearchSpace(1e-4, 3e-4)] = 1e-4
    """Learning rate of Adam, whose momenta are 0.5 and 0.999."""
    weight_decay: Annotated[float | str, Number(0), SearchSpace(0.0, 1e-4, 1e-3)] = 0.0
    """Decay of weights; none in the released program."""

    def networks(self, widths: Mapping[Modality, int], n_classes: int) -> Mapping[str, nn.Module]:
        shared = nn.Linear(self.hidden_width, self.n_components)
        self.classifier_ = nn.Linear(self.n_components, n_classes)
        hidden: dict[str, nn.Module] = {
            name: nn.Sequential(
                nn.Linear(width, self.hidden_width), nn.ReLU(), nn.Dropout(self.dropout), shared
            )
            for name, width in widths.items()
        }
        return {**hidden, "classifier": self.classifier_}

    def loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        targets = one_hot(labels, self.classifier_.out_features).float()
        norm = row_norm if self.norm == "rows" else matrix_norm
        scores = [self.classifier_(outputs) for outputs in (images, texts)]
        return {
            "category": norm(scores[0] - targets) + norm(scores[1] - targets),
            "pairs": self.pair_weight * pair_loss(images, texts, labels),
            "partners": self.partner_weight * norm(images - texts),
        }


def row_norm(rows: Tensor) -> Tensor:
    """Return the mean over rows of their norms, 0-d."""
    return (rows.square().sum(dim=1) + LEAST_SQUARE).sqrt().mean()


def matrix_norm(rows: Tensor) -> Tensor:
    """Return the Frobenius norm by the number of rows, 0-d."""
    return (rows.square().sum() + LEAST_SQUARE).sqrt() / len(rows)


def pair_loss(images: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
    """Return J2 of the outputs (n, k) of n pairs with class numbers (n,).

    >>> import torch
    >>> outputs = torch.eye(2)  # all cosines of different items 0
    >>> labels = torch.tensor([0, 1])
    >>> round(float(pair_loss(outputs, outputs, labels)), 4)  # 3/2 (log(1 + √e) - ½ + log 2)
    1.7508
    """
    same = (labels[:, None] == labels).float()
    total = images.new_zeros(())
    for left, right in ((images, images), (images, texts), (texts, texts)):
        halves = normalize(left) @ normalize(right).T / 2
        total = total + (softplus(halves) - same * halves).mean()
    return total
