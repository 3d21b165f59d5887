"""A few pairs of a dataset, for a first try of a method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Labels, Split, limited_name
from cmbench.errors import DatasetError

SEED = 0
Rows = NDArray[np.intp]


def limited(dataset: Dataset, pairs: int) -> Dataset:
    """Return a dataset of at most ``pairs`` pairs of each split, drawn by category.

    Every category keeps its share, and at least one training pair. The draw follows from the number alone.
    The dataset is called ``NAME-limit-PAIRS`` and has a fingerprint of its own, so that its numbers stand in
    tables of their own; one that has no more pairs is returned as it is. Raises ``DatasetError`` for fewer
    pairs than there are categories in training.
    """
    random = np.random.default_rng(SEED)
    wanted = len(dataset.train.categories)
    if pairs < wanted:
        raise DatasetError(
            f"a limit of {pairs} pairs leaves categories of dataset {dataset.name!r} without a training "
            f"pair; there are {wanted}, so give {wanted} or more"
        )
    if all(len(split) <= pairs for _, split in dataset.splits):
        return dataset
    retrieval = dataset.retrieval
    train = _limited(dataset.train, pairs, random, np.arange(len(dataset.train)))
    seen = None if dataset.unseen_categories else train.categories
    note = f"limited to {pairs} pairs of each split, drawn by category, for a first try"
    return Dataset(
        limited_name(dataset.name, pairs),
        train,
        _limited(dataset.validation, pairs, random, _of(dataset.validation, train.categories)),
        _limited(dataset.test, pairs, random, _of(dataset.test, seen)),
        dataset.class_names,
        replace(dataset.card, sizes=None, fingerprint="", notes=(*dataset.card.notes, note)),
        None if retrieval is None else _limited(retrieval, pairs, random, _of(retrieval, seen)),
        dataset.unseen_categories,
    )


def _limited(split: Split, pairs: int, random: np.random.Generator, allowed: Rows) -> Split:
    """Return that many of the allowed pairs of a split, in their order."""
    strata = split.first_categories[allowed]
    order = random.permutation(len(allowed))
    # the k-th pair of a category of m comes at (k + 1/2) / m: shares are kept wherever one cuts
    rank = np.empty(len(allowed))
    for stratum in np.unique(strata):
        members = order[strata[order] == stratum]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
        rank[members[0]] = -1.0  # the first of every category comes before all others
    chosen = np.sort(allowed[np.lexsort((order, rank))[:pairs]])
    return split.take(chosen)


def _of(split: Split, categories: Labels | None) -> Rows:
    """Return the pairs all of whose categories are among these, or all pairs for None."""
    if categories is None:
        return np.arange(len(split))
    if not split.is_multi_label:
        return np.flatnonzero(np.isin(split.labels, categories))
    others = np.setdiff1d(np.arange(split.labels.shape[1]), categories)
    return np.flatnonzero(~split.labels[:, others].any(axis=1))
