"""Fitted maps from the features of one view to the common representation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import MethodError
from cmbench.methods.contract import Method, Representations
from cmbench.methods.input_contract import check_new_features, row_blocks
from cmbench.methods.preprocessing import Matrix, Scaling


class RowMap(Protocol):
    """A map of features (n, d) to representations (n, k), row by row."""

    def __call__(self, features: NDArray[Any]) -> Matrix: ...


class ComponentMap(RowMap, Protocol):
    """A map whose ``first(k)`` gives the first k columns of what it gives."""

    def first(self, n_components: int) -> Self: ...


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A row becomes ``scaling(row) @ weights``, with ``weights`` (d, k)."""

    view: str
    scaling: Scaling
    weights: Matrix

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to (n, k); a row gives the same alone as in a batch."""
        check_new_features(features, self.view, width=len(self.weights))
        mapped = [self.scaling.apply(rows) @ self.weights for rows in row_blocks(features)]
        return np.concatenate([np.empty((0, self.weights.shape[1])), *mapped])

    def first(self, n_components: int) -> LinearMap:
        """Return the map to the first components only."""
        return replace(self, weights=self.weights[:, :n_components].copy())


@dataclass(frozen=True, eq=False)
class MapPair:
    """The maps of both views into one space, whose components come in order of importance."""

    images: ComponentMap
    texts: ComponentMap

    def first(self, n_components: int) -> MapPair:
        """Return the maps to the first components only."""
        return MapPair(self.images.first(n_components), self.texts.first(n_components))


class MappedMethod(Method):
    """A method whose ``fit`` leaves a fitted map for each view."""

    image_map_: RowMap
    text_map_: RowMap

    def transform_images(self, images: NDArray[np.float32]) -> Representations:
        self._check_fitted()
        return self.image_map_(images)

    def transform_texts(self, texts: NDArray[np.float32]) -> Representations:
        self._check_fitted()
        return self.text_map_(texts)

    def _check_fitted(self) -> None:
        if not hasattr(self, "text_map_"):
            raise MethodError(f"{self.name} is not fitted; call fit(train, validation) first")
