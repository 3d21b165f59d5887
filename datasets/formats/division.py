"""Validation and test pairs drawn from others, for files that do not divide their pairs."""

from __future__ import annotations

from collections.abc import Sequence
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
    chosen = _by_lot(split.first_categories, belonging_together([split]), share, seed)
    return split.take(np.flatnonzero(~chosen)), split.take(np.flatnonzero(chosen))


def _by_lot(strata: Rows, groups: Sequence[Rows], share: float, seed: int) -> NDArray[np.bool_]:
    """Return whether each row is drawn; rows of a group are or are not together."""
    chosen = np.zeros(len(strata), dtype=np.bool_)
    by_category: dict[int, list[Rows]] = {}
    for rows in groups:
        by_category.setdefault(int(strata[rows[0]]), []).append(rows)
    for category, members in by_category.items():
        left = int(share * sum(map(len, members)) + 0.5)
        for at in np.random.default_rng([seed, category]).permutation(len(members)).tolist():
            if len(members[at]) <= left:
                chosen[members[at]] = True
                left -= len(members[at])
    return chosen


def helpful_share(
    split: Split, categories: int, *, enough: int, than: tuple[int, int], most_products: float
) -> float | None:
    """Return the share of training pairs to draw for validation; None where none makes a better choice.

    A better choice has more categories with two pairs, or as many and more pairs, up to ``enough``; and it is
    not of less than half as many pairs.

    Parameters
    ----------
    split : the training pairs
    categories : how many there are
    enough : the number of pairs that the smallest share is to give, where one does
    than : how many categories have two validation pairs, and how many pairs there are
    most_products : with more multiplications near-copies among pictures are not looked for
    """
    twice, before = than
    groups = belonging_together([split], most_products=most_products)
    better: list[tuple[float, int]] = []
    for share in (0.1, 0.2, 0.3, 0.4, 0.5):
        chosen = _by_lot(split.first_categories, groups, share, Shares().seed)
        of_two, found = _choice(split, chosen, categories)
        if 2 * found >= before and (of_two, min(found, enough)) > (twice, min(before, enough)):
            better.append((share, found))
    return next((share for share, found in better if found >= enough), better[-1][0] if better else None)


def _choice(split: Split, chosen: NDArray[np.bool_], categories: int) -> tuple[int, int]:
    """Return how many categories have two of the chosen pairs, and how many these are; (0, 0) if useless."""
    found = int(chosen.sum())
    taken, left = (category_counts(split.labels[rows], categories) for rows in (chosen, ~chosen))
    one_category = categories and (np.count_nonzero(taken) < 2 or max(taken) == found)
    used_up = any(count and not rest for count, rest in zip(taken, left, strict=True))
    if found < 2 or len(split) - found < 2 or one_category or used_up:
        return 0, 0
    return sum(count > 1 for count in taken), found
