"""What a dataset consists of: splits, parts, a card, and the SHA-256 over all arrays."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
Modality: TypeAlias = Literal["image", "text"]
FloatMatrix = NDArray[np.float32]
Labels = NDArray[np.int64]
LARGEST_SEED = 2**32 - 1  # that NumPy and torch accept
BLOCK_BYTES = 2**24  # looked at together, so that memory-mapped features are never loaded whole
ARRAY_TYPES: dict[str, tuple[str, int]] = {
    "images": ("float32", 2),
    "texts": ("float32", 2),
    "labels": ("int64", 1),
    "ids": ("str", 1),
    "image_ids": ("str", 1),
    "image_parts": ("float32", 2),
    "image_parts_offsets": ("int64", 1),
    "text_parts": ("float32", 2),
    "text_parts_offsets": ("int64", 1),
    "image_groups": ("int64", 1),
    "text_groups": ("int64", 1),
}
"""Type and number of dimensions of every array of a split, by key; labels may have two."""
FULL_NAMES = {"train": "training", "val": "validation", "test": "test", "retrieval": "retrieval"}
"""What sentences call the splits."""


def must_differ(one: str, other: str) -> bool:
    """Return whether two splits may share no pair: a retrieval set often holds the training pairs."""
    return other != "retrieval" or one == "test"


def composed(text: str) -> str:
    """Return a text in which each accented letter is one character (NFC), however it was typed or stored.

    >>> len(composed("cafe\u0301"))
    4
    """
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of each item (regions of an image, segments of a text), ragged.

    ``values`` is float32 (m, d); the parts of item i are ``values[offsets[i]:offsets[i + 1]]``,
    with ``offsets`` int64 (n + 1,), non-decreasing from 0 to m.
    """

    values: FloatMatrix
    offsets: Labels

    def __post_init__(self) -> None:
        _hold_in_memory(self, "offsets")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, item: int) -> FloatMatrix:
        return self.values[self.offsets[item] : self.offsets[item + 1]]

    def take(self, items: Iterable[int]) -> Parts:
        """Return the parts of some items, in the order of ``items``; only they are read."""
        chosen = [self[item] for item in items]
        none = np.empty((0, self.values.shape[1]), self.values.dtype)
        return Parts(np.concatenate([none, *chosen]), offsets_of(map(len, chosen)))

    @staticmethod
    def joined(several: Sequence[Parts]) -> Parts:
        """Return the parts of the items of all, one after the other; those of one are not copied."""
        if len(several) == 1:
            return several[0]
        counts = np.concatenate([np.diff(parts.offsets) for parts in several])
        return Parts(np.concatenate([parts.values for parts in several]), offsets_of(counts))


def offsets_of(counts: Iterable[int]) -> Labels:
    """Return where the parts of each of n items begin, int64 (n + 1,), by how many each has.

    >>> offsets_of([2, 0, 1])
    array([0, 2, 2, 3])
    """
    return np.cumsum([0, *counts], dtype=np.int64)


def _hold_in_memory(owner: object, *names: str) -> None:
    """Replace memory-mapped arrays by copies, which stay as they are when their file is saved again."""
    for name in names:
        array = getattr(owner, name)
        if isinstance(array, np.memmap):
            object.__setattr__(owner, name, np.array(array))


