"""Indices of matched pairs, and of pairs of another category to go with them, drawn without a loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.methods.label_code import checked_classes

Index: TypeAlias = NDArray[np.int64]
Order: TypeAlias = Literal["classes", "uniform"]

ANCHORS, OTHERS = 0, 1  # streams of random numbers, so that one can change without the other
SMALLEST_BATCH = 2  # batch normalisation needs a variance


@dataclass(frozen=True, eq=False)
class Draw:
    """The rows of one round of training.

    Parameters
    ----------
    anchors : int64 (rounds' batches, batch), pairs; row 0 is for the discriminators
    others : int64 (batch,), for each pair of row 0 one of another category
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
        own = self._class_of[anchors]
        if self._uniform:
            position = random.integers(len(self._class_of) - self._counts[own])
            skipped = np.where(position < self._starts[own], 0, self._counts[own])
            others: Index = self._by_class[position + skipped]
            return others
        n_classes = len(self._counts)
        away = random.integers(1, n_classes, size=own.shape)
        return self._members(random, (own + away) % n_classes)

    def _members(self, random: np.random.Generator, classes: Index) -> Index:
        members: Index = self._by_class[self._starts[classes] + random.integers(self._counts[classes])]
        return members
