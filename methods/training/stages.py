"""Trainings of a fixed length, without a look at validation, as parts of a longer fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from cmbench.methods.training.batches import Budget, BudgetedBatches, EpochBatches, RowDraw, stream
from cmbench.methods.training.curves import CurveRecorder, Curves
from cmbench.methods.training.loop import Checkpoint, Length, Task, Training, Watched


class Stages:
    """Runs trainings by name, each with a checkpoint file of its own, until ``complete`` deletes them.

    A training is saved at its end, whatever ``seconds`` says, and comes back from its file as it
    ended. A fit that was killed has to run its stages again in the same order under the same names.

    Parameters
    ----------
    path : a file name from which those of the stages are made, or None to keep no checkpoint
    seconds : the least time between two checkpoints of a training
    """

    def __init__(self, path: Path | None, *, seconds: float) -> None:
        self.resumed_at = 0
        self._path, self._seconds = path, seconds
        self._checkpoints: list[Checkpoint] = []

    def run(self, name: str, training: Training[Any]) -> None:
        """Train to the end, going on from where a killed fit was; ``resumed_at`` counts the rounds spared."""
        path = self._path and self._path.with_stem(f"{self._path.stem}-{name}")
        checkpoint = Checkpoint(path, seconds=self._seconds)
        self._checkpoints.append(checkpoint)
        training.stage = name
        training.run(checkpoint)
        self.resumed_at += training.resumed_at

    def complete(self) -> None:
        """Delete the checkpoints of all stages."""
        for checkpoint in self._checkpoints:
            checkpoint.remove()


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
