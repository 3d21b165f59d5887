"""Unsupervised codes in (0, 1) for one view: two stacked RBMs, or a denoising autoencoder."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from cmbench.datasets.draft import Split
from cmbench.methods.networks.layers import half_square, linear
from cmbench.methods.networks.rbm import RBM
from cmbench.methods.networks.unsupervised import (
    ROWS_OF_A_JUDGEMENT,
    RBMSettings,
    Sparsity,
    check_activations,
    train_autoencoder,
    train_rbm,
)
from cmbench.methods.parameters import AddedLater, AnyFolder, Count, Number, SearchSpace, When, Words
from cmbench.methods.training.batches import Budget, RowDraw
from cmbench.methods.training.deep_method import PRACTICAL, DeepMethod
from cmbench.methods.training.device import DeviceRows, NetworkMap
from cmbench.methods.training.loop import Run, Training

GAUSSIAN_SPARSITY = Sparsity(target=0.2, cost=0.1)  # as in the released Corr-AE and CCL programs
BINARY_SPARSITY = Sparsity(target=0.1, cost=0.01)

STABLE_RATE = 4.0  # times hidden units; from 10 on, Gaussian RBMs diverged on standardised CNN features
HIGHEST_RATE = 0.01  # from which narrow ones did not gain on validation


class PretrainedMethod(DeepMethod):
    """A deep method that first learns codes of each modality, by two RBMs one above the other."""

    practical: ClassVar[tuple[str, ...]] = (*PRACTICAL, "pretrained")

    code: Annotated[int, Count(1)] = 1024
    """Hidden units of the upper RBM of each modality, which is the size of the codes."""
    pretrain: Annotated[str, Words("rbm", "dae"), SearchSpace("rbm", "dae")] = "rbm"
    """``"dae"`` replaces the two RBMs of a modality by a denoising autoencoder of the same sizes."""
    gaussian_rate: Annotated[
        float | str, Number(0, open_ends=True, words=("auto",)), SearchSpace("auto", 1e-3)
    ] = "auto"
    """Learning rate of the lower RBM, whose visible units are real. The highest rate at which it is stable
    falls with its hidden units, whose mean activations add up: ``"auto"`` is 4 / their number, at most 0.01.
    """
    binary_rate: Annotated[float, Number(0, open_ends=True)] = 0.05
    """Learning rate of the upper RBM, whose visible units are probabilities."""
    rbm_l2: Annotated[float, Number(0)] = 1e-3
    """Weight decay of both RBMs."""
    rbm_epochs: Annotated[int, Count(1)] = 15
    """Passes over the training items of each RBM, or autoencoder; ``rbm_steps`` may end it sooner."""
    rbm_steps: Annotated[int, Count(1)] = 3000
    """Updates of each RBM, or autoencoder, at most; ``rbm_epochs`` may end it sooner."""
    rbm_patience: Annotated[int | None, Count(1, optional=True), AddedLater(None)] = None
    """Epochs in which the error of reconstruction that an RBM has on validation must fall by 5 %, or its
    training ends, though not in the first quarter of its epochs. None trains for ``rbm_epochs`` or
    ``rbm_steps``, as ``stopping="none"`` does. An autoencoder has no such end.
    """
    rbm_batch_size: Annotated[int, Count(2)] = 64
    """Training items in a batch of an RBM, or autoencoder. The released programs have 128 (Corr-AE 231).
    Half of that in half the passes makes as many updates in three quarters of the time, and was no worse on
    validation pairs of ``scenes``; on the 640 training pairs of Pascal Sentence it was by .008 for Corr-AE,
    with one seed.
    """
    cd_steps: Annotated[int, Count(1)] = 1
    """Steps of Gibbs sampling in an update of an RBM (contrastive divergence)."""
    corruption: Annotated[float, Number(0, 1), When(pretrain="dae")] = 0.2
    """Share of its input that a denoising autoencoder does not see."""
    dae_rate: Annotated[float, Number(0, open_ends=True), When(pretrain="dae")] = 1e-3
    """Learning rate of a denoising autoencoder."""
    post: Annotated[str, Words("none", "zscore_train"), SearchSpace("none", "zscore_train")] = "zscore_train"
    """Whether representations are standardised by statistics of the training items. Codes are positive and
    all their cosines high without it. Small deviations of codes do no harm with it.
    """
    preprocessing = "global"
    """Features as stored (``"none"``); standardised column by column by training statistics (``"zscore"``);
    centred and divided by one number for each view (``"global"``); or scaled to unit norm row by row
    (``"rownorm"``). The lower RBM presumes features of unit variance, which ``"zscore"`` gives each column
    and ``"global"`` their mean; the latter keeps the proportions of the columns of a PCA or an LSA, and was
    better on validation. In each case columns that are constant in training become 0.
    """

    pretrained: Annotated[str | os.PathLike[str] | None, AnyFolder()] = None
    """A folder for the ends of stages that learn without labels, from which fits on the same training pairs
    take them over if all that such a stage depends on is alike, the seed too. It takes no part in the result.
    """

    @property
    def rbm_budget(self) -> Budget:
        """How long each RBM, or autoencoder, is trained."""
        return Budget(self.rbm_epochs, self.rbm_steps, self.rbm_batch_size)

    def _run(self, train: Split, validation: Split) -> Run:
        folder = None if self.pretrained is None else Path(self.pretrained) / f"{self.name}-{self.version}"
        return replace(super()._run(train, validation), pretrained=folder)

    def gaussian_settings(self, hidden: int) -> RBMSettings:
        """Return the training of a lower RBM of so many hidden units, whose visible units are real."""
        rate = self.gaussian_rate
        if isinstance(rate, str):
            rate = min(HIGHEST_RATE, STABLE_RATE / hidden)
        return self.rbm_settings(rate, self.rbm_l2, GAUSSIAN_SPARSITY)

    def binary_settings(self) -> RBMSettings:
        """Return the training of an upper RBM, whose visible units are probabilities."""
        return self.rbm_settings(self.binary_rate, self.rbm_l2, BINARY_SPARSITY)

    def rbm_settings(self, rate: float, l2: float, sparsity: Sparsity) -> RBMSettings:
        """Return the training of an RBM at that rate, with that decay and sparsity."""
        patience = None if self.stopping == "none" else self.rbm_patience
        return RBMSettings(rate, l2, sparsity, self.rbm_budget, self.cd_steps, patience)


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


def train_denoising_autoencoder(
    network: DenoisingAutoencoder, rows: DeviceRows, method: PretrainedMethod, stage: str, run: Run
) -> Training[RowDraw]:
    """Train ``network`` on ``rows`` (n, width), in place.

    It raises unless rows are reconstructed better than by their mean, and warns of dead or saturated units.
    """
    network.to(rows.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=method.dae_rate, fused=True)

    def loss(visible: Tensor, random: torch.Generator) -> Tensor:
        kept = torch.rand(visible.shape, generator=random) >= method.corruption
        return denoising_loss(network, visible, kept.to(visible))

    training = train_autoencoder(
        network,
        rows,
        loss,
        "dae_rate",
        optimizer,
        method.rbm_budget,
        stage,
        run,
        loss_settings=method.corruption,
    )
    with torch.no_grad():
        codes = network.encoder(rows.sample(ROWS_OF_A_JUDGEMENT))
    check_activations(codes, f"{run.method}: {run.prefix}{stage}")
    return training


@dataclass(frozen=True, eq=False)
class Stack:
    """A network from scaled rows (n, d) to codes (n, code) in (0, 1), and how its training went."""

    network: nn.Module
    trainings: tuple[Training[RowDraw], ...]


def train_stack(
    rows: DeviceRows,
    hidden: int,
    method: PretrainedMethod,
    view: str,
    run: Run,
    *,
    validation: DeviceRows | None = None,
) -> Stack:
    """Learn codes of ``rows`` (n, d), items or parts of items, without labels.

    With ``pretrain="rbm"`` a Gaussian RBM is trained on the rows, and then a binary RBM on the probabilities
    of its hidden units for all rows, which are held in memory (4 · n · ``hidden`` bytes). The codes are the
    probabilities of the hidden units of the second, not samples. With ``"dae"`` a denoising autoencoder of
    the same sizes is trained instead.

    ``view`` names the rows in files, errors, curves and streams of random numbers. ``validation`` rows
    (m, d), of the same scaling, are those by whose error RBMs end; None for their whole budget.
    """
    if method.pretrain == "dae":
        return _denoising_codes(rows, hidden, method, view, run)
    return _stacked_rbms(rows, validation, hidden, method, view, run)


def _stacked_rbms(
    rows: DeviceRows,
    validation: DeviceRows | None,
    hidden: int,
    method: PretrainedMethod,
    view: str,
    run: Run,
) -> Stack:
    lower = RBM(rows.width, hidden, "gaussian", run.stream(f"rbm1_{view}"))
    settings, stage = method.gaussian_settings(hidden), f"rbm1_{view}"
    first = train_rbm(lower, rows, settings, stage, run, validation=validation)
    # The upper RBM learns from probabilities of the lower one's hidden units
    layer = hidden_layer(lower)
    below = NetworkMap(layer, view, rows.scaling)
    above = DeviceRows(below(rows.features), None, rows.device)
    held_out = None if validation is None else DeviceRows(below(validation.features), None, rows.device)
    upper = RBM(hidden, method.code, "binary", run.stream(f"rbm2_{view}"))
    settings, stage = method.binary_settings(), f"rbm2_{view}"
    second = train_rbm(upper, above, settings, stage, run, validation=held_out)
    return Stack(nn.Sequential(*layer, *hidden_layer(upper)), (first, second))


def _denoising_codes(rows: DeviceRows, hidden: int, method: PretrainedMethod, view: str, run: Run) -> Stack:
    stage = f"dae_{view}"
    network = DenoisingAutoencoder(rows.width, hidden, method.code, run.stream(stage))
    training = train_denoising_autoencoder(network, rows, method, stage, run)
    return Stack(network.encoder, (training,))


def hidden_layer(rbm: RBM) -> nn.Sequential:
    """Return the network that gives p(h = 1 | v), a copy of the RBM's weights."""
    visible, hidden = rbm.weight.shape
    layer: nn.Linear = skip_init(nn.Linear, visible, hidden, device=rbm.weight.device)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        layer.weight.copy_(rbm.weight.T)
        layer.bias.copy_(rbm.hidden_bias)
    return nn.Sequential(layer, nn.Sigmoid())
