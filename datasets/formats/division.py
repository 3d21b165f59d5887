"""Validation and test pairs drawn from others, for files that do not divide their pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Split, category_counts
from cmbench.datasets.together import belonging_together
from cmbench.errors import DatasetError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """Which part of the pairs is drawn for validation and for test; None where nothing is drawn.

    Parameters
    ----------
    validation : share of the training pairs, or of all pairs where they are not divided
    test : share of all pairs
    seed : of the draw
    """

    validation: float | None = None
    test: float | None = None
    seed: int = 0

    @property
    def by_split(self) -> dict[str, float]:
        """The shares by the name of the split that they are drawn for."""
        shares = {"val": self.validation, "test": self.test}
        return {name: share for name, share in shares.items() if share is not None}

    def __post_init__(self) -> None:
        for name, share in self.by_split.items():
            if not 0 < share < 1:
                raise DatasetError(f"the share for {name} is {share}; use one between 0 and 1, such as 0.1")
        if sum(self.by_split.values()) >= 1:
            raise DatasetError(
                f"the shares for validation and test are {self.validation} and {self.test}; leave pairs for "
                "training"
            )


def drawn(split: Split, share: float, *, seed: int) -> tuple[Split, Split]:
    """Return the pairs of ``split`` that stay, and those drawn from it.

    Of each category that share is drawn, rounded to the nearest number, by lot. Pairs of the same image, such
    as the five captions of a picture or crops of it, stay together. Of several labels of an item the first
    counts.
    """
    strata = _strata(split)
    groups = belonging_together([split])
    chosen = np.zeros(len(split), dtype=np.bool_)
    for category in np.unique(strata).tolist():
        of_category = [rows for rows in groups if strata[rows[0]] == category]
        left = int(share * sum(map(len, of_category)) + 0.5)
        for group in np.random.default_rng([seed, category]).permutation(len(of_category)).tolist():
            if len(of_category[group]) <= left:
                chosen[of_category[group]] = True
                left -= len(of_category[group])
    return split.take(np.flatnonzero(~chosen)), split.take(np.flatnonzero(chosen))


def helpful_share(split: Split, categories: int, *, enough: int, than: tuple[int, int]) -> float | None:
    """Return the share of training pairs to draw for validation; None where none makes a better choice.

    Parameters
    ----------
    split : the training pairs
    categories : how many there are
    enough : the number of pairs that the smallest share is to give, where one does
    than : how many categories have two validation pairs, and how many pairs there are
    """
    counts = np.array(category_counts(split.labels, categories), dtype=np.int64)
    pairs = {share: _found_by(counts, len(split), share) for share in (0.1, 0.2, 0.3, 0.4, 0.5)}
    twice, before = than
    better = [
        share
        for share, (of_two, found) in pairs.items()
        if (of_two, min(found, enough)) > (twice, min(before, enough))
    ]
    return next((share for share in better if pairs[share][1] >= enough), better[-1] if better else None)


def _found_by(counts: NDArray[np.int64], of: int, share: float) -> tuple[int, int]:
    """Return how many categories get two pairs by that share, and how many pairs it is; (0, 0) if useless.

    ``counts`` says how many of all pairs, which are ``of``, have each category.
    """
    pairs = int(share * of)
    of_each = (share * counts + 0.5).astype(np.int64)
    if len(counts):
        pairs = min(pairs, int(of_each.sum()))
    one_category = len(counts) and ((of_each > 0).sum() < 2 or counts.max() == of)
    nothing_left = ((of_each == counts) & (counts > 0)).any() or of - pairs < 2
    return (0, 0) if pairs < 2 or one_category or nothing_left else (int((of_each > 1).sum()), pairs)


def _strata(split: Split) -> Rows:
    if not split.is_multi_label:
        return split.labels
    has_categories = split.labels.shape[1] > 0
    return split.labels.argmax(axis=1) if has_categories else np.zeros(len(split), dtype=np.int64)
