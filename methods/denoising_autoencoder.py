"""A denoising autoencoder of two hidden layers, trained at once: a substitute for two stacked RBMs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cmbench.methods.autoencoder_training import train_autoencoder
from cmbench.methods.budgeted_training import Run
from cmbench.methods.correspondence_autoencoder import half_square
from cmbench.methods.cross_modal_networks import linear
from cmbench.methods.rbm_training import ROWS_OF_A_JUDGEMENT, check_activations
from cmbench.methods.training_loop import Training
from cmbench.methods.training_rows import Budget, RowDraw, TrainingRows


class DenoisingAutoencoder(nn.Module):
    """Two logistic layers down to a code, and two layers back, the last of them linear.

    P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, Extracting and composing robust features with
    denoising autoencoders, ICML 2008. There layers are trained one at a time; here both at once.

    Parameters
    ----------
    width, hidden, code : int, sizes of the input, of the layers beside the code, and of the code
    random : of the initial weights
    """

    def __init__(self, width: int, hidden: int, code: int, random: torch.Generator) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            linear(width, hidden, random), nn.Sigmoid(), linear(hidden, code, random), nn.Sigmoid()
        )
        self.decoder = nn.Sequential(
            linear(code, hidden, random), nn.Sigmoid(), linear(hidden, width, random)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Return the reconstruction (n, width) of rows (n, width)."""
        reconstruction: Tensor = self.decoder(self.encoder(rows))
        return reconstruction


def denoising_loss(network: nn.Module, rows: Tensor, kept: Tensor) -> Tensor:
    """Return ½‖network(rows * kept) - rows‖², summed over units, mean over rows.

    ``kept`` (n, d) is 1 for a value that goes in, and 0 for one that is masked.
    """
    return half_square(network(rows * kept), rows)


@dataclass(frozen=True)
class DenoisingTraining:
    """How a denoising autoencoder is trained, by Adam.

    Parameters
    ----------
    corruption : float, the share of values that are masked
    budget : Budget
    learning_rate : float
    """

    corruption: float = 0.2
    budget: Budget = field(default_factory=Budget)
    learning_rate: float = 1e-3


def train_denoising_autoencoder(
    network: DenoisingAutoencoder, rows: TrainingRows, settings: DenoisingTraining, stage: str, run: Run
) -> Training[RowDraw]:
    """Train ``network`` on ``rows`` (n, width), in place, and judge it as an RBM is judged."""
    network.to(rows.place.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)

    def loss(visible: Tensor, random: torch.Generator) -> Tensor:
        kept = torch.rand(visible.shape, generator=random) >= settings.corruption
        return denoising_loss(network, visible, kept.to(visible))

    training = train_autoencoder(network, rows, loss, "dae_rate", optimizer, settings.budget, stage, run)
    with torch.no_grad():
        codes = network.encoder(rows.sample(ROWS_OF_A_JUDGEMENT))
    check_activations(codes, f"{run.method}: {run.prefix}{stage}")
    return training