@dataclass(frozen=True, eq=False)
class Split:
    """Image-text pairs: row i of ``images`` and row i of ``texts`` belong together.

    Features and parts may be memory-mapped; everything else is held in memory.

    Parameters
    ----------
    images : float32 (n, d_image)
    texts : float32 (n, d_text)
    labels : int64 (n,), the category of each pair, from 0; or (n, c) of 0 and 1, where a pair has any number
        of c categories; (n, 0) where there are none
    ids : str (n,), a name for each pair, unique over the dataset
    image_parts, text_parts : Parts of n items, optional
    image_groups, text_groups : int64 (d_image,) and (d_text,), optional
        The block each feature belongs to, for group-sparse methods.
    image_ids : str (n,), optional
        A name for the picture of each pair, the same for pairs that share a picture.
    """

    images: FloatMatrix
    texts: FloatMatrix
    labels: Labels
    ids: NDArray[np.str_]
    image_parts: Parts | None = None
    text_parts: Parts | None = None
    image_groups: Labels | None = None
    text_groups: Labels | None = None
    image_ids: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        _hold_in_memory(self, "labels", "ids", "image_groups", "text_groups", "image_ids")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.integer[Any]]) -> Split:
        """Return some of the pairs, with their parts, in the order of ``rows``; only they are read."""
        return replace(
            self,
            images=self.images[rows],
            texts=self.texts[rows],
            labels=self.labels[rows],
            ids=self.ids[rows],
            image_parts=None if self.image_parts is None else self.image_parts.take(rows),
            text_parts=None if self.text_parts is None else self.text_parts.take(rows),
            image_ids=None if self.image_ids is None else self.image_ids[rows],
        )

    @staticmethod
    def joined(several: Sequence[Split]) -> Split:
        """Return the pairs of all, one after the other, with what all have; groups are those of the first."""
        image_parts = [split.image_parts for split in several if split.image_parts is not None]
        text_parts = [split.text_parts for split in several if split.text_parts is not None]
        image_ids = [split.image_ids for split in several if split.image_ids is not None]
        return replace(
            several[0],
            images=np.concatenate([split.images for split in several]),
            texts=np.concatenate([split.texts for split in several]),
            labels=np.concatenate([split.labels for split in several]),
            ids=np.concatenate([split.ids for split in several]),
            image_parts=Parts.joined(image_parts) if len(image_parts) == len(several) else None,
            text_parts=Parts.joined(text_parts) if len(text_parts) == len(several) else None,
            image_ids=np.concatenate(image_ids) if len(image_ids) == len(several) else None,
        )

    @property
    def views(self) -> dict[Modality, FloatMatrix]:
        """The features of the pairs by modality."""
        return {"image": self.images, "text": self.texts}

    @property
    def parts(self) -> dict[Modality, Parts | None]:
        """The parts of the pairs by modality."""
        return {"image": self.image_parts, "text": self.text_parts}

    @property
    def has_parts(self) -> bool:
        """Whether there are parts of both images and texts."""
        return self.image_parts is not None and self.text_parts is not None

    @property
    def is_multi_label(self) -> bool:
        """Whether labels are a matrix, so that a pair may have several categories, or none."""
        return self.labels.ndim == 2

    @property
    def categories(self) -> Labels:
        """The categories that some pair has, in order."""
        return np.flatnonzero(self.labels.any(axis=0)) if self.is_multi_label else np.unique(self.labels)

    @property
    def first_categories(self) -> Labels:
        """A category of each pair (n,): its own, of several the first, of none the number of categories."""
        if not self.is_multi_label:
            return self.labels
        rest = np.ones((len(self), 1), dtype=np.int64)
        first: Labels = np.concatenate([self.labels, rest], axis=1).argmax(axis=1)
        return first

    @property
    def targets(self) -> Labels:
        """What relevance goes by when parameters are chosen: labels, or without categories the picture."""
        return self.labels if self.labels.shape[1:] != (0,) else self.pictures

    @property
    def picture_names(self) -> NDArray[np.str_] | None:
        """The names of the pictures (n,): ``image_ids``, or PICTURE of ids that all read PICTURE#NUMBER."""
        if self.image_ids is not None:
            return self.image_ids
        names = [identifier.rpartition("#") for identifier in self.ids.tolist()]
        if all(picture and number.isdecimal() for picture, _, number in names):
            return np.array([picture for picture, _, _ in names], dtype=np.str_)
        return None

    @cached_property
    def pictures(self) -> Labels:
        """A number for the picture of each pair (n,), the same where pairs share one.

        Pictures are told apart by ``picture_names``; else by their features, equal rows being one picture.
        """
        return np.unique(_picture_keys(self), return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Card:
    """Where a dataset comes from and how its features were made.

    ``sizes`` are the numbers of training, validation and test pairs its source states, and
    ``fingerprint`` is the SHA-256 it should have; both are verified when given. ``recipe`` is JSON: every
    setting, hash and version that the features depend on, for those who make them again. ``notes`` say what
    was done to the files of the source, such as validation pairs that were drawn; a sentence each.
    ``shared_after`` is the text after whose last occurrence the ids of pairs that belong together are the
    same, such as those of the drawings of one emoji: they stay in one split when pairs are divided anew.
    ``shared_space`` names the encoder whose space the features of both modalities lie in, CLIP say; empty
    where there is none.
    ``split_of`` and ``split_seed`` are set where the pairs of a dataset were divided anew: its fingerprint,
    and the seed. ``loaded_from`` is the file or folder the arrays were read from, which stays closed to
    methods; cards that differ in it alone are equal.
    """

    source: str = "unknown"
    licence: str = "unknown"
    image_feature: str = "unknown"
    text_feature: str = "unknown"
    citation: str = ""
    sizes: tuple[int, int, int] | None = None
    fingerprint: str = ""
    recipe: str = ""
    notes: tuple[str, ...] = ()
    shared_after: str = ""
    shared_space: str = ""
    split_of: str = ""
    split_seed: int | None = None
    loaded_from: Path | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Draft:
    """All that a dataset consists of, before its rules are checked.

    Parameters
    ----------
    name : what tables call it
    train, validation, test : the splits
    class_names : a name for each category
    card : where it comes from
    retrieval : the pairs among which test pairs look for relevant ones, where not among themselves
    unseen_categories : whether test, and retrieval, may have categories that training lacks, as zero-shot
        protocols want it
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    card: Card = field(default_factory=Card)
    retrieval: Split | None = None
    unseen_categories: bool = False

    @property
    def splits(self) -> tuple[tuple[str, Split], ...]:
        """The splits with the names the file formats use: train, val, test, and retrieval if there is one."""
        three = (("train", self.train), ("val", self.validation), ("test", self.test))
        return three if self.retrieval is None else (*three, ("retrieval", self.retrieval))

    @property
    def evaluated(self) -> tuple[Split, ...]:
        """The splits whose pairs are ranked: test, and retrieval if there is one."""
        return tuple(split for _, split in self.splits[2:])

    def unseen_in(self, split: Split) -> Labels:
        """Return the categories of a split that no training pair has."""
        return np.setdiff1d(split.categories, self.train.categories)

    @property
    def is_multi_label(self) -> bool:
        """Whether a pair may have several categories, or none."""
        return self.train.is_multi_label

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over all arrays, ids and class names."""
        return fingerprint(self.splits, self.class_names)


def base_name(draft: Draft) -> str:
    """Return the name of the dataset, also of one whose pairs were divided anew."""
    return draft.name.removesuffix(f" (split {draft.card.split_seed})")


def limited_name(name: str, pairs: int) -> str:
    """Return the name of a dataset that is limited to a number of pairs of each split."""
    return f"{name}-limit-{pairs}"


def before_limit(name: str) -> tuple[str, int | None]:
    """Return the name of a dataset before it was limited, and to how many pairs; None if it was not.

    >>> before_limit(limited_name("scenes", 200)), before_limit("my-limit-case")
    (('scenes', 200), ('my-limit-case', None))
    """
    limited = re.fullmatch(r"(.+)-limit-(\d+)", name)
    return (limited[1], int(limited[2])) if limited else (name, None)


def split_arrays(split: Split) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield (key, array) of everything a split holds, by the keys of ``ARRAY_TYPES``."""
    yield from (("images", split.images), ("texts", split.texts))
    yield from (("labels", split.labels), ("ids", split.ids))
    if split.image_ids is not None:
        yield "image_ids", split.image_ids
    for key, parts in (("image_parts", split.image_parts), ("text_parts", split.text_parts)):
        if parts is not None:
            yield from ((key, parts.values), (f"{key}_offsets", parts.offsets))
    for key, groups in (("image_groups", split.image_groups), ("text_groups", split.text_groups)):
        if groups is not None:
            yield key, groups


def category_counts(labels: Labels, categories: int) -> list[int]:
    """Return how many items have each category; an item of several counts for each of them.

    >>> category_counts(np.array([0, 2, 2]), 3), category_counts(np.array([[1, 1], [0, 1]]), 2)
    ([1, 0, 2], [1, 2])
    """
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=categories)
    return [int(count) for count in counts]


def _picture_keys(split: Split) -> NDArray[Any]:
    names = split.picture_names
    if names is not None:
        return names
    digests = [sha256(np.ascontiguousarray(row).tobytes()).hexdigest() for row in split.images]
    return np.array(digests, dtype=np.str_)


def file_key(key: str, split_name: str) -> str:
    """Return what feature files call an array of a split.

    >>> file_key("images", "train"), file_key("image_parts_offsets", "train")
    ('images_train', 'image_parts_train_offsets')
    """
    stem = key.removesuffix("_offsets")
    return f"{stem}_{split_name}{key[len(stem) :]}"


def fingerprint(splits: Iterable[tuple[str, Split]], class_names: Sequence[str]) -> str:
    """Return the SHA-256 (hexadecimal) over the splits' arrays, ids and class names.

    Numbers are hashed as little-endian bytes in row order, texts as UTF-8 with their lengths, and
    every array after its key and shape. Neither the dataset's name nor its card takes part.
    """
    digest = sha256(b"cmbench dataset 1\n")
    digest.update(f"class_names ({len(class_names)},)\n".encode())
    digest.update(_text_bytes(class_names))
    for name, split in splits:
        for key, array in split_arrays(split):
            digest.update(f"{file_key(key, name)} {array.shape}\n".encode())
            for rows in blocks(array):
                digest.update(_canonical_bytes(rows))
    return digest.hexdigest()


def _canonical_bytes(rows: NDArray[Any]) -> bytes:
    if rows.dtype.kind == "U":
        return _text_bytes(rows.tolist())
    return np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<")).tobytes()


def _text_bytes(texts: Iterable[str]) -> bytes:
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join(b"%d:%s" % (len(text), text) for text in encoded)


def blocks(array: NDArray[Scalar]) -> Iterator[NDArray[Scalar]]:
    """Yield the rows of ``array`` in blocks of about ``BLOCK_BYTES``, at least one row each.

    >>> [len(rows) for rows in blocks(np.zeros((5000, 2048), dtype=np.float32))]
    [2048, 2048, 904]
    """
    row_bytes = array.itemsize * prod(array.shape[1:])
    height = max(1, BLOCK_BYTES // max(1, row_bytes))
    return (array[rows] for rows in row_slices(len(array), height))


def row_slices(n_rows: int, height: int) -> Iterator[slice]:
    """Yield slices of at most ``height`` rows that cover ``n_rows``."""
    return (slice(start, start + height) for start in range(0, n_rows, height))


def first_non_finite_row(features: NDArray[Any]) -> int | None:
    """Return the first row of a matrix (n, d) that holds NaN or infinity, or None; it is read in blocks."""
    start = 0
    for rows in blocks(features):
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            return start + int(np.argmin(finite))
        start += len(rows)
    return None
