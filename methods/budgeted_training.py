"""Trainings of a fixed length, without a look at validation, as parts of a longer fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import nn

from cmbench.methods.cross_modal_networks import stream
from cmbench.methods.epoch_batches import EpochBatches
from cmbench.methods.training_curves import CurveRecorder, Curves
from cmbench.methods.training_loop import Length, Task, Training, Watched
from cmbench.methods.training_rows import Budget, BudgetedBatches, RowDraw
from cmbench.methods.training_stages import Stages

Update: TypeAlias = Callable[[RowDraw], Watched]
Trainings: TypeAlias = list[Training[Any]]


@dataclass(frozen=True, eq=False)
class Run:
    """The fit that a training is part of.

    Parameters
    ----------
    method : its name, for errors
    seed : int, from which all random numbers come
    stages : the trainings so far
    prefix : of the names of stages and of streams of random numbers
    """

    method: str
    seed: int
    stages: Stages
    prefix: str = ""

    def part(self, name: str) -> Run:
        """Return the run of a part, whose stages and random numbers are its own."""
        return replace(self, prefix=f"{self.prefix}{name}_")

    def stream(self, purpose: str) -> torch.Generator:
        """Return the random numbers that belong to ``purpose``."""
        return stream(self.seed, self.prefix + purpose)

    def order(self, n_rows: int, batch: int, purpose: str) -> EpochBatches:
        """Return batches of rows in an order that belongs to ``purpose``."""
        return EpochBatches(n_rows, batch=batch, seed=self.seed, stream=self.prefix + purpose)

    def batches(self, n_rows: int, budget: Budget, stage: str) -> BudgetedBatches:
        """Return the batches of a stage."""
        return BudgetedBatches(n_rows, budget, seed=self.seed, purpose=self.prefix + stage)

    def run(self, stage: str, training: Training[Any]) -> None:
        """Train as a stage of that name."""
        self.stages.run(self.prefix + stage, training)

    def train(
        self,
        stage: str,
        modules: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        batches: BudgetedBatches,
        update: Update,
    ) -> Training[RowDraw]:
        """Call ``update`` for each of the batches and keep the last state; curves have a point an epoch.

        ``stage`` names the training in files and streams of random numbers.
        """
        task = Task(
            name=self.method,
            modules=modules,
            kept=modules,
            optimizers={stage: optimizer},
            items=batches.epoch,
            rounds=batches.rounds,
            step=lambda draw, norms: update(draw),
            score=None,
        )
        training = Training(task, Length(batches.epochs, batches.rounds, batches.epochs))
        self.run(stage, training)
        return training


def in_sequence(trainings: Sequence[Training[Any]]) -> Curves:
    """Return the curves of trainings one after another; ``iteration`` counts on through all of them.

    A curve that a training does not have is NaN there.
    """
    recorder, before = CurveRecorder("sequence"), 0
    for training in trainings:
        for point in training.curves.points:
            recorder.points.append({**point, "iteration": before + point["iteration"]})
        before += training.iteration
    return recorder.curves()
