"""Rows to train a network on, and how many batches of them, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmbench.methods.cross_modal_networks import stream
from cmbench.methods.epoch_batches import EpochBatches
from cmbench.methods.pair_sampler import Index
from cmbench.methods.preprocessing import Scaling
from cmbench.methods.training_device import Place
from cmbench.methods.view_network import training_features


class TrainingRows:
    """Features (n, d) with their scaling, handed out by row on the device.

    Parameters
    ----------
    features : real (n, d), in memory or memory-mapped
    scaling : learned from training rows; None leaves rows as they are
    place : the device, on which they are kept if they fit
    """

    def __init__(self, features: NDArray[Any], scaling: Scaling | None, place: Place) -> None:
        self.features, self.place = features, place
        self.scaling = scaling or unscaled(features.shape[1])
        self._rows = training_features(features, self.scaling, place)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def width(self) -> int:
        """The number of columns."""
        return int(self.features.shape[1])

    def rows(self, index: Index) -> Tensor:
        """Return those rows (len(index), d), scaled, as float32 on the device."""
        return self._rows.rows(index)

    def sample(self, largest: int) -> Tensor:
        """Return at most ``largest`` rows, evenly spaced."""
        return self.rows(np.arange(0, len(self), -(-len(self) // largest)))


def unscaled(width: int) -> Scaling:
    """Return the scaling that leaves rows of ``width`` values as they are."""
    return Scaling(np.zeros(width), np.ones(width))


@dataclass(frozen=True)
class Budget:
    """How long to train: at most so many epochs and steps, each step on a batch."""

    epochs: int = 40
    steps: int = 3000
    batch_size: int = 128


@dataclass(frozen=True, eq=False)
class RowDraw:
    """What one step takes: the rows (batch,), and the random numbers of its epoch."""

    index: Index
    random: torch.Generator


class BudgetedBatches:
    """``EpochBatches`` up to a number of steps, with random numbers for each epoch.

    Parameters
    ----------
    n_rows : int
    budget : Budget
    seed : int
    purpose : str, tells streams of random numbers apart

    Examples
    --------
    >>> batches = BudgetedBatches(5, Budget(epochs=3, steps=5, batch_size=2), seed=0, purpose="rbm")
    >>> batches.rounds, batches.epochs, batches.steps
    (2, 3, 5)
    >>> [len(list(batches.epoch(number))) for number in range(3)]
    [2, 2, 1]
    """

    def __init__(self, n_rows: int, budget: Budget, *, seed: int, purpose: str) -> None:
        self._order = EpochBatches(n_rows, batch=budget.batch_size, seed=seed, stream=purpose)
        self._seed, self._purpose = seed, purpose
        self.rounds = self._order.rounds
        self.steps = min(budget.epochs * self.rounds, budget.steps)
        self.epochs = -(-self.steps // self.rounds)

    def epoch(self, number: int) -> Iterator[RowDraw]:
        """Yield what the steps of epoch ``number`` take; epochs are counted from 0."""
        random = stream(self._seed, f"{self._purpose} samples {number}")
        left = self.steps - number * self.rounds
        return (RowDraw(index, random) for index in islice(self._order.epoch(number), left))
