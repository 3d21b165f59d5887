"""A representation by the labels of nearby training items, as the authors' JRL code retrieves by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.methods.kernel_laplacian import closeness
from cmbench.methods.knn_graph import squared_distance_blocks
from cmbench.methods.views.inputs import Labels, Matrix
from cmbench.methods.views.maps import RowMap


@dataclass(frozen=True, eq=False)
class LabelHistogramMap:
    """A row becomes the histogram of the labels of its nearest anchors, made a unit vector.

    An anchor at distance t from the projected row weighs 1 / (1 + exp(t)); the weights of a row
    add up to 1. The length that the histogram h (c,) lacks of 1 goes into one of two more columns,
    another for each view: so the cosine of an image and a text is the inner product of their
    histograms, which is what the authors rank by. Two rows of one view share the added column, and
    their cosine is not.

    Parameters
    ----------
    projection : from the features of the view to the space of the anchors
    anchors : float64 (m, c)
    anchor_classes : int (m,), from 0
    n_neighbours : anchors that count
    added_column : 0 or 1, which of the two more columns is this view's
    """

    projection: RowMap
    anchors: Matrix
    anchor_classes: Labels
    n_neighbours: int
    added_column: int

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to unit vectors (n, c + 2)."""
        histograms = self.histograms(features)
        added = np.zeros((len(histograms), 2))
        added[:, self.added_column] = np.sqrt(np.clip(1 - np.sum(histograms**2, axis=1), 0, None))
        return np.hstack([histograms, added])

    def histograms(self, features: NDArray[Any]) -> Matrix:
        """Return the histograms (n, c) of features (n, d)."""
        projected = self.projection(features)
        blocks = squared_distance_blocks(projected, self.anchors)
        histograms = [self._histograms(distances) for _, distances in blocks]
        return np.concatenate([np.empty((0, self.n_classes)), *histograms])

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return int(self.anchor_classes.max()) + 1

    def _histograms(self, distances: Matrix) -> Matrix:
        k = min(self.n_neighbours, len(self.anchors))
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        weights = closeness(np.take_along_axis(distances, nearest, axis=1))
        rows = np.repeat(np.arange(len(distances)), k)
        shape = (len(distances), self.n_classes)
        flat = np.ravel_multi_index((rows, self.anchor_classes[nearest].ravel()), shape)
        counts = np.bincount(flat, weights.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
        totals = counts.sum(axis=1, keepdims=True)
        return counts / np.where(totals > 0, totals, 1)  # all anchors beyond the range of exp: zero row
