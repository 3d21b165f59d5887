"""A stacked autoencoder of two layers with ReLU, trained one layer after the other, for values in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cmbench.methods.networks.layers import half_square, linear
from cmbench.methods.networks.unsupervised import train_autoencoder
from cmbench.methods.training.batches import Budget, RowDraw
from cmbench.methods.training.descent import decayed
from cmbench.methods.training.device import TrainingRows
from cmbench.methods.training.loop import Training
from cmbench.methods.training.stages import Run


class StackedAutoencoder(nn.Module):
    """Two layers with ReLU down to a code, one with ReLU back, and a logistic one to the reconstruction.

    With r(x) = max(0, x) and s the logistic function, a row x has ::

        h = r(xA + a),  code = r(hB + b),  reconstruction s(r(code C + c)D + d)

    and ``shallow`` is its outer half, with the reconstruction s(hD + d).

    Parameters
    ----------
    width, hidden, code : int, sizes of rows, of the layers beside the code, and of the code
    random : of the initial weights
    """

    def __init__(self, width: int, hidden: int, code: int, random: torch.Generator) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            linear(width, hidden, random), nn.ReLU(), linear(hidden, code, random), nn.ReLU()
        )
        self.decoder = nn.Sequential(
            linear(code, hidden, random), nn.ReLU(), linear(hidden, width, random), nn.Sigmoid()
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Return the reconstruction (n, width) of rows (n, width)."""
        reconstruction: Tensor = self.decoder(self.encoder(rows))
        return reconstruction

    def shallow(self) -> nn.Sequential:
        """Return the autoencoder of one hidden layer within this one: the same weights, not a copy."""
        return nn.Sequential(*list(self.encoder)[:2], *list(self.decoder)[2:])


@dataclass(frozen=True)
class StackedTraining:
    """How a stacked autoencoder is trained, by Adam.

    Parameters
    ----------
    budget : of each of its two passes
    learning_rate : float
    shallow_decay, deep_decay : of the weights, in the first and in the second pass, as released with CMDN
    """

    budget: Budget = field(default_factory=Budget)
    learning_rate: float = 3e-4
    shallow_decay: float = 1e-3
    deep_decay: float = 1e-4


def train_stacked_autoencoder(
    network: StackedAutoencoder, rows: TrainingRows, settings: StackedTraining, view: str, run: Run
) -> list[Training[RowDraw]]:
    """Train ``network`` on ``rows`` (n, width) in [0, 1], in place: the outer half first, then the whole.

    Each pass minimises ½‖reconstruction - row‖², summed over units, mean over rows, and raises what
    ``train_autoencoder`` does.
    """
    network.to(rows.place.device)
    return [
        _train_pass(network.shallow(), rows, settings, settings.shallow_decay, f"sae1_{view}", run),
        _train_pass(network, rows, settings, settings.deep_decay, f"sae2_{view}", run),
    ]


def _train_pass(
    network: nn.Module, rows: TrainingRows, settings: StackedTraining, decay: float, stage: str, run: Run
) -> Training[RowDraw]:
    optimizer = torch.optim.Adam(decayed([network], decay), lr=settings.learning_rate, fused=True)

    def loss(given: Tensor, _: torch.Generator) -> Tensor:
        return half_square(network(given), given)

    return train_autoencoder(network, rows, loss, "sae_rate", optimizer, settings.budget, stage, run)
