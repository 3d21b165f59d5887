"""Which pairs belong together, so that no division of a dataset may part them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Split
from cmbench.datasets.repetitions import MOST_PRODUCTS, alike_rows, row_digests

Numbers = NDArray[np.int64]


def belonging_together(
    pool: Sequence[Split], shared_after: str = "", *, most_products: float = MOST_PRODUCTS
) -> list[Numbers]:
    """Return the rows of the pool in groups that must stay in one split, most of them of one row.

    Rows share a picture by its name, by equal features or near-copies of them, or by an id PICTURE#NUMBER;
    with ``shared_after``, by what stands after it in their ids. Groups are in the order of their first rows.
    Near-copies are not looked for where that takes more than ``most_products`` multiplications.
    """
    sizes = [len(split) for split in pool]
    first = _Groups(sum(sizes))
    images = [digest for split in pool for digest in row_digests(split.images)]
    first.join_equal(images)
    pictures = [split.image_ids for split in pool if split.image_ids is not None]
    if len(pictures) == len(pool):
        first.join_equal([str(name) for names in pictures for name in names])
    first.join_equal([name for split in pool for name in _captioned(split)])
    if shared_after:
        ids = (str(identifier) for split in pool for identifier in split.ids.tolist())
        first.join_equal([identifier.rpartition(shared_after)[2] for identifier in ids])
    for one, other in alike_rows([split.images for split in pool], most_products=most_products):
        first.join(one, other)
    return first.rows()


def _captioned(split: Split) -> list[str]:
    """Return PICTURE of ids that read PICTURE#NUMBER, and other ids as they are."""
    names = (str(identifier).rpartition("#") for identifier in split.ids.tolist())
    return [
        picture if picture and number.isdecimal() else f"{picture}#{number}" for picture, _, number in names
    ]


class _Groups:
    """Rows that are joined two and two, and what belongs together then."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        self._parent[second] = first

    def join_equal(self, keys: Sequence[object]) -> None:
        """Join the rows with equal keys."""
        places: dict[object, int] = {}
        for row, key in enumerate(keys):
            self.join(places.setdefault(key, row), row)

    def rows(self) -> list[Numbers]:
        """Return the groups in the order of their first rows."""
        members: dict[int, list[int]] = {}
        for row in range(len(self._parent)):
            members.setdefault(self._root(row), []).append(row)
        return [np.array(group, dtype=np.int64) for group in members.values()]

    def _root(self, row: int) -> int:
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row
