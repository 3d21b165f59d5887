"""The bimodal autoencoder of CMDN: one code for either modality or both, and its loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import skip_init

from cmbench.datasets.draft import Labels, Modality
from cmbench.methods.networks.layers import half_square, logistic_layer, separated
from cmbench.methods.training.batches import Index
from cmbench.methods.training.device import DeviceRows, NetworkMap, picked, unscaled
from cmbench.methods.training.loop import Run, Training, Watched
from cmbench.methods.training.pairs import PairCodes, PairFitting
from cmbench.methods.views.inputs import MODALITIES
from cmbench.methods.views.maps import Chain
from cmbench.methods.views.scaling import Scaling
from cmbench.neural import dropped_out

if TYPE_CHECKING:
    from cmbench.methods.cmdn.method import CMDN


class BimodalAutoencoder(nn.Module):
    """A code of a pair, from which both of its sides are reconstructed and its class is read off.

    With s the logistic function, a row p of an image and a row q of its text have ::

        z = s(pA + qB + b)                              the code
        p' = s(zC + c),  q' = s(zD + d)                 reconstructions
        zE + e                                          logits of classes

    The code of p alone is s(pA + b), as if q were 0. The network takes both rows side by side,
    (n, sum of widths). Weights start at N(0, 1 / inputs of the layer), biases at 0.

    Parameters
    ----------
    widths : sizes of p and of q, by modality
    code, classes : int, sizes of z and of the logits
    random : returns the random numbers for a purpose, here for the initial weights of a layer
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        code: int,
        classes: int,
        random: Callable[[str], torch.Generator],
    ) -> None:
        super().__init__()
        self.widths = {name: widths[name] for name in MODALITIES}
        both = sum(self.widths.values())
        self.encoder = logistic_layer(both, code, random("encoder"))
        self.decoder = logistic_layer(code, both, random("decoder"))
        self.head = logistic_layer(code, classes, random("head"))[0]

    def forward(self, rows: Tensor) -> Tensor:
        """Return z (n, code) of rows (n, sum of widths), which are 0 where one side is left out."""
        codes: Tensor = self.encoder(rows)
        return codes

    def alone(self, name: Modality) -> nn.Sequential:
        """Return a network from rows (n, width) of one modality alone to their codes, with copied weights."""
        weight, bias = self.encoder.parameters()
        layer: nn.Linear = skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, self.widths[name], len(bias), device=bias.device
        )
        with torch.no_grad():
            layer.weight.copy_(separated(weight, self.widths)[name])
            layer.bias.copy_(bias)
        return nn.Sequential(layer, nn.Sigmoid())


@dataclass(frozen=True, eq=False)
class TripledBatch:
    """Rows that go in and those to be reconstructed (m, sum of widths), and the classes (m,)."""

    inputs: Tensor
    targets: Tensor
    classes: Tensor


class TripledPairs:
    """Three rows for each pair (p, q), from which an autoencoder learns to infer one side from the other.

    Of n pairs row i is (p_i, 0), row n + i is (0, q_i), and row 2n + i is (p_i, q_i). The target of all three
    is (p_i, q_i), and their class that of pair i.

    Parameters
    ----------
    codes : of n pairs, (n, width of the modality) by modality
    classes : (n,), numbered from 0
    device : where rows are wanted
    """

    def __init__(
        self, codes: Mapping[Modality, NDArray[np.float32]], classes: Labels, device: torch.device
    ) -> None:
        widths = [codes[name].shape[1] for name in MODALITIES]
        self.rows = DeviceRows(np.hstack([codes[name] for name in MODALITIES]), None, device)
        self.classes = torch.from_numpy(classes).to(device)
        # For each of the three versions a mask (sum of widths,): 1 in the columns of the sides that are shown
        self.masks = torch.zeros(3, sum(widths), device=device)
        for version, shown in enumerate([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]):
            self.masks[version] = torch.tensor(shown).repeat_interleave(torch.tensor(widths))

    def __len__(self) -> int:
        return 3 * len(self.rows)

    def batch(self, index: Index) -> TripledBatch:
        """Return the rows of those numbers, from 0 to 3n - 1, on the device."""
        version, pair = np.divmod(index, len(self.rows))
        targets = self.rows.rows(pair)
        inputs = targets * picked(self.masks, version)
        return TripledBatch(inputs, targets, picked(self.classes, pair))


