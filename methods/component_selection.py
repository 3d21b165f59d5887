"""Choosing the number of components, and one of several models, by MAP on the validation pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from cmbench.datasets.contract import Split
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.method_warning import warn
from cmbench.methods.view_map import MapPair

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
        n_classes = len(np.unique(validation.labels))
        sizes = {n_classes, 2 * n_classes, *COMMON_SIZES, rank}
        sizes |= {max(n_classes - 1, 1)} if fewer_than_classes else set()
        return tuple(sorted({min(size, rank) for size in sizes}))
    if int(requested) > rank:
        warn(f"n_components is {requested}, but the data support only {rank}; using {rank}")
    return (min(int(requested), rank),)


def choose(candidates: Sequence[Candidate[Model]], validation: Split) -> Choice[Model]:
    """Return the candidate and size with the highest bi-modal MAP on ``validation``; the first of equals.

    A single candidate with a single size is returned without looking at ``validation``.
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
    return _choice(candidate, size, score)


def _scores(maps: MapPair, sizes: tuple[int, ...], validation: Split) -> Iterable[tuple[int, float]]:
    images, texts = maps.images(validation.images), maps.texts(validation.texts)
    for size in sizes:
        yield size, bimodal_map(images[:, :size], texts[:, :size], validation.labels)


def _choice(candidate: Candidate[Model], size: int, score: float | None) -> Choice[Model]:
    return Choice(candidate.model, candidate.maps.first(size), size, score)
