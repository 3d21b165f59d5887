"""Random choices whose stream is the same on every machine and in every NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


class Chance:
    """A stream of choices for one pair of one collection.

    NEP 19 freezes the stream of ``RandomState``. Only its 53-bit uniform numbers are used, because
    its integers depend on the platform's C long and its normal numbers on the C library's logarithm.
    """

    def __init__(self, seed: int, index: int) -> None:
        self._stream = np.random.RandomState([seed, index])

    def uniform(self, *shape: int) -> NDArray[np.float64]:
        """Return uniform numbers in [0, 1) of that shape."""
        return self._stream.random_sample(shape)

    def between(self, low: float, high: float) -> float:
        """Return a uniform number in [low, high)."""
        return low + (high - low) * float(self._stream.random_sample())

    def happens(self, probability: float) -> bool:
        """Return True with that probability."""
        return float(self._stream.random_sample()) < probability

    def one_of(self, items: Sequence[Item]) -> Item:
        """Return one of the items, all equally likely."""
        return items[int(float(self._stream.random_sample()) * len(items))]

    def some_of(self, items: Sequence[Item], count: int) -> list[Item]:
        """Return ``count`` different items (all of them if there are fewer) in random order."""
        left = list(items)
        return [left.pop(int(self.between(0, len(left)))) for _ in range(min(count, len(items)))]

    def weighted(self, weights: Mapping[Item, float]) -> Item:
        """Return a key of ``weights``, each as likely as its share of the sum."""
        mark = self.between(0.0, fsum(weights.values()))  # sum() rounds otherwise since Python 3.12
        for item, weight in weights.items():
            mark -= weight
            if mark < 0:
                return item
        return next(reversed(list(weights)))
