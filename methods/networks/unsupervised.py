"""Training of RBMs and autoencoders for a fixed number of steps, and checks of what they have learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, nn

from cmbench.errors import MethodError
from cmbench.methods.networks.rbm import RBM, Divergence, contrastive_divergence
from cmbench.methods.training.batches import Budget, RowDraw
from cmbench.methods.training.descent import ScheduledSGD, decayed
from cmbench.methods.training.device import DeviceRows
from cmbench.methods.training.loop import Dependence, Run, Training, Watched
from cmbench.methods.training.plateau import Plateau
from cmbench.methods.views.inputs import warn

ROWS_OF_A_JUDGEMENT = 4096
LIVELY = (0.01, 0.99)  # between these lies the mean activation of a unit that is neither dead nor saturated
HARDLY = 0.9  # of the error of an untrained RBM is left when it has hardly learnt
GAUSSIAN_REMEDY = "standardise the features by preprocessing, lower gaussian_rate"
MOST_IDLE = 0.5  # share of dead or saturated units above which there is a warning


@dataclass(frozen=True)
class Sparsity:
    """A pull of each hidden unit's mean activation towards ``target``.

    The gradient of the unit's input is cost · (q - target), with q a running mean of its activation
    over batches, of which ``damping`` is kept at each. A cost of 0 is no pull.
    """

    target: float = 0.2
    cost: float = 0.0
    damping: float = 0.9


@dataclass(frozen=True)
class RBMSettings:
    """How an RBM is trained.

    Parameters
    ----------
    learning_rate : float, at first; it falls as ``ScheduledSGD`` says
    l2 : float, weight decay, of W alone
    sparsity : Sparsity
    budget : Budget
    cd_steps : int, steps of Gibbs sampling in each update
    patience : int, epochs in which the error on validation rows must fall by 5 %, or training ends; None to
        spend the whole budget
    """

    learning_rate: float = 0.01
    l2: float = 1e-4
    sparsity: Sparsity = field(default_factory=Sparsity)
    budget: Budget = field(default_factory=Budget)
    cd_steps: int = 1
    patience: int | None = None


class MeanActivation(nn.Module):
    """The running mean (hidden,) of the activation of each hidden unit; it starts at the target."""

    def __init__(self, hidden: int, sparsity: Sparsity) -> None:
        super().__init__()
        self.sparsity = sparsity
        self.mean: Tensor
        self.register_buffer("mean", torch.full((hidden,), sparsity.target))

    def pull(self, activation: Tensor) -> Tensor:
        """Take the mean activation of a batch (hidden,) and return the gradient of each unit's input."""
        kept = self.sparsity.damping
        self.mean.mul_(kept).add_(activation, alpha=1 - kept)
        return self.sparsity.cost * (self.mean - self.sparsity.target)


class RBMUpdates:
    """The updates of an RBM by contrastive divergence on rows; ``steps`` is how many there will be.

    Momentum grows with a time constant of half of all steps, which it has in the released program of Corr-AE
    (10,000 of 20,000 steps); in those of CCL and CMDN it is 10,000 of 50,000 and of 100,000.
    """

    def __init__(self, rbm: RBM, rows: DeviceRows, settings: RBMSettings, steps: int) -> None:
        self.rbm, self.rows, self.settings = rbm, rows, settings
        self.activation = MeanActivation(len(rbm.hidden_bias), settings.sparsity).to(rows.device)
        self.optimizer = ScheduledSGD(
            decayed([rbm], settings.l2), settings.learning_rate, momentum_steps=steps / 2
        )

    def update(self, draw: RowDraw) -> Tensor:
        """Follow the contrastive divergence of a batch; return its reconstruction error."""
        visible = self.rows.rows(draw.index)
        shape = (self.settings.cd_steps, len(visible), len(self.rbm.hidden_bias))
        uniforms = torch.rand(shape, generator=draw.random).to(visible.device)
        divergence = contrastive_divergence(self.rbm, visible, uniforms)
        self.set_gradients(divergence)
        self.optimizer.step()
        return divergence.error

    def set_gradients(self, divergence: Divergence) -> None:
        """Give each parameter the gradient to descend: end of the chain minus data, and the pull to sparsity.

        By W it is the mean over rows of v'ᵀh' - vᵀh + vᵀ(pull), where v and h are of the data and v' and h'
        of the end of the chain; by b that of v' - v, and by c that of h' - h + pull.
        """
        data, chain = divergence.data, divergence.chain
        n = len(data.visible)
        pull = self.activation.pull(data.hidden.mean(dim=0))
        inputs = torch.cat([chain.hidden, pull - data.hidden]) / n  # of rows v', then v
        # In the memory of the gradient before, since fresh memory costs a tenth of a step of a wide RBM
        if self.rbm.weight.grad is None:
            self.rbm.weight.grad = torch.empty_like(self.rbm.weight)
        torch.mm(torch.cat([chain.visible, data.visible]).T, inputs, out=self.rbm.weight.grad)
        self.rbm.visible_bias.grad = chain.visible.mean(dim=0) - data.visible.mean(dim=0)
        self.rbm.hidden_bias.grad = inputs.sum(dim=0)