def bimodal_loss(
    network: BimodalAutoencoder, batch: TripledBatch, label_weight: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch, 0-d, and its terms without their weights, by name.

    With the reconstructions p' and q' of the targets p and q, and the cross-entropy CE of the logits ::

        L = ½‖p' - p‖² + ½‖q' - q‖² + label_weight · CE

    as a mean over rows.
    """
    codes = network(batch.inputs)
    reconstructions, targets = (
        separated(rows, network.widths) for rows in (network.decoder(codes), batch.targets)
    )
    terms = {str(name): half_square(reconstructions[name], targets[name]) for name in MODALITIES}
    reconstruction = terms["image"] + terms["text"]
    terms["class"] = cross_entropy(network.head(codes), batch.classes)
    return reconstruction + label_weight * terms["class"], terms


RATES = {"adam": 3e-3, "sgd": 0.05}
"""What a learning rate of "auto" stands for, by optimiser; for SGD it is as released."""


def code_size(first_level: int, number: int) -> int:
    """Return the size of the code of a level, counted from 1; each is half of the one before.

    >>> [code_size(512, number) for number in (1, 2, 3, 4)]
    [512, 256, 128, 64]
    """
    return max(1, first_level >> (number - 1))


class BimodalFitting(PairFitting):
    """The training of one level of the stack on the codes of the level below.

    ``number`` of the level counts from 1. Codes are in [0, 1], and labels are class numbers.
    """

    settings: CMDN

    def __init__(
        self,
        number: int,
        method: CMDN,
        train: PairCodes,
        validation: PairCodes,
        run: Run,
    ) -> None:
        self.number, self.settings, self.run = number, method, run.part(f"level{number}")
        self.label_weight = method.label_weight
        self.train, self.validation = train, validation
        self.pairs = TripledPairs(train.views, train.labels, run.device)
        widths = {name: train.views[name].shape[1] for name in MODALITIES}
        sizes = code_size(method.first_level, number), int(train.labels.max()) + 1
        self.network = BimodalAutoencoder(widths, *sizes, self.run.stream)
        self.network.to(run.device)
        self.batches = self.run.order(len(self.pairs), method.batch_size, "rows")
        self.optimizer = self.optimizer_of([self.network], float(method.weight_decay), RATES)

    def trained(self) -> Training[Index]:
        """Train as a stage of the run, to the state that is best on validation."""
        modules = {"network": self.network}
        return self.trained_as("autoencoder", modules, modules)

    def update(self, index: Index, norms: bool) -> Watched:
        """Make one step down the gradient of the loss of these rows; return the loss and its terms."""
        batch = self.pairs.batch(index)
        if self.settings.dropout:
            batch = replace(batch, inputs=dropped_out(batch.inputs, self.settings.dropout))
        return self.descend(*bimodal_loss(self.network, batch, self.label_weight))

    def code_maps(self) -> dict[Modality, NetworkMap]:
        """Return the maps from codes of the level below to codes of one side alone, as the network is now."""
        return {
            name: NetworkMap(self.network.alone(name), f"{name}s", unscaled(width))
            for name, width in self.network.widths.items()
        }


@dataclass(frozen=True, eq=False)
class Level:
    """One level of the stack, trained.

    Parameters
    ----------
    number : counted from 1
    maps : from codes of the level below to representations; the first step of each gives the code of this
        level, and the second converts it to float64, or standardises it
    training : how it went
    code_deviation : mean standard deviation of the units of its codes over validation items
    """

    number: int
    maps: Mapping[Modality, Chain]
    training: Training[Index]
    code_deviation: float

    @classmethod
    def of(cls, fitting: BimodalFitting) -> Level:
        """Train the level that ``fitting`` is about."""
        training = fitting.trained()
        return cls(fitting.number, fitting.maps(), training, fitting.code_deviation())

    @property
    def score(self) -> tuple[float, ...]:
        """The best MAP on validation; minus infinity without validation."""
        return self.training.best.score

    def codes(self, pairs: PairCodes) -> PairCodes:
        """Return the codes of each side alone, not standardised: what the level above learns from."""
        encoders = {name: representation.steps[0] for name, representation in self.maps.items()}
        return PairCodes({name: encoders[name](pairs.views[name]) for name in MODALITIES}, pairs.labels)

    def __str__(self) -> str:
        measured = f" {self.score[0]:.4f}" if math.isfinite(self.score[0]) else ""
        return f"{self.number}{measured}"


def train_levels(
    n_levels: int, method: CMDN, train: PairCodes, validation: PairCodes, run: Run
) -> list[Level]:
    """Train ``n_levels`` levels from the lowest up, each on the codes of the one below in its best state."""
    levels: list[Level] = []
    for number in range(1, n_levels + 1):
        levels.append(Level.of(BimodalFitting(number, method, train, validation, run)))
        train, validation = levels[-1].codes(train), levels[-1].codes(validation)
    return levels


def stacked(levels: Sequence[Level], name: Modality, scaling: Scaling) -> Chain:
    """Return the map from class codes, which ``scaling`` brings into [0, 1], to representations.

    The encoders of all levels become one network; only the last level's codes are standardised.
    """
    encoders = [step for level in levels for step in level.maps[name].steps if isinstance(step, NetworkMap)]
    network = nn.Sequential(*(layer for encoder in encoders for layer in encoder.network.children()))
    _, standardise = levels[-1].maps[name].steps
    return Chain(NetworkMap(network, f"{name}s", scaling), standardise)
