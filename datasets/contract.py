"""What a dataset is: three splits of image-text pairs, class names and a card."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.fingerprint import fingerprint
from cmbench.datasets.rules import broken_rules
from cmbench.errors import DatasetError

FloatMatrix = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of each item (regions of an image, segments of a text), ragged.

    ``values`` is float32 (m, d); the parts of item i are ``values[offsets[i]:offsets[i + 1]]``,
    with ``offsets`` int64 (n + 1,), non-decreasing from 0 to m.
    """

    values: FloatMatrix
    offsets: Labels

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, item: int) -> FloatMatrix:
        return self.values[self.offsets[item] : self.offsets[item + 1]]


@dataclass(frozen=True, eq=False)
class Split:
    """Image-text pairs: row i of ``images`` and row i of ``texts`` belong together.

    Parameters
    ----------
    images : float32 (n, d_image)
    texts : float32 (n, d_text)
    labels : int64 (n,), the category of each pair, from 0
    ids : str (n,), a name for each pair, unique over the dataset
    image_parts, text_parts : Parts of n items, optional
    image_groups, text_groups : int64 (d_image,) and (d_text,), optional
        The block each feature belongs to, for group-sparse methods.
    """

    images: FloatMatrix
    texts: FloatMatrix
    labels: Labels
    ids: NDArray[np.str_]
    image_parts: Parts | None = None
    text_parts: Parts | None = None
    image_groups: Labels | None = None
    text_groups: Labels | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_parts(self) -> bool:
        """Whether there are parts of both images and texts."""
        return self.image_parts is not None and self.text_parts is not None


@dataclass(frozen=True)
class Card:
    """Where a dataset comes from and how its features were made.

    ``sizes`` are the numbers of training, validation and test pairs its source states, and
    ``fingerprint`` is the SHA-256 it should have; both are verified when given. ``recipe`` is JSON: every
    setting, hash and version that the features depend on, for those who make them again.
    """

    source: str = "unknown"
    licence: str = "unknown"
    image_feature: str = "unknown"
    text_feature: str = "unknown"
    citation: str = ""
    sizes: tuple[int, int, int] | None = None
    fingerprint: str = ""
    recipe: str = ""


@dataclass(frozen=True, eq=False)
class Draft:
    """All that a dataset consists of, before its rules are checked."""

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    card: Card = field(default_factory=Card)

    @property
    def splits(self) -> tuple[tuple[str, Split], ...]:
        """The splits with the names the file formats use: train, val, test."""
        return (("train", self.train), ("val", self.validation), ("test", self.test))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over all arrays, ids and class names."""
        return fingerprint(self.splits, self.class_names)


@dataclass(frozen=True, eq=False)
class Dataset(Draft):
    """A named dataset that keeps the contract; breaking a rule raises ``DatasetError``.

    The rules stand in ``cmbench.datasets.rules``: right types, equal lengths, finite features,
    labels within the classes, every validation and test class present in training, no id twice.
    """

    def __post_init__(self) -> None:
        broken = [problem for _, problems in broken_rules(self) for problem in problems]
        if broken:
            raise DatasetError(f"dataset {self.name!r}: " + "; ".join(broken))