def train_rbm(
    rbm: RBM,
    rows: DeviceRows,
    settings: RBMSettings,
    stage: str,
    run: Run,
    *,
    validation: DeviceRows | None = None,
) -> Training[RowDraw]:
    """Train ``rbm`` on ``rows`` (n, visible), in place, and judge it.

    It ends when the error of reconstruction of ``validation`` rows (m, visible) has hardly fallen within
    ``settings.patience``; without either it spends its whole budget.

    ``stage`` names the RBM in files, errors, curves and streams of random numbers.

    Raises
    ------
    DivergenceError
        A weight or the reconstruction error became NaN or infinite.
    MethodError
        Real rows are reconstructed no better than by their mean, which is how an RBM that diverges shows.
    """
    rbm.to(rows.device)
    sample = rows.sample(ROWS_OF_A_JUDGEMENT)
    untrained = reconstruction_error(rbm, sample)
    batches = run.batches(len(rows), settings.budget, stage)
    updates = RBMUpdates(rbm, rows, settings, batches.steps)
    plateau = _plateau(rbm, validation, settings.patience, f"{run.prefix}{stage}", batches.epochs)
    ends_by = (validation,) if plateau and validation else ()
    training = run.train(
        stage,
        lambda draw, norms: [(f"{run.prefix}{stage}_error", updates.update(draw))],
        modules={"rbm": rbm, "activation": updates.activation},
        optimizers={stage: updates.optimizer},
        draws=batches.epoch,
        rounds=batches.rounds,
        epochs=batches.epochs,
        plateau=plateau,
        dependence=Dependence((rows, *ends_by), (settings,)),
    )
    name = f"{run.method}: {run.prefix}{stage}"
    judge(rbm, sample, name)
    if rbm.units == "gaussian":
        check_progress(untrained, reconstruction_error(rbm, sample), name)
    return training


def _plateau(
    rbm: RBM, validation: DeviceRows | None, patience: int | None, stage: str, epochs: int
) -> Plateau | None:
    """Return what may end an RBM; not in the first quarter of its epochs, where momentum is low."""
    if validation is None or patience is None:
        return None
    held_out = validation.sample(ROWS_OF_A_JUDGEMENT)
    curve = f"{stage}_validation_error"
    return Plateau(curve, lambda: reconstruction_error(rbm, held_out), patience, earliest=epochs // 4)


@torch.no_grad()
def reconstruction_error(rbm: RBM, visible: Tensor) -> float:
    """Return the mean squared error of the reconstruction of rows (n, visible)."""
    return float((visible - rbm.reconstruction(visible)).square().mean())


@torch.no_grad()
def judge(rbm: RBM, visible: Tensor, name: str) -> None:
    """Raise or warn where an RBM is no use for rows (n, visible) that it was trained on."""
    gaussian = rbm.units == "gaussian"
    remedy = f"{GAUSSIAN_REMEDY if gaussian else 'change its rate'}, or raise rbm_epochs"
    check_reconstruction(visible, rbm.reconstruction(visible), name, remedy, must_beat_mean=gaussian)
    check_activations(rbm(visible), name)


def check_progress(before: float, after: float, name: str) -> None:
    """Warn where training has hardly lessened an error, which may beat the mean's from the start."""
    if after > HARDLY * before:
        warn(
            f"{name} has hardly learnt: the mean squared error of its reconstructions was {before:.3g} "
            f"before training and is {after:.3g}; raise gaussian_rate, or give it more epochs"
        )


def check_reconstruction(
    rows: Tensor, reconstruction: Tensor, name: str, remedy: str, *, must_beat_mean: bool
) -> None:
    """Raise ``MethodError``, or warn, unless ``rows`` (n, d) are reconstructed better than by their mean."""
    error = (rows - reconstruction).square().mean().item()
    of_mean = (rows - rows.mean(dim=0)).square().mean().item()
    if error < of_mean:
        return
    message = (
        f"{name} reconstructs its training rows with a mean squared error of {error:.3g}, and their mean "
        f"alone has {of_mean:.3g}; {remedy}"
    )
    if must_beat_mean:
        raise MethodError(message)
    warn(message)


def check_activations(hidden: Tensor, name: str) -> None:
    """Warn where over half of the units (n, hidden) are always off or always on."""
    mean = hidden.mean(dim=0)
    idle = ((mean < LIVELY[0]) | (mean > LIVELY[1])).float().mean().item()
    if idle > MOST_IDLE:
        warn(
            f"{name}: {idle:.0%} of the hidden units are dead or saturated (mean activation outside "
            f"{LIVELY[0]} to {LIVELY[1]}); lower the learning rate, or standardise the features"
        )


RowLoss: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]


def train_autoencoder(
    network: nn.Module,
    rows: DeviceRows,
    loss: RowLoss,
    rate: str,
    optimizer: torch.optim.Optimizer,
    budget: Budget,
    stage: str,
    run: Run,
    *,
    loss_settings: object = None,
) -> Training[RowDraw]:
    """Train ``network`` on ``rows`` (n, width), in place, by descending ``loss`` of batches of them.

    ``loss`` takes rows and random numbers. ``rate`` is the name of the learning rate, for errors. ``stage``
    names the training in files, errors, curves and streams of random numbers. ``loss_settings`` is what
    ``loss`` depends on besides its rows, if anything.

    Raises
    ------
    DivergenceError
        A weight or the loss became NaN or infinite.
    MethodError
        Rows are reconstructed no better than by their mean.
    """

    def update(draw: RowDraw, norms: bool) -> Watched:
        value = loss(rows.rows(draw.index), draw.random)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return [(f"{run.prefix}{stage}_loss", value.detach())]

    batches = run.batches(len(rows), budget, stage)
    training = run.train(
        stage,
        update,
        modules={"autoencoder": network},
        optimizers={stage: optimizer},
        draws=batches.epoch,
        rounds=batches.rounds,
        epochs=batches.epochs,
        dependence=Dependence((rows,), (budget, loss_settings)),
    )
    sample = rows.sample(ROWS_OF_A_JUDGEMENT)
    with torch.no_grad():
        reconstruction = network(sample)
    name, remedy = f"{run.method}: {run.prefix}{stage}", f"change {rate}, or raise rbm_epochs"
    check_reconstruction(sample, reconstruction, name, remedy, must_beat_mean=True)
    return training
