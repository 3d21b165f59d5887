"""The second stage of CCL: networks that map class codes into the common space, their loss and training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import skip_init

from cmbench.datasets.draft import Modality
from cmbench.methods.training.batches import Index
from cmbench.methods.training.device import DeviceRows, NetworkMap, picked
from cmbench.methods.training.loop import Run, Training, Watched
from cmbench.methods.training.pairs import PairCodes, PairFitting
from cmbench.methods.views.inputs import MODALITIES
from cmbench.methods.views.scaling import Scaling

if TYPE_CHECKING:
    from cmbench.methods.ccl.method import CCLCoarse


class CommonNetwork(nn.Module):
    """The network of one modality: codes h become g = s(hA + a)B + b, and f = s(g), s the logistic function.

    One more full connection maps g to logits of classes. Weights start uniform within ±sqrt(6 / (inputs +
    outputs of the layer)), as X. Glorot and Y. Bengio proposed, and biases at 0.

    Parameters
    ----------
    width, hidden, embedding, classes : int, sizes of codes, of the layer between, of g, and of logits
    random : of the initial weights
    dropout : share of the units of the layer between that are left out in training mode
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        embedding: int,
        classes: int,
        random: torch.Generator,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            _glorot(width, hidden, random),
            nn.Sigmoid(),
            nn.Dropout(dropout),
            _glorot(hidden, embedding, random),
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

    The released program reports half of it and follows the gradient of the whole. At d_ij = 0, where a
    distance has no gradient, the gradient of the second sum is taken as 0.
    """
    distances = torch.cdist(images, texts, compute_mode="donot_use_mm_for_euclid_dist")
    same_class = classes[:, None] == classes
    lacking = (margin - distances).clamp(min=0)  # how far a pair of two classes falls short of the margin
    return torch.where(same_class, distances, lacking).square().sum() / len(images)


def correlation_loss(
    networks: Mapping[Modality, CommonNetwork],
    codes: Mapping[Modality, Tensor],
    classes: Tensor,
    *,
    w_inter: float,
    w_intra: float,
    margin: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of CCL on a batch of pairs, 0-d, and its terms without their weights, by name.

    ::

        w_inter · contrastive loss + w_intra (CE of classes of images + CE of those of texts)

    CE is the cross-entropy of the logits, and ``margin`` that of the contrastive loss. Both tasks share g:
    the contrastive loss is of f = s(g), and the classes are read off g itself.
    """
    g = {name: networks[name].shared(codes[name]) for name in MODALITIES}
    images, texts = (g[name].sigmoid() for name in MODALITIES)
    terms = {"inter": contrastive_loss(images, texts, classes, margin)}
    for name in MODALITIES:
        terms[f"{name}_intra"] = cross_entropy(networks[name].head(g[name]), classes)
    intra = terms["image_intra"] + terms["text_intra"]
    return w_inter * terms["inter"] + w_intra * intra, terms


def _glorot(n_in: int, n_out: int, random: torch.Generator) -> nn.Linear:
    layer: nn.Linear = skip_init(nn.Linear, n_in, n_out)  # type: ignore[no-untyped-call]
    nn.init.xavier_uniform_(layer.weight, generator=random)
    nn.init.zeros_(layer.bias)
    return layer


RELEASED_MOMENTUM = 0.9
RATES = {"adam": 1e-3, "sgd": 1e-4}
DECAYS = {"adam": 0.0, "sgd": 0.004}
"""What a rate or a decay of ``"auto"`` stands for, by optimiser; for SGD it is as released."""


class CommonFitting(PairFitting):
    """The training of both modalities' networks on class codes of pairs.

    Labels of ``train`` and ``validation`` are class numbers; ``scalings`` standardise the codes.
    """

    settings: CCLCoarse

    def __init__(
        self,
        method: CCLCoarse,
        train: PairCodes,
        validation: PairCodes,
        scalings: Mapping[Modality, Scaling],
        run: Run,
    ) -> None:
        self.settings, self.run, self.scalings = method, run, scalings
        self.train, self.validation = train, validation
        self.rows = {name: DeviceRows(train.views[name], scalings[name], run.device) for name in MODALITIES}
        self.classes = torch.from_numpy(train.labels).to(run.device)
        sizes = method.width, method.embedding, int(train.labels.max()) + 1
        self.networks = {
            name: CommonNetwork(rows.width, *sizes, run.stream(f"common {name}"), float(method.dropout)).to(
                run.device
            )
            for name, rows in self.rows.items()
        }
        self.batches = run.order(len(train.labels), method.batch_size, "common pairs")
        decay = method.weight_decay
        decay = DECAYS[method.optimizer] if isinstance(decay, str) else decay
        self.optimizer = self.optimizer_of([*self.networks.values()], decay, RATES)

    def trained(self) -> Training[Index]:
        """Train as a stage of the run, to the state that is best on validation."""
        modules: dict[str, nn.Module] = {str(name): network for name, network in self.networks.items()}
        return self.trained_as("common", modules, modules)

    def update(self, index: Index, norms: bool) -> Watched:
        """Make one step down the gradient of the loss of these pairs; return the loss and its terms."""
        codes = {name: self.rows[name].rows(index) for name in MODALITIES}
        classes, settings = picked(self.classes, index), self.settings
        loss, terms = correlation_loss(
            self.networks,
            codes,
            classes,
            w_inter=settings.w_inter,
            w_intra=settings.w_intra,
            margin=settings.margin,
        )
        return self.descend(loss, terms)

    def code_maps(self) -> dict[Modality, NetworkMap]:
        """Return the maps from class codes to f, as the networks are now."""
        return {
            name: NetworkMap(network, f"{name}s", self.scalings[name])
            for name, network in self.networks.items()
        }

    def released_sgd(self, groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
        """Return SGD of constant rate, with which biases learn twice as fast as weights."""
        groups[1]["lr"] = 2 * rate
        return torch.optim.SGD(groups, lr=rate, momentum=RELEASED_MOMENTUM)
