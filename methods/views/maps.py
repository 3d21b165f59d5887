"""Fitted maps from the features of one view to the common representation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Generic, Protocol, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Split
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.contract import Method, Representations
from cmbench.methods.parameters import Count
from cmbench.methods.views.inputs import Matrix, check_fitted, check_new_features, row_blocks, warn
from cmbench.methods.views.scaling import ScaledView, Scaling

RowMap: TypeAlias = Callable[[Any], NDArray[Any]]
"""Features (n, d), or items of another kind, become representations or codes (n, k), row by row."""


class ComponentMap(Protocol):
    """A map of features (n, d) to (n, k) whose ``first(j)`` gives the first j of the k columns."""

    def __call__(self, features: NDArray[Any]) -> Matrix: ...

    def first(self, n_components: int) -> Self: ...


@dataclass(frozen=True, eq=False)
class Chain:
    """Maps one after another: what one gives goes into the next.

    Examples
    --------
    >>> Chain(np.abs, np.sqrt)(np.array([[-4.0]]))
    array([[2.]])
    """

    steps: tuple[RowMap, ...]

    def __init__(self, *steps: RowMap) -> None:
        object.__setattr__(self, "steps", steps)

    def __call__(self, items: Any) -> NDArray[Any]:
        """Map n items to (n, k)."""
        for step in self.steps:
            items = step(items)
        mapped: NDArray[Any] = items
        return mapped


@dataclass(frozen=True, eq=False)
class SideBySide:
    """What several maps make of the same items, in one matrix (n, sum of widths).

    Examples
    --------
    >>> SideBySide(np.abs, np.negative)(np.array([[-4.0]]))
    array([[4., 4.]])
    """

    steps: tuple[RowMap, ...]

    def __init__(self, *steps: RowMap) -> None:
        object.__setattr__(self, "steps", steps)

    def __call__(self, items: Any) -> NDArray[Any]:
        """Map n items to (n, sum of widths)."""
        return np.hstack([mapping(items) for mapping in self.steps])


def in_float64(codes: NDArray[Any]) -> Matrix:
    """Return codes in the precision of representations."""
    return codes.astype(np.float64)


def steps_of(mapping: RowMap) -> Iterator[RowMap]:
    """Yield every map that a map of maps consists of, however deep, in order."""
    steps = getattr(mapping, "steps", None)
    if steps is None:
        yield mapping
        return
    for step in steps:
        yield from steps_of(step)


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

    @classmethod
    def linear(
        cls, images: ScaledView, texts: ScaledView, image_weights: Matrix, text_weights: Matrix
    ) -> MapPair:
        """Return the maps that scale the rows of a view, and multiply them by its weights (d, k)."""
        return cls(
            LinearMap("images", images.scaling, image_weights),
            LinearMap("texts", texts.scaling, text_weights),
        )

    def first(self, n_components: int) -> MapPair:
        """Return the maps to the first components only."""
        return MapPair(self.images.first(n_components), self.texts.first(n_components))


class MappedMethod(Method):
    """A method whose ``fit`` leaves a fitted map for each view."""

    image_map_: RowMap = field(init=False)
    text_map_: RowMap = field(init=False)

    def transform_images(self, images: NDArray[np.float32]) -> Representations:
        self._check_fitted()
        return self.image_map_(images)

    def transform_texts(self, texts: NDArray[np.float32]) -> Representations:
        self._check_fitted()
        return self.text_map_(texts)

    def _adopt(self, choice: Choice[Any]) -> None:
        """Set the maps that were chosen on validation, their size, and the MAP they were chosen by."""
        self.image_map_, self.text_map_ = choice.maps.images, choice.maps.texts
        self.n_components_ = choice.n_components
        self.validation_map_ = choice.validation_map

    def _check_fitted(self) -> None:
        check_fitted(self, "text_map_")


class ComponentMethod(MappedMethod):
    """A mapped method whose components come in order of importance, of which the first few are kept."""

    n_components: Annotated[int | str, Count(1, words=("all", "validation"))] = "validation"
    """Size of the common space; ``"all"`` is as many as the data support. ``"validation"`` tries c, 2c, 50,
    100, 200 and all, for c categories, and c - 1 too where components are canonical correlations; it keeps
    the size with the highest mean of the two bi-modal MAPs on validation.
    """


def with_fixed_signs(image_weights: Matrix, text_weights: Matrix) -> tuple[Matrix, Matrix]:
    """Flip each component so that its largest image weight, by magnitude, is positive.

    The text column is flipped with its image column: a pair of components is only determined up
    to one common sign.

    >>> with_fixed_signs(np.array([[-2.0], [1.0]]), np.array([[3.0]]))
    (array([[ 2.],
           [-1.]]), array([[-3.]]))
    """
    largest = np.abs(image_weights).argmax(axis=0)
    signs = np.sign(image_weights[largest, np.arange(image_weights.shape[1])])
    signs[signs == 0] = 1.0
    return image_weights * signs, text_weights * signs


COMMON_SIZES = (50, 100, 200)

Model = TypeVar("Model")


@dataclass(frozen=True, eq=False)
class Candidate(Generic[Model]):
    """A fitted model, the maps it gives, and the numbers of components to try with them."""

    model: Model
    maps: MapPair
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Choice(Generic[Model]):
    """The chosen model, its maps cut to the chosen size, and its validation MAP.

    ``validation_map`` is the mean of the two bi-modal MAPs, or None when there was no choice to make.
    """

    model: Model
    maps: MapPair
    n_components: int
    validation_map: float | None


def sizes_to_try(
    requested: int | str, rank: int, validation: Split, *, fewer_than_classes: bool = False
) -> tuple[int, ...]:
    """Return the numbers of components that ``requested`` stands for, none above ``rank``.

    ``"validation"`` stands for {c, 2c, 50, 100, 200, all} with c the number of categories in
    ``validation``, and for c - 1 too where ``fewer_than_classes``; ``"all"`` for ``rank``. A number
    above ``rank`` is cut to it with a warning.
    """
    if requested == "all":
        return (rank,)
    if requested == "validation":
        n_classes = len(validation.categories)
        sizes = {*COMMON_SIZES, rank}
        sizes |= {n_classes, 2 * n_classes} if n_classes else set()
        sizes |= {max(n_classes - 1, 1)} if fewer_than_classes else set()
        return tuple(sorted({min(size, rank) for size in sizes}))
    if int(requested) > rank:
        warn(f"n_components is {requested}, but the data support only {rank}; using {rank}")
    return (min(int(requested), rank),)


def choose(candidates: Sequence[Candidate[Model]], validation: Split) -> Choice[Model]:
    """Return the candidate and size with the highest bi-modal MAP on ``validation``; the first of equals.

    A single candidate with a single size is returned without looking at ``validation``. Where all have the
    same MAP, a ``MethodWarning`` says that nothing was chosen.
    """
    only = candidates[0]
    if len(candidates) == 1 and len(only.sizes) == 1:
        return _choice(only, only.sizes[0], None)
    tried = [
        (score, candidate, size)
        for candidate in candidates
        for size, score in _scores(candidate.maps, candidate.sizes, validation)
    ]
    score, candidate, size = max(tried, key=lambda attempt: attempt[0])
    if len({score for score, _, _ in tried}) == 1:
        warn(
            f"all {len(tried)} settings tried have the validation MAP {score:.4g}, so the first of them was "
            "taken; give more validation pairs, or set the parameters"
        )
    return _choice(candidate, size, score)


def _scores(maps: MapPair, sizes: tuple[int, ...], validation: Split) -> Iterable[tuple[int, float]]:
    images, texts = maps.images(validation.images), maps.texts(validation.texts)
    for size in sizes:
        yield size, bimodal_map(images[:, :size], texts[:, :size], validation.targets)


def _choice(candidate: Candidate[Model], size: int, score: float | None) -> Choice[Model]:
    return Choice(candidate.model, candidate.maps.first(size), size, score)
