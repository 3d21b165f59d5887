"""The bimodal autoencoder of CMDN: one code for either modality or both, and its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import skip_init

from cmbench.methods.networks.layers import half_square, logistic_layer, separated
from cmbench.methods.training.batches import Index
from cmbench.methods.training.device import Place, TrainingRows
from cmbench.methods.views.inputs import MODALITIES, Labels, Modality


class BimodalAutoencoder(nn.Module):
    """A code of a pair, from which both of its sides are reconstructed and its class is read off.

    With s the logistic function, a pair of rows p of an image and q of a text has ::

        z = s(pA + qB + b),  reconstructions s(zC + c) of p and s(zD + d) of q,  logits zE + e

    and p alone has the code s(pA + b), as if q were 0. Rows go in side by side, (n, sum of widths).
    Weights start at N(0, 1 / inputs of the layer), biases at 0.

    Parameters
    ----------
    widths : sizes of p and of q, by modality
    code, classes : int, sizes of z and of the logits
    random : gives the random numbers that belong to a purpose
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
        """Return z (n, code) of rows (n, sum of widths), zero where a side is not known."""
        codes: Tensor = self.encoder(rows)
        return codes

    def alone(self, name: Modality) -> nn.Sequential:
        """Return the network that gives codes of rows (n, width) of one modality, a copy of the weights."""
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
    """Pairs (p, q) as an autoencoder learns them that shall know either side from the other.

    Of n pairs row i is (p_i, 0), row n + i is (0, q_i), and row 2n + i is (p_i, q_i); the target is
    always (p_i, q_i), and the class that of pair i.

    Parameters
    ----------
    codes : of n pairs, (n, width of the modality) by modality
    classes : (n,), numbered from 0
    place : the device
    """

    def __init__(self, codes: Mapping[Modality, NDArray[np.float32]], classes: Labels, place: Place) -> None:
        widths = [codes[name].shape[1] for name in MODALITIES]
        self.rows = TrainingRows(np.hstack([codes[name] for name in MODALITIES]), None, place)
        self.classes = torch.from_numpy(classes).to(place.device)
        self.known = torch.zeros(3, sum(widths), device=place.device)
        for row, known in enumerate([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]):
            self.known[row] = torch.tensor(known).repeat_interleave(torch.tensor(widths))

    def __len__(self) -> int:
        return 3 * len(self.rows)

    def batch(self, index: Index) -> TripledBatch:
        """Return those rows, on the device."""
        version, pair = np.divmod(index, len(self.rows))
        targets, device = self.rows.rows(pair), self.classes.device
        known = self.known[torch.from_numpy(version).to(device)]
        return TripledBatch(targets * known, targets, self.classes[torch.from_numpy(pair).to(device)])


def bimodal_loss(
    network: BimodalAutoencoder, batch: TripledBatch, label_weight: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch, 0-d, and its terms without their weights, by name.

    With reconstructions p' and q' from the code of what goes in, and CE of the softmax of the logits ::

        L = ½‖p' - p‖² + ½‖q' - q‖² + label_weight · CE

    where squares are summed over units, and everything is a mean over rows.
    """
    codes = network(batch.inputs)
    made, wanted = (separated(rows, network.widths) for rows in (network.decoder(codes), batch.targets))
    terms = {str(name): half_square(made[name], wanted[name]) for name in MODALITIES}
    reconstruction = terms["image"] + terms["text"]
    terms["class"] = cross_entropy(network.head(codes), batch.classes)
    return reconstruction + label_weight * terms["class"], terms
