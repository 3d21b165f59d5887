"""Which rows each batch takes: all in random order, or drawn by category; and the random numbers for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from cmbench.methods.views.inputs import checked_classes

Index: TypeAlias = NDArray[np.int64]
"""Numbers (batch,) of the rows, or pairs, of one batch."""
Order: TypeAlias = Literal["classes", "uniform"]

ANCHORS, OTHERS = 0, 1  # streams of random numbers, so that one can change without the other
SMALLEST_BATCH = 2  # batch normalisation needs a variance


@dataclass(frozen=True, eq=False)
class Draw:
    """The rows of one round of training.

    Parameters
    ----------
    anchors : int64 (batches, batch), numbers of pairs; CM-GANs trains its discriminators on row 0 and its
        generators on the further rows
    others : int64 (batch,), for each pair of row 0 a pair of another category
    """

    anchors: Index
    others: Index


class PairSampler:
    """Draws batches of pairs with replacement, an epoch at a time.

    ``"classes"`` draws two distinct categories uniformly and a member of each uniformly, as the
    authors' code does; ``"uniform"`` draws any pair, and then any pair of another category. An epoch
    depends on its number and the seed alone, so that an interrupted training needs no state to go on.

    Parameters
    ----------
    labels : whole numbers (n,), of at least two categories; gaps are allowed
    batch : cut to the number of pairs; the incomplete last batch of an epoch is left out

    Examples
    --------
    >>> sampler = PairSampler(np.array([3, 3, 8, 9]), batch=2, seed=0)
    >>> draws = list(sampler.epoch(0, batches=6))
    >>> len(draws), draws[0].anchors.shape, draws[0].others.shape
    (2, (6, 2), (2,))
    """

    def __init__(self, labels: NDArray[Any], *, batch: int, seed: int, order: Order = "classes") -> None:
        classes = checked_classes(labels, len(labels))
        self.batch = max(SMALLEST_BATCH, min(batch, len(labels)))
        self.rounds = max(1, len(labels) // self.batch)
        self._seed, self._uniform = seed, order == "uniform"
        self._class_of = np.searchsorted(classes, labels)
        self._by_class = np.argsort(self._class_of, kind="stable")
        self._counts = np.bincount(self._class_of)
        self._starts = np.cumsum(self._counts) - self._counts

    def epoch(self, number: int, *, batches: int) -> Iterator[Draw]:
        """Yield the rounds of epoch ``number``, each with ``batches`` batches of anchors."""
        random = [np.random.default_rng([self._seed, number, stream]) for stream in (ANCHORS, OTHERS)]
        anchors = self._anchors(random[ANCHORS], (self.rounds, batches, self.batch))
        others = self._others(random[OTHERS], anchors[:, 0])
        return (Draw(pairs, strangers) for pairs, strangers in zip(anchors, others, strict=True))

    def _anchors(self, random: np.random.Generator, shape: tuple[int, ...]) -> Index:
        if self._uniform:
            return random.integers(len(self._class_of), size=shape)
        return self._members(random, random.integers(len(self._counts), size=shape))

    def _others(self, random: np.random.Generator, anchors: Index) -> Index:
        class_of_anchor = self._class_of[anchors]
        # Pairs lie sorted by category in _by_class; draw among all, and skip those of the anchor's category
        if self._uniform:
            position = random.integers(len(self._class_of) - self._counts[class_of_anchor])
            first = self._starts[class_of_anchor]
            skipped = np.where(position < first, 0, self._counts[class_of_anchor])
            others: Index = self._by_class[position + skipped]
            return others
        # Another category is 1 to n - 1 categories away from the anchor's, counted in a circle
        n_classes = len(self._counts)
        away = random.integers(1, n_classes, size=class_of_anchor.shape)
        return self._members(random, (class_of_anchor + away) % n_classes)

    def _members(self, random: np.random.Generator, classes: Index) -> Index:
        members: Index = self._by_class[self._starts[classes] + random.integers(self._counts[classes])]
        return members


class EpochBatches:
    """All rows in a new random order each epoch, in batches of one size.

    An epoch depends on its number, the seed and ``purpose`` alone, so that an interrupted training
    needs no state to go on, and trainings for different purposes do not share their order.

    Parameters
    ----------
    n_rows : how many rows there are
    batch : rows in a batch, cut to ``n_rows``; the incomplete last batch of an epoch is left out
    seed : int
    purpose : what the rows are for, "pairs" say

    Examples
    --------
    >>> batches = EpochBatches(5, batch=2, seed=0, purpose="pairs")
    >>> batches.rounds, [len(index) for index in batches.epoch(0)]
    (2, [2, 2])
    """

    def __init__(self, n_rows: int, *, batch: int, seed: int, purpose: str) -> None:
        self.size = min(batch, n_rows)
        self.rounds = n_rows // self.size
        self._n_rows, self._seed, self._purpose = n_rows, seed, tuple(purpose.encode())

    def epoch(self, number: int) -> Iterator[Index]:
        """Yield the row numbers (batch,) of each round of epoch ``number``."""
        random = np.random.default_rng([self._seed, number, *self._purpose])
        order = random.permutation(self._n_rows)[: self.rounds * self.size]
        return iter(order.reshape(self.rounds, self.size))


def stream(seed: int, purpose: str) -> torch.Generator:
    """Return a generator of the random numbers that are kept for one purpose.

    Another purpose, or another seed, gives other numbers, so that one more draw for one purpose does not
    change those for another.
    """
    digest = sha256(f"{seed} {purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@contextmanager
def seeded_apart(device: torch.device) -> Iterator[None]:
    """Keep what happens to PyTorch's own random numbers from whoever called."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


@dataclass(frozen=True)
class Budget:
    """How long to train: at most so many epochs and steps, each step on a batch."""

    epochs: int = 40
    steps: int = 3000
    batch_size: int = 128


@dataclass(frozen=True, eq=False)
class RowDraw:
    """What one step takes: the numbers (batch,) of its rows, and the random numbers of its epoch."""

    index: Index
    random: torch.Generator


class BudgetedBatches:
    """All rows in a new random order each epoch, up to a number of steps, with random numbers for each epoch.

    Parameters
    ----------
    n_rows : int
    budget : Budget
    seed : int
    purpose : str, what the rows and random numbers are for, such as "rbm1_image"

    Examples
    --------
    >>> batches = BudgetedBatches(5, Budget(epochs=3, steps=5, batch_size=2), seed=0, purpose="rbm")
    >>> batches.rounds, batches.epochs, batches.steps
    (2, 3, 5)
    >>> [len(list(batches.epoch(number))) for number in range(3)]
    [2, 2, 1]
    """

    def __init__(self, n_rows: int, budget: Budget, *, seed: int, purpose: str) -> None:
        self._order = EpochBatches(n_rows, batch=budget.batch_size, seed=seed, purpose=purpose)
        self._seed, self._purpose = seed, purpose
        self.rounds = self._order.rounds
        self.steps = min(budget.epochs * self.rounds, budget.steps)
        self.epochs = -(-self.steps // self.rounds)

    def epoch(self, number: int) -> Iterator[RowDraw]:
        """Yield what the steps of epoch ``number`` take; epochs are counted from 0."""
        random = stream(self._seed, f"{self._purpose} samples {number}")
        remaining = self.steps - number * self.rounds
        return (RowDraw(index, random) for index in islice(self._order.epoch(number), remaining))
