"""Pairs that any method should learn, a method that is tried on them, and the errors of checks."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Parts, Split, offsets_of
from cmbench.errors import MethodError
from cmbench.methods.contract import Method, Unlabelled

MARGIN = 0.1  # of MAP: by which it must pass chance on the easy pairs, and may differ on a GPU
RTOL, ATOL = 1e-3, 1e-4  # what rounding in float32 may change, magnified where outputs are standardised
CLASSES, IMAGE_WIDTH, TEXT_WIDTH = 4, 12, 8


def easy_pairs() -> tuple[Split, Split, Split]:
    """Return training, validation and test pairs of four categories that lie well apart, with parts."""
    return tuple(pairs_of(name, count, at) for at, (name, count) in enumerate(_SIZES))  # type: ignore[return-value]


_SIZES = (("train", 80), ("validation", 40), ("test", 40))


def pairs_of(name: str, count: int, seed: int) -> Split:
    """Return pairs whose views are linear images of a category's prototype and of what the pair shares."""
    fixed, noise = np.random.default_rng(0), np.random.default_rng(seed + 1)
    prototypes, to_image, to_text = (
        fixed.standard_normal(shape) for shape in ((CLASSES, 6), (6, IMAGE_WIDTH), (6, TEXT_WIDTH))
    )
    labels = np.arange(count) % CLASSES
    meaning = 1.5 * prototypes[labels] + 0.5 * noise.standard_normal((count, 6))
    images, texts = (
        (meaning @ view + 0.5 * noise.standard_normal((count, view.shape[1]))).astype(np.float32)
        for view in (to_image, to_text)
    )
    ids = np.array([f"{name} {number}" for number in range(count)])
    numbers = labels.astype(np.int64)
    return Split(images, texts, numbers, ids, parts_of(images, noise), parts_of(texts, noise))


def parts_of(rows: NDArray[np.float32], noise: np.random.Generator) -> Parts:
    """Return one to three noisy copies of each row."""
    counts = noise.integers(1, 4, len(rows))
    values = np.repeat(rows, counts, axis=0)
    noisy = (values + 0.3 * noise.standard_normal(values.shape)).astype(np.float32)
    return Parts(noisy, offsets_of(counts))


def mapped(method: Method, split: Split, rows: Any = slice(None)) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the representations of some rows of a split, of images and of texts."""
    images, texts = split.images[rows], split.texts[rows]
    if not method.uses_parts:
        return np.asarray(method.transform_images(images)), np.asarray(method.transform_texts(texts))
    chosen = np.arange(len(split))[rows]
    given = (split.image_parts, split.text_parts)
    parts = [None if each is None else each.take(chosen) for each in given]
    to_image: Callable[..., Any] = method.transform_images
    to_text: Callable[..., Any] = method.transform_texts
    return np.asarray(to_image(images, parts[0])), np.asarray(to_text(texts, parts[1]))


@dataclass(frozen=True, eq=False)
class Subject:
    """A method, and the parameters in place of its defaults with which it is checked.

    ``fit`` of large networks takes minutes at its defaults; a few epochs of small ones keep the same rules.
    """

    method: type[Method]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> set[str]:
        """The names of all parameters."""
        return set(inspect.signature(self.method).parameters)

    def new(self, **changes: Any) -> Method:
        """Return the method, not fitted."""
        return self.method(**{**self.parameters, **changes})

    def fitted(self, train: Split, validation: Split, **changes: Any) -> Method:
        """Return the method, fitted; warnings of the method are not the business of a check."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            method = self.new(**changes)
            test = easy_pairs()[2]
            given = {"unlabelled": Unlabelled(test.images, test.texts)} if method.wants_unlabelled else {}
            returned = method.fit(train, validation, **given)
        if returned is not method:
            raise NonconformityError(f"fit returns {returned!r:.60}; end it with 'return self'")
        return method

    @cached_property
    def example(self) -> Method:
        """The method fitted on the easy pairs; made once for all checks."""
        return self.fitted(*easy_pairs()[:2])


class NonconformityError(MethodError):
    """A method does not keep what every method has to keep."""


class Skipped(Exception):
    """A check does not apply to the method; the text says why."""
