"""Networks of full connections, one for each view, and the maps that trained ones give."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from cmbench.methods.networks.layers import linear
from cmbench.neural import dropped_out

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

    In training mode hidden units are left out at random, by PyTorch's own random numbers.

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

    def forward(self, rows: Tensor) -> Tensor:
        """Return outputs; in training mode, of a network thinned by dropout."""
        *hidden, last = self.layers
        for layer in hidden:
            rows = ACTIVATIONS[self.shape.activation](layer(rows))
            if self.training and self.shape.dropout:
                rows = dropped_out(rows, self.shape.dropout)
        outputs: Tensor = last(rows)
        return outputs
