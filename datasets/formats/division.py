"""Validation and test pairs drawn from others, for files that do not divide their pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Split
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


def _strata(split: Split) -> Rows:
    if not split.is_multi_label:
        return split.labels
    has_categories = split.labels.shape[1] > 0
    return split.labels.argmax(axis=1) if has_categories else np.zeros(len(split), dtype=np.int64)
