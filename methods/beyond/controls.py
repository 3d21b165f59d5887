"""Controls: what a suite must show of methods that know nothing, nothing but the features, or all labels."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.contract import Method
from cmbench.methods.parameters import Count, check_parameters
from cmbench.methods.views.inputs import (
    Matrix,
    check_fitted,
    check_new_features,
    check_training_pairs,
    label_codes,
)


class Control(Method):
    """A control: it checks its input as methods do, and remembers the widths of both views."""

    uses_labels: ClassVar[bool] = False

    def fit(self, train: Split, validation: Split) -> Self:
        check_parameters(self)
        check_training_pairs(train)
        self.widths_ = {"images": train.images.shape[1], "texts": train.texts.shape[1]}
        self._learn(train)
        return self

    def _learn(self, train: Split) -> None:
        """Learn what there is to learn; nothing by default."""

    def _checked(self, features: NDArray[Any], view: str) -> NDArray[Any]:
        check_fitted(self, "widths_")
        check_new_features(features, view, width=self.widths_[view])
        return features


class Random(Control):
    """Random codes: what chance gives.

    A row becomes a Gaussian vector whose seed is ``random_state`` and the bytes of the row, so that it is the
    same alone as in a batch, and equal rows are equal. Its MAP must be that of a random order.
    """

    name: ClassVar[str] = "random"
    paper_name: ClassVar[str] = "Random"
    version: ClassVar[int] = 1
    nonconforming: ClassVar[Mapping[str, str]] = {"beats_chance": "it is chance"}

    n_components: Annotated[int, Count(1)] = 64
    """Size of a code."""
    random_state: Annotated[int, Count(0)] = 0
    """The seed."""

    def transform_images(self, images: NDArray[np.float32]) -> Matrix:
        return self._codes(images, "images")

    def transform_texts(self, texts: NDArray[np.float32]) -> Matrix:
        return self._codes(texts, "texts")

    def _codes(self, features: NDArray[Any], view: str) -> Matrix:
        rows = np.ascontiguousarray(self._checked(features, view))
        codes = [self._code(row, view) for row in rows]
        return np.array(codes).reshape(len(rows), self.n_components)

    def _code(self, row: NDArray[Any], view: str) -> Matrix:
        seed = sha256(f"{self.random_state} {view} ".encode() + row.tobytes()).digest()
        return np.random.default_rng(np.frombuffer(seed, np.uint32)).normal(size=self.n_components)


class Majority(Control):
    """The most frequent category of training for every item: all tie, and its MAP must be that of chance.

    In the all-modal gallery it is below what a random ranking has: the query, which there comes first in its
    own ranking, ties with all others as well.
    """

    name: ClassVar[str] = "majority"
    paper_name: ClassVar[str] = "Majority"
    uses_labels: ClassVar[bool] = True
    multi_label: ClassVar[bool] = True
    version: ClassVar[int] = 1
    nonconforming: ClassVar[Mapping[str, str]] = {
        "gives_usable_representations": "every item has the same representation",
        "beats_chance": "it is chance",
        "says_whether_it_uses_labels": "the labels of training tell only which category is the most frequent",
    }

    def _learn(self, train: Split) -> None:
        codes = label_codes(train.labels, len(train.images))
        self.code_ = np.zeros(codes.shape[1])
        self.code_[codes.sum(axis=0).argmax()] = 1.0

    def transform_images(self, images: NDArray[np.float32]) -> Matrix:
        return np.tile(self.code_, (len(self._checked(images, "images")), 1))

    def transform_texts(self, texts: NDArray[np.float32]) -> Matrix:
        return np.tile(self.code_, (len(self._checked(texts, "texts")), 1))


class Identity(Control):
    """The features as they are, where both modalities come from an encoder of one space, CLIP say.

    What a method adds to such features shows beside it. It is left out where the widths differ, and where
    the card of the dataset names no ``shared_space``: of features that only happen to be as wide as each
    other it says nothing, though its MAP need not be that of chance, since vectors of numbers that are all
    positive resemble one another.
    """

    name: ClassVar[str] = "identity"
    paper_name: ClassVar[str] = "Identity"
    equal_widths: ClassVar[bool] = True
    shared_space: ClassVar[bool] = True
    version: ClassVar[int] = 1

    def _learn(self, train: Split) -> None:
        images, texts = self.widths_["images"], self.widths_["texts"]
        if images != texts:
            raise MethodError(
                f"identity: images have {images} features and texts {texts}, so they share no space; "
                "leave this control out, or give features of an encoder of both, such as CLIP"
            )

    def transform_images(self, images: NDArray[np.float32]) -> Matrix:
        return self._checked(images, "images").astype(np.float64)

    def transform_texts(self, texts: NDArray[np.float32]) -> Matrix:
        return self._checked(texts, "texts").astype(np.float64)


class Oracle(Control):
    """The categories of the test items themselves: the most that knowing categories can give.

    The representation of an item is its category, as a vector of 0 and 1. Where items of one category are
    relevant its MAP is 1; where the pair itself is (protocol ``pairs``), all pairs of a category tie, and it
    is that of a random order within the category. No process of a method is handed test labels, and that of
    this one is not either: it gives sums of features, which the evaluation replaces.
    """

    name: ClassVar[str] = "oracle"
    paper_name: ClassVar[str] = "Oracle"
    uses_labels: ClassVar[bool] = True
    multi_label: ClassVar[bool] = True
    reads_test_labels: ClassVar[bool] = True
    version: ClassVar[int] = 1
    nonconforming: ClassVar[Mapping[str, str]] = {
        "beats_chance": "without the labels of test items it is chance",
        "says_whether_it_uses_labels": "it uses those of the test items alone",
    }

    def _learn(self, train: Split) -> None:
        label_codes(train.labels, len(train.images))  # which refuses labels that tell nothing apart

    def transform_images(self, images: NDArray[np.float32]) -> Matrix:
        return self._sums(images, "images")

    def transform_texts(self, texts: NDArray[np.float32]) -> Matrix:
        return self._sums(texts, "texts")

    def _sums(self, features: NDArray[Any], view: str) -> Matrix:
        sums: Matrix = self._checked(features, view).sum(axis=1, dtype=np.float64, keepdims=True)
        return sums
