"""Rows that stand in a dataset more than once, found by what they hold and not by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Draft, Split, blocks, must_differ

DIGEST = 16  # bytes: two different rows have the same one with a chance of 1 in 10**38
ALIKE = 0.9999
"""The cosine above which two rows are near-copies."""

SAME = 0.99999
"""The cosine above which two rows are one, rounded in two ways: their difference is below 0.5 per cent."""

MOST_PRODUCTS = 4e11
"""Multiplications in the search for near-copies, about 20 seconds on one core; after them it ends."""

ROWS_AT_ONCE = 2048
FEWEST_DIMENSIONS = 8
"""With fewer, rows have a cosine near 1 by chance."""

Place = tuple[str, int]
"""The name of a split and a row in it."""


@dataclass(frozen=True)
class Repeated:
    """Rows of one split that stand in another one too.

    Parameters
    ----------
    first, second : names of the splits: train, val or test
    rows : of ``second``, in order
    originals : the first equal row of ``first`` for each of ``rows``
    of : the number of rows in ``second``
    """

    first: str
    second: str
    rows: tuple[int, ...]
    originals: tuple[int, ...]
    of: int


@dataclass(frozen=True)
class NearCopies:
    """Rows of one split that are almost equal to one of another: their cosine is above ``ALIKE``.

    Parameters
    ----------
    first, second : names of the splits
    images : rows of ``second`` whose image has a near-copy in ``first`` and no exact copy
    pairs : those of them whose text is a near-copy of the same pair's
    compared, of : how many rows of ``second`` were looked at, and how many there are
    same : those of ``images`` that with their texts have a cosine above ``SAME`` to a pair of ``first``
    """

    first: str
    second: str
    images: tuple[int, ...]
    pairs: tuple[int, ...]
    compared: int
    of: int
    same: tuple[int, ...] = ()


@dataclass(frozen=True)
class Repetitions:
    """All exact repetitions in a dataset.

    Parameters
    ----------
    pairs : pairs with the same image and the same text in two splits
    images : pairs whose image, with another text, stands in another split; not those among ``pairs``
    pictures : pairs whose picture, by its name, stands in another split with other features
    two_labels : equal pairs, anywhere, that have different labels
    within : equal pairs within one split, by its name: how many more than different ones
    distinct_images : by split, the number of different images
    zeros : by the names of a split and a modality, the rows that hold nothing but zeros
    """

    pairs: tuple[Repeated, ...]
    images: tuple[Repeated, ...]
    pictures: tuple[Repeated, ...]
    two_labels: tuple[tuple[Place, Place], ...]
    within: dict[str, int]
    distinct_images: dict[str, int]
    zeros: dict[tuple[str, str], tuple[int, ...]]


def row_digests(matrix: NDArray[Any]) -> list[bytes]:
    """Return a hash of each row of a real matrix (n, d); equal rows have equal ones, and no others.

    The matrix is read in blocks, so it may be memory-mapped.

    >>> one, other, again = row_digests(np.array([[0.0, 1.0], [2.0, 1.0], [-0.0, 1.0]], np.float32))
    >>> one == again, one == other
    (True, False)
    """
    digests: list[bytes] = []
    for rows in blocks(matrix):
        plain = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<")) + rows.dtype.type(0)  # no -0.0
        digests += [blake2b(row, digest_size=DIGEST).digest() for row in plain]
    return digests


def repetitions(draft: Draft) -> Repetitions:
    """Return the exact repetitions in a dataset; every feature is read once."""
    images = {name: row_digests(split.images) for name, split in draft.splits}
    texts = {name: row_digests(split.texts) for name, split in draft.splits}
    pairs = {name: list(zip(images[name], texts[name], strict=True)) for name in images}
    of_pairs = [_shared(one, other, pairs) for one, other in _apart(images)]
    of_images = [_shared(one, other, images) for one, other in _apart(images)]
    named = {name: split.picture_names for name, split in draft.splits}
    pictures = {name: keys.tolist() for name, keys in named.items() if keys is not None}
    of_pictures = [_shared(one, other, pictures) for one, other in _apart(pictures)]
    in_both = {(shared.first, shared.second): set(shared.rows) for shared in of_pairs}
    others = [_without(shared, in_both[shared.first, shared.second]) for shared in of_images]
    equal = {(shared.first, shared.second): set(shared.rows) for shared in of_images}
    redrawn = [_without(shared, equal[shared.first, shared.second]) for shared in of_pictures]
    return Repetitions(
        pairs=tuple(shared for shared in of_pairs if shared.rows),
        images=tuple(shared for shared in others if shared.rows),
        pictures=tuple(shared for shared in redrawn if shared.rows),
        two_labels=tuple(_two_labels(draft, pairs)),
        within={
            name: len(rows) - len(set(rows)) for name, rows in pairs.items() if len(set(rows)) < len(rows)
        },
        distinct_images={name: len(set(rows)) for name, rows in images.items()},
        zeros=_zeros(draft, {"images": images, "texts": texts}),
    )


def _zeros(
    draft: Draft, digests: dict[str, dict[str, list[bytes]]]
) -> dict[tuple[str, str], tuple[int, ...]]:
    """Return the rows of zeros, by split and modality, where there are any."""
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for name, split in draft.splits:
        for side, of_rows in digests.items():
            first = getattr(split, side)[:1]
            (zero,) = row_digests(np.zeros_like(first))
            rows = tuple(row for row, digest in enumerate(of_rows[name]) if digest == zero)
            if rows and first.shape[1]:
                found[name, side] = rows
    return found


def _apart(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the splits, two and two, that may share no pair."""
    return [two for two in combinations(names, 2) if must_differ(*two)]


