"""The pairs of a dataset divided anew: other training, validation and test pairs of the same pool.

The numbers of one split depend on which pairs happen to be its test pairs; 100 of them give a MAP a standard
error of about .04. Splits that are drawn again show how much of a difference that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import LARGEST_SEED, Labels, Split
from cmbench.datasets.together import belonging_together
from cmbench.errors import DatasetError

Numbers = NDArray[np.int64]


def redrawn(dataset: Dataset, seed: int) -> Dataset:
    """Return the dataset with its pairs divided anew; the same seed gives the same split.

    Training, validation and test pairs are pooled. Each new split has as many pairs of each category as the
    dataset's own; a pair of several categories counts for the rarest of them. Pairs that share a picture,
    by name, by equal features, or by features that are near-copies of each other, stay in one split, and so
    do pairs that belong together by the card (``shared_after``). The numbers of pairs may differ a little.

    The result has a fingerprint and a name of its own, and its card says of which dataset it is a split.

    Raises
    ------
    DatasetError
        If the split is part of what the dataset is: it has a retrieval set, or test pairs of categories
        without training pairs. Also if pairs that belong together leave a split empty or without a category.
    """
    _check(dataset, seed)
    pool = [dataset.train, dataset.validation, dataset.test]
    labels = np.concatenate([split.labels for split in pool])
    strata = _strata(labels)
    goal = _pairs_wanted(strata, [len(split) for split in pool])
    owner = _drawn(
        strata, belonging_together(pool, dataset.card.shared_after), goal, np.random.default_rng(seed)
    )
    train, validation, test = (_taken(pool, np.flatnonzero(owner == at)) for at in range(len(pool)))
    card = replace(
        dataset.card, sizes=None, fingerprint="", split_of=dataset.fingerprint, split_seed=int(seed)
    )
    name = f"{dataset.name} (split {seed})"  # as base_name has it
    return Dataset(name, train, validation, test, dataset.class_names, card)


def _check(dataset: Dataset, seed: int) -> None:
    if not 0 <= seed <= LARGEST_SEED:
        raise DatasetError(f"split seed {seed} is not between 0 and {LARGEST_SEED}")
    if dataset.card.split_of:
        raise DatasetError(f"{dataset.name!r} is a split drawn anew already; draw from the dataset it is of")
    if dataset.retrieval is not None:
        raise DatasetError(
            f"dataset {dataset.name!r} has a retrieval set, which belongs to its split; use one split"
        )
    unseen = dataset.unseen_in(dataset.test)
    if len(unseen):
        raise DatasetError(
            f"dataset {dataset.name!r} has test pairs of {len(unseen)} categories without a training pair, "
            "which divided anew would be another task; use one split"
        )


def _strata(labels: Labels) -> Numbers:
    """Return the category by which each pair is drawn (n,): its own, or the rarest of several; else -1."""
    if labels.ndim == 1:
        return labels
    counts = labels.sum(axis=0)
    order = np.argsort(counts, kind="stable")
    rarest = [next((int(label) for label in order if row[label]), -1) for row in labels]
    return np.array(rarest, dtype=np.int64)


def _pairs_wanted(strata: Numbers, sizes: Sequence[int]) -> dict[int, Numbers]:
    """Return by category how many of its pairs each split (train, val, test) has."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return {
        int(category): np.bincount(owner[strata == category], minlength=len(sizes))
        for category in np.unique(strata)
    }


def _drawn(
    strata: Numbers, groups: Sequence[Numbers], goal: dict[int, Numbers], random: np.random.Generator
) -> Numbers:
    """Return the split (0 train, 1 val, 2 test) of each row.

    Large groups are placed first, in a random order among equals. A group goes to a split drawn with a
    chance in proportion to the places left there for its categories, among those with room for all of it.
    For groups of one row, which fill what is left, every division with these sizes is equally likely.
    """
    left = {category: counts.copy() for category, counts in goal.items()}
    owner = np.empty(len(strata), dtype=np.int64)
    shuffled = random.permutation(len(groups))
    for at in sorted(shuffled.tolist(), key=lambda at: -len(groups[at])):
        rows = groups[at]
        categories, needed = np.unique(strata[rows], return_counts=True)
        places = np.array([left[int(category)] for category in categories])
        chances = np.where((places >= needed[:, None]).all(axis=0), places.sum(axis=0), 0)
        split = _chosen(chances, places.sum(axis=0), random)
        owner[rows] = split
        for category, count in zip(categories, needed, strict=True):
            left[int(category)][split] -= count
    return owner


def _chosen(chances: Numbers, places: Numbers, random: np.random.Generator) -> int:
    """Return a split drawn by its chances; where none has room, that with the most places left."""
    if not chances.sum():
        return int(np.argmax(places))
    return int(random.choice(len(chances), p=chances / chances.sum()))


def _taken(pool: Sequence[Split], rows: Numbers) -> Split:
    """Return the pairs in these rows of the pool, in order; only they are read."""
    starts = np.cumsum([0, *(len(split) for split in pool)])
    own = [rows[(rows >= start) & (rows < end)] - start for start, end in pairwise(starts)]
    return Split.joined([split.take(chosen) for split, chosen in zip(pool, own, strict=True)])
