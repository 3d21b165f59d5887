"""Trainings that follow each other in one fit, of which none that is complete is run again after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmbench.methods.training_checkpoint import Checkpoint
from cmbench.methods.training_loop import Training


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
