"""The training of an autoencoder of one view for a fixed number of steps, and the judgement on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from cmbench.methods.budgeted_training import Run
from cmbench.methods.rbm_training import ROWS_OF_A_JUDGEMENT, check_reconstruction
from cmbench.methods.training_loop import Training, Watched
from cmbench.methods.training_rows import Budget, RowDraw, TrainingRows

RowLoss: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]


def train_autoencoder(
    network: nn.Module,
    rows: TrainingRows,
    loss: RowLoss,
    rate: str,
    optimizer: torch.optim.Optimizer,
    budget: Budget,
    stage: str,
    run: Run,
) -> Training[RowDraw]:
    """Train ``network`` on ``rows`` (n, width), in place, by descending ``loss`` of batches of them.

    ``loss`` takes rows and random numbers. ``rate`` is the name of the learning rate, for errors. ``stage``
    names the training in files, errors, curves and streams of random numbers.

    Raises
    ------
    DivergenceError
        A weight or the loss became NaN or infinite.
    MethodError
        Rows are reconstructed no better than by their mean.
    """

    def update(draw: RowDraw) -> Watched:
        value = loss(rows.rows(draw.index), draw.random)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return [(f"{run.prefix}{stage}_loss", value.detach())]

    batches = run.batches(len(rows), budget, stage)
    training = run.train(stage, {"autoencoder": network}, optimizer, batches, update)
    sample = rows.sample(ROWS_OF_A_JUDGEMENT)
    with torch.no_grad():
        made = network(sample)
    name, remedy = f"{run.method}: {run.prefix}{stage}", f"change {rate}, or raise rbm_epochs"
    check_reconstruction(sample, made, name, remedy, must_beat_mean=True)
    return training
