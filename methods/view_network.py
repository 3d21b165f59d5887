"""Networks of full connections, one for each view, and the maps that trained ones give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn
from torch.func import functional_call

from cmbench.methods.cross_modal_networks import linear
from cmbench.methods.preprocessing import Matrix, Scaling
from cmbench.methods.training_device import Place, TrainingFeatures, blocks_of
from cmbench.methods.view_map import LinearMap

ACTIVATIONS = {"sigmoid": torch.sigmoid, "relu": torch.relu}


@dataclass(frozen=True)
class Shape:
    """What lies between the features of a view and the outputs of its network.

    Parameters
    ----------
    hidden_layers, hidden_width : how many, and the size of each; with none the network is linear
    outputs : size of the last layer, which has no activation
    activation : ``"sigmoid"`` (logistic) or ``"relu"``, of hidden layers
    dropout : share of hidden units that a training step leaves out
    """

    hidden_layers: int
    hidden_width: int
    outputs: int
    activation: str
    dropout: float = 0.0


class ViewNetwork(nn.Module):
    """Maps features (n, inputs) to outputs (n, outputs), each row by itself.

    It has no training mode: hidden units are left out where a call brings the random numbers to draw
    them with, so what it gives otherwise depends on weights alone.

    Examples
    --------
    >>> network = ViewNetwork(3, Shape(1, 4, 2, "relu"), torch.Generator().manual_seed(0))
    >>> [tuple(values.shape) for values in network.parameters()]
    [(4, 3), (4,), (2, 4), (2,)]
    """

    def __init__(self, inputs: int, shape: Shape, random: torch.Generator) -> None:
        super().__init__()
        widths = [inputs, *[shape.hidden_width] * shape.hidden_layers, shape.outputs]
        self.shape = shape
        self.layers = nn.ModuleList(linear(n_in, n_out, random) for n_in, n_out in pairwise(widths))

    def forward(self, rows: Tensor, dropping: torch.Generator | None = None) -> Tensor:
        """Return outputs; with ``dropping``, on the device of ``rows``, of a network thinned by dropout."""
        *hidden, last = self.layers
        for layer in hidden:
            rows = ACTIVATIONS[self.shape.activation](layer(rows))
            if dropping is not None and self.shape.dropout:
                rows = dropped_out(rows, self.shape.dropout, dropping)
        outputs: Tensor = last(rows)
        return outputs


def dropped_out(rows: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Return rows with that share of values 0, and the others raised to keep the expectation."""
    kept = torch.empty_like(rows).bernoulli_(1 - share, generator=random)
    return rows * kept / (1 - share)


def decayed(networks: Sequence[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """Return groups of parameters for an optimiser: weights, which decay, and biases, which do not."""
    parameters = [values for network in networks for values in network.parameters()]
    weights = [values for values in parameters if values.ndim > 1]
    biases = [values for values in parameters if values.ndim == 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]


def training_features(features: NDArray[Any], scaling: Scaling, place: Place) -> TrainingFeatures:
    """Return features (n, d) on their way to the device, which keeps them all if they fit."""
    resident = place.keeps(4 * features.size)
    return TrainingFeatures(features, scaling, place.device, resident=resident)


@dataclass(frozen=True, eq=False)
class NetworkMap:
    """A row of features becomes the outputs of a network.

    Networks train in float32, but are evaluated in float64: what follows may magnify their rounding,
    whitening by the square root of a condition number, and so a row gives the same alone as in a batch.
    """

    network: ViewNetwork
    view: str
    scaling: Scaling

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to (n, outputs), block by block and without a graph."""
        weights = {name: values.detach().double() for name, values in self.network.named_parameters()}
        device = next(iter(weights.values())).device
        with torch.no_grad():
            mapped = [
                functional_call(self.network, weights, rows.to(device).double()).cpu().numpy()
                for rows in blocks_of(features, self.view, self.scaling)
            ]
        return np.concatenate([np.empty((0, self.network.shape.outputs)), *mapped])


@dataclass(frozen=True, eq=False)
class ProjectedMap:
    """A row becomes the outputs of a network, projected linearly."""

    outputs: NetworkMap
    projection: LinearMap

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to (n, k)."""
        return self.projection(self.outputs(features))


@dataclass(frozen=True, eq=False)
class PosteriorMap:
    """A row becomes the probabilities of the classes, whose logits are the outputs of a network."""

    logits: NetworkMap

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to (n, classes)."""
        probabilities: Matrix = softmax(self.logits(features), axis=1)
        return probabilities