def _shared(one: str, other: str, keys: dict[str, list[Any]]) -> Repeated:
    first: dict[Any, int] = {}
    for row, key in enumerate(keys[one]):
        first.setdefault(key, row)
    rows = tuple(row for row, key in enumerate(keys[other]) if key in first)
    return Repeated(one, other, rows, tuple(first[keys[other][row]] for row in rows), len(keys[other]))


def _without(repeated: Repeated, rows: set[int]) -> Repeated:
    kept = [at for at, row in enumerate(repeated.rows) if row not in rows]
    return replace(
        repeated,
        rows=tuple(repeated.rows[at] for at in kept),
        originals=tuple(repeated.originals[at] for at in kept),
    )


def _two_labels(draft: Draft, pairs: dict[str, list[Any]]) -> Iterator[tuple[Place, Place]]:
    labels = {name: split.labels for name, split in draft.splits}
    places: dict[Any, Place] = {}
    for name, keys in pairs.items():
        for row, key in enumerate(keys):
            first, first_row = places.setdefault(key, (name, row))
            if not np.array_equal(labels[first][first_row], labels[name][row]):
                yield (first, first_row), (name, row)


def near_copies(draft: Draft, *, most_products: float = MOST_PRODUCTS) -> tuple[NearCopies, ...]:
    """Return the near-copies between the splits.

    A product of matrices, in blocks of rows: n_first x n_second x d multiplications for two splits and each
    modality. Where all of them are more than ``most_products``, rows of the second split at equal distances
    are compared, as many as that allows; ``compared`` says how many. Features of fewer than
    ``FEWEST_DIMENSIONS`` dimensions are not compared, since theirs are alike by chance.
    """
    if draft.train.images.shape[1] < FEWEST_DIMENSIONS:
        return ()
    splits = dict(draft.splits)
    width = draft.train.images.shape[1]
    products = sum(len(splits[a]) * len(splits[b]) * width for a, b in _apart(splits))
    share = min(1.0, most_products / max(1, products))
    copies = (_near(a, b, splits, share) for a, b in _apart(splits))
    return tuple(copy for copy in copies if copy.images)


def alike_rows(
    matrices: Sequence[NDArray[Any]], *, most_products: float = MOST_PRODUCTS
) -> Iterator[tuple[int, int]]:
    """Yield the near-copies among the rows of all matrices (n, d), counted through all of them.

    As for ``near_copies``, rows of fewer than ``FEWEST_DIMENSIONS`` dimensions are not compared, nor any if
    that takes more than ``most_products`` multiplications.
    """
    count, width = sum(map(len, matrices)), matrices[0].shape[1]
    if width < FEWEST_DIMENSIONS or count * count * width > 2 * most_products:
        return
    rows = np.concatenate([_unit_rows(matrix) for matrix in matrices])
    for start in range(0, count, ROWS_AT_ONCE):
        block = rows[start : start + ROWS_AT_ONCE]
        for one, other in np.argwhere(block @ rows[: start + len(block)].T > ALIKE).tolist():
            if other < start + one:
                yield start + one, other


def _near(first: str, second: str, splits: dict[str, Split], share: float) -> NearCopies:
    one, other = splits[first], splits[second]
    compared = np.unique(np.linspace(0, len(other) - 1, max(1, int(share * len(other)))).astype(np.int64))
    exact = set(row_digests(one.images))
    digests = row_digests(other.images[compared])
    rows = compared[[digest not in exact for digest in digests]]
    images, pairs, same = (np.zeros(len(rows), dtype=np.bool_) for _ in range(3))
    queries, texts = _unit_rows(other.images[rows]), _unit_rows(other.texts[rows])
    tells = texts.shape[1] >= FEWEST_DIMENSIONS
    for start in range(0, len(one), ROWS_AT_ONCE):
        block = slice(start, start + ROWS_AT_ONCE)
        close = queries @ _unit_rows(one.images[block]).T
        if (close > ALIKE).any():
            images |= (close > ALIKE).any(axis=1)
            of_texts = texts @ _unit_rows(one.texts[block]).T
            pairs |= ((close > ALIKE) & (of_texts > ALIKE)).any(axis=1)
            same |= ((close > SAME) & (of_texts > SAME)).any(axis=1) & tells
    near, both, equal = (tuple(rows[chosen].tolist()) for chosen in (images, pairs, same))
    return NearCopies(first, second, near, both, len(compared), len(other), equal)


def _unit_rows(matrix: NDArray[Any]) -> NDArray[np.float32]:
    """Return the rows as float32 of length one; rows of zeros stay."""
    rows = np.asarray(matrix, dtype=np.float32)
    largest = np.abs(rows).max(axis=1, initial=0, keepdims=True)
    rows = np.divide(
        rows, np.where(largest == 0, 1, largest), dtype=np.float32
    )  # so that no square is infinite, or zero
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms == 0, 1, norms), dtype=np.float32)
