"""Features of training items by networks that did not learn from them, made comparable by linear maps.

A network has learnt the labels of its training items, so their features are clearer than those of new ones,
and a method that trains on them trusts them too much. Cross-fitting divides the training items into folds.
Network j learns from all but fold j, and makes the features of fold j.

Column 7 of one network has nothing to do with column 7 of another, so all features are mapped to those of
network 0: by ridge least squares with intercept, on the training items that are in neither fold 0 nor fold j.
Both networks have learnt these. So the labels of fold j come into its features by one way alone: network 0,
whose columns the map aims at, has learnt them. That is of second order: all rows share the map, and what
is mapped, the features of an item in fold j, comes from network j, which knows nothing of its label.

On Pascal Sentence (800 training and 100 validation texts, five folds, the word CNN with sentences) a linear
classifier with C = 0.01 has the accuracy 0.876 in five-fold cross-validation within plain features of the
training texts, and 0.750 on validation texts: the first says nothing about new texts. With cross-fitted
features it has 0.762 within the training texts and 0.760 on validation texts (0.764 and 0.750 with C = 0.001,
0.751 and 0.750 with C = 0.1; the standard errors are 0.015 and 0.043). Without the maps it has 0.746 and
0.710: the networks start from the same weights, which aligns them in part. Maps fitted on validation texts
instead give 0.769 and 0.760, but of the features of network 0 on fold 0, which it has not learnt, they
explain 0.49 of the variance by network 1, and maps fitted on training texts 0.57.

New items have the mean of what all networks give, mapped. Network 0 alone has about the same accuracy, 0.740,
but a higher cross-entropy, 1.012 instead of 0.976 (with C = 0.1, 1.277 instead of 1.063), since its features
are spread more widely than the mapped ones, which most training rows are.

All features are held in memory. Measured were 65 to 80 bytes for each feature of each training item while
the maps are fitted, and 4 or 5 more for each feature of each part; to these come 8 bytes times the square of
the number of features for each map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import FloatMatrix, Labels, Parts, offsets_of
from cmbench.errors import DatasetError

Item = TypeVar("Item")
Network: TypeAlias = Callable[[Sequence[Item]], FloatMatrix]
"""Gives the features of items, float32 (n, d); row i is item i."""

Learn: TypeAlias = Callable[[int, Labels], Network[Item]]
"""Makes the network of a fold, whose number it is told, from the training items in these rows alone."""

RIDGES = np.logspace(-6, 3, 10)
"""Weights of the squared 2-norm of a map, in units of the mean variance of a column times the rows."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """A linear map with intercept from the features of one network to those of another.

    Parameters
    ----------
    weights : float64 (d, e)
    intercept : float64 (e,)
    """

    weights: NDArray[np.float64] = field(repr=False)
    intercept: NDArray[np.float64] = field(repr=False)

    @classmethod
    def fitted(cls, source: FloatMatrix, target: FloatMatrix) -> Alignment:
        """Return the map of ``source`` (n, d) that is nearest to ``target`` (n, e), by ridge least squares.

        Of ten weights of the ridge it takes the one of the lowest squared error of leave-one-out
        cross-validation over all columns. Units of the features do not matter.
        """
        from sklearn.linear_model import RidgeCV

        exact = source.astype(np.float64)
        scale = exact.var(axis=0).mean() * len(exact) or 1.0
        ridge = RidgeCV(alphas=RIDGES * scale).fit(exact, target.astype(np.float64))
        return cls(ridge.coef_.T, ridge.intercept_)

    def mapped(self, features: FloatMatrix) -> FloatMatrix:
        """Return features (n, d) as the other network would give them, float32 (n, e)."""
        mapped: FloatMatrix = (features @ self.weights + self.intercept).astype(np.float32)
        return mapped


@dataclass(frozen=True, eq=False)
class CrossFitted(Generic[Item]):
    """Features of training items by networks that did not learn from them, and what makes those of others.

    Parameters
    ----------
    train : float32 (n, d), row i is training item i
    folds : int64 (n,), the fold that each training item is in
    networks : of each fold the one that did not learn from it, followed by its alignment
    """

    train: FloatMatrix = field(repr=False)
    folds: Labels = field(repr=False)
    networks: tuple[Network[Item], ...] = field(repr=False)

    def features(self, items: Sequence[Item]) -> FloatMatrix:
        """Return float32 (n, d) of items that no network learnt from: the mean over all networks."""
        total = np.zeros((len(items), self.train.shape[1]))
        for network in self.networks:
            total += network(items)
        mean: FloatMatrix = (total / len(self.networks)).astype(np.float32)
        return mean

    def part_features(self, parts: Sequence[Sequence[Item]]) -> Parts:
        """Return the features of the parts of n items that no network learnt from, each an item by itself."""
        items, offsets = flattened(parts)
        return Parts(self.features(items), offsets)

    def train_part_features(self, parts: Sequence[Sequence[Item]]) -> Parts:
        """Return the features of the parts of all training items, in their order, each an item by itself.

        The parts of an item go through the same network and map as the item.
        """
        if len(parts) != len(self.folds):
            raise DatasetError(
                f"there are parts of {len(parts)} items and {len(self.folds)} training items; give parts of "
                "each, none where it has none"
            )
        items, offsets = flattened(parts)
        folds = np.repeat(self.folds, np.diff(offsets))
        return Parts(_by_fold(self.networks, items, folds, self.train.shape[1]), offsets)


def flattened(parts: Sequence[Sequence[Item]]) -> tuple[list[Item], Labels]:
    """Return the parts of all items one after the other, and where those of each begin: int64 (n + 1,).

    >>> flattened([("a", "b"), (), ("c",)])
    (['a', 'b', 'c'], array([0, 2, 2, 3]))
    """
    return list(chain.from_iterable(parts)), offsets_of(map(len, parts))


def cross_fit(
    items: Sequence[Item], labels: Labels, learn: Learn[Item], *, folds: int = 5, seed: int = 0
) -> CrossFitted[Item]:
    """Return features of training items, each from a network that did not learn from it.

    ``learn(fold, rows)`` must return the network of a fold, which has seen no training items but those in
    ``rows``, int64 and ascending. It is called once for each fold, from 0 on, and each network is then
    called once for all training items. Networks may give different numbers of features; those of network
    0 count. The same start of all networks makes them easier to align.

    Raises ``DatasetError`` where a category has fewer items than there are folds, and for features that are
    not finite or not one row for each item.
    """
    if len(items) != len(labels):
        raise DatasetError(f"there are {len(items)} items and {len(labels)} labels; give as many of both")
    fold_of = stratified_folds(labels, folds, seed=seed)
    networks = [learn(fold, np.flatnonzero(fold_of != fold)) for fold in range(folds)]
    reference = _checked(networks[0], items, 0)
    train = np.array(reference, np.float32)
    aligned = [networks[0]]
    for fold, network in enumerate(networks[1:], start=1):
        features = _checked(network, items, fold)
        shared = (fold_of != 0) & (fold_of != fold)
        alignment = Alignment.fitted(features[shared], reference[shared])
        train[fold_of == fold] = alignment.mapped(features[fold_of == fold])
        aligned.append(_followed(network, alignment))
    return CrossFitted(train, fold_of, tuple(aligned))


def stratified_folds(labels: Labels, folds: int, *, seed: int) -> Labels:
    """Return the fold of each row, int64 (n,) from 0: each has nearly the same share of each category.

    Raises ``DatasetError`` for fewer than three folds, or a category of fewer rows than folds. Of two
    folds, no row would be outside both, and nothing left to align their networks by.
    """
    from sklearn.model_selection import StratifiedKFold

    categories, counts = np.unique(labels, return_counts=True)
    if not len(labels) or not 3 <= folds <= counts.min():
        smallest = (
            f"{counts.min()} items of category {categories[counts.argmin()]}" if len(labels) else "0 items"
        )
        raise DatasetError(
            f"folds is {folds}; it must be at least 3, and at most the {smallest}, the smallest"
        )
    fold_of = np.empty(len(labels), np.int64)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, unseen) in enumerate(splitter.split(labels, labels)):
        fold_of[unseen] = fold
    return fold_of


def _checked(network: Network[Item], items: Sequence[Item], fold: int) -> FloatMatrix:
    features = network(items)
    if features.ndim != 2 or len(features) != len(items):
        raise DatasetError(
            f"the network of fold {fold} gives features of shape {features.shape} for {len(items)} items; it "
            "must give a row for each"
        )
    if not np.isfinite(features).all():
        raise DatasetError(
            f"the network of fold {fold} gives features that are not finite; check its training"
        )
    return features


def _followed(network: Network[Item], alignment: Alignment) -> Network[Item]:
    return lambda items: alignment.mapped(network(items))


def _by_fold(
    networks: Sequence[Network[Item]], items: Sequence[Item], folds: Labels, width: int
) -> FloatMatrix:
    """Return the features of items, (n, width), each by the network of its fold."""
    features = np.empty((len(items), width), np.float32)
    for fold, network in enumerate(networks):
        rows = np.flatnonzero(folds == fold)
        if len(rows):
            features[rows] = network([items[row] for row in rows.tolist()])
    return features
