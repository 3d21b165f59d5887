"""Parts of items, and the codes of items that are means over those of their parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.contract import Parts, Split
from cmbench.errors import MethodError
from cmbench.methods.training.device import CodeMap
from cmbench.methods.views.inputs import Modality


@dataclass(frozen=True, eq=False)
class Items:
    """One view of n items: features (n, d), and the parts of each where there are any."""

    features: NDArray[Any]
    parts: Parts | None = None


def items_of(split: Split) -> dict[Modality, Items]:
    """Return both views of a split."""
    return {
        "image": Items(split.images, split.image_parts),
        "text": Items(split.texts, split.text_parts),
    }


@dataclass(frozen=True, eq=False)
class WholeMap:
    """Items become what a map makes of their features, whatever their parts."""

    codes: CodeMap

    def encode(self, items: Items) -> NDArray[np.float32]:
        """Map n items to (n, k)."""
        return self.codes.encode(items.features)


@dataclass(frozen=True, eq=False)
class PartMap:
    """Items become the mean of what a map makes of their parts, each part by itself."""

    codes: CodeMap

    def encode(self, items: Items) -> NDArray[np.float32]:
        """Map n items to (n, k)."""
        parts = completed(items, self.codes.view)
        return part_means(self.codes.encode(parts.values), parts.offsets)


def completed(items: Items, view: str) -> Parts:
    """Return the parts of items; one without any counts as its only part.

    This is what the released program of CCL does. Items of which none has parts raise ``MethodError``.
    """
    features, parts = items.features, items.parts
    if parts is None:
        raise MethodError(
            f"{view} come without parts, which this method needs; take one that does not, ccl-coarse say"
        )
    counts = np.diff(parts.offsets)
    if len(counts) != len(features):
        raise MethodError(f"there are {len(features)} {view}, but parts of {len(counts)}; give parts of each")
    if counts.all():
        return parts
    if parts.values.shape[1] != features.shape[1]:
        raise MethodError(
            f"{view} row {int(np.argmin(counts))} has no parts, and cannot be its own: parts have "
            f"{parts.values.shape[1]} features and {view} {features.shape[1]}; give each item a part"
        )
    empty = np.flatnonzero(counts == 0)
    values = np.insert(parts.values, parts.offsets[empty], features[empty], axis=0)
    return Parts(values, np.concatenate([[0], np.cumsum(np.maximum(counts, 1))]).astype(np.int64))


def part_means(codes: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the means (n, k) of codes of parts (m, k), of which none of the n items is without.

    >>> part_means(np.array([[1.0], [3.0], [5.0]]), np.array([0, 2, 3])).tolist()
    [[2.0], [5.0]]
    """
    sums = np.add.reduceat(codes, offsets[:-1], axis=0, dtype=np.float64)
    return (sums / np.diff(offsets)[:, None]).astype(np.float32)
