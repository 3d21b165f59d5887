"""What features are made of and what they become: the items of one side of all pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from cmbench.datasets.draft import FloatMatrix, Labels, Parts
from cmbench.datasets.features.cross_fitting import Item, Learn, Network, cross_fit, flattened
from cmbench.datasets.raw.contract import RawDataset, RawPair

Trained = TypeVar("Trained")
Report: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True, eq=False)
class Made:
    """Features of one side.

    Parameters
    ----------
    rows : float32 (n, d), a row for each pair of all splits, in their order
    parts : of regions or sentences, if wanted
    """

    rows: FloatMatrix
    parts: Parts | None


@dataclass(frozen=True, eq=False)
class Side(Generic[Trained]):
    """Features of one side, and how they came about.

    Parameters
    ----------
    made : Made
    description : for the card, without a full stop at its end
    found : what the recipe did not know before: hashes, and how trainings went
    trained : the network that learnt, the first of several; None where none did
    groups : int64 (d,), the block each feature belongs to, if there are blocks
    """

    made: Made
    description: str
    found: dict[str, Any]
    trained: Trained
    groups: Labels | None = None


@dataclass(frozen=True, eq=False)
class SideItems(Generic[Item]):
    """The pictures or the texts of all pairs, training pairs first.

    Parameters
    ----------
    items : one for each pair
    parts : those of each, if features of parts are wanted
    train_labels : int64, the categories of the first items, which are the training items
    """

    items: Sequence[Item] = field(repr=False)
    parts: Sequence[Sequence[Item]] | None = field(repr=False)
    train_labels: Labels = field(repr=False)

    def by(self, network: Network[Item]) -> Made:
        """Return the features that one network gives."""
        if self.parts is None:
            return Made(network(self.items), None)
        items, offsets = flattened(self.parts)
        return Made(network(self.items), Parts(network(items), offsets))

    def cross_fitted(self, learn: Learn[Item], folds: int, seed: int) -> Made:
        """Return features of which those of training items are by networks that have not learnt from them."""
        n_train = len(self.train_labels)
        fitted = cross_fit(self.items[:n_train], self.train_labels, learn, folds=folds, seed=seed)
        rows = np.concatenate([fitted.train, fitted.features(self.items[n_train:])])
        if self.parts is None:
            return Made(rows, None)
        train, others = self.parts[:n_train], self.parts[n_train:]
        return Made(rows, _joined(fitted.train_part_features(train), fitted.part_features(others)))


def all_pairs(raw: RawDataset) -> list[RawPair]:
    """Return the pairs of all splits, in their order: training, validation, test."""
    return [pair for _, pairs in raw.splits for pair in pairs]


def labels_of(pairs: Sequence[RawPair]) -> Labels:
    """Return the categories of pairs, int64 (n,)."""
    return np.array([pair.label for pair in pairs], dtype=np.int64)


def described(network: str, folds: int | None) -> str:
    """Return what a card says of features: ``network`` is on the only network, or the first of ``folds``."""
    if folds is None:
        return f"{network}; not cross-fitted"
    return (
        f"{network}. This is network 1; cross-fitted by {folds} networks, features of training items are by "
        "one that has not learnt from them, mapped to those of network 1, and others are the mean of all"
    )


def _joined(first: Parts, second: Parts) -> Parts:
    offsets = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]])
    return Parts(np.concatenate([first.values, second.values]), offsets)
