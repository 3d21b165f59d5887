"""Ranks of the relevant items under cosine similarity: exact, in chunks, on CPU threads or a GPU.

The similarity of unit vectors lies in [-1, 1], and there the top bit of an IEEE float's exponent is
always zero. Its room takes the relevance of the item, so that sorting plain integers, one per
pair and without an index, brings the relevant items to their ranks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cmbench.evaluation.arrays import CpuArrays, Matrix, TorchArrays, arrays_of
from cmbench.evaluation.average_precision import Integers, Ranks

Result = TypeVar("Result")


Arrays = CpuArrays | TorchArrays


_BLOCK_ROWS = 512


_HASHED_COLUMNS = 64


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a retrieval: finite representations (n, k) and the label of each row (n,)."""

    rows: Matrix
    labels: Integers


def map_ranks(
    queries: Side, gallery: Side, reduce: Callable[[Ranks], Result], *, own: Integers | None = None
) -> Iterator[tuple[Integers, Result]]:
    """Rank the gallery for every query; yield (indices of queries, reduce(their ranks)) by chunks.

    ``own`` (n_queries,) names the row of each query itself in the gallery; it is left out of that
    query's ranking. Equal gallery rows get equal similarities wherever they stand, and memory
    beyond a normalised copy of the gallery does not grow with the number of queries. ``reduce`` is
    called from several threads.
    """
    arrays = arrays_of(queries.rows)
    index = _Gallery.of(arrays, gallery)
    by_label = np.argsort(queries.labels, kind="stable")

    def ranked(rows: Integers, similarity: Matrix) -> Result:
        labels = queries.labels[rows]
        keys = _packed(arrays, index.expanded(similarity), index.relevant(labels))
        if own is not None:
            keys[arrays.index(np.arange(len(rows))), arrays.index(index.place[own[rows]])] = _last_key(keys)
        left_out = 0 if own is None else 1
        return reduce(_ranks(arrays, arrays.sorted_rows(keys), index.counts(labels) - left_out, left_out))

    def chunk(rows: Integers) -> list[tuple[Integers, Result]]:
        vectors = arrays.normalised(arrays.floats(queries.rows[arrays.index(rows)]))
        similarity = vectors @ index.columns
        pieces = _pieces(np.arange(len(rows)), arrays.chunk_pairs // items)
        return [(rows[piece], ranked(rows[piece], similarity[piece[0] : piece[-1] + 1])) for piece in pieces]

    items = max(1, len(gallery.labels))
    for results in arrays.map(chunk, _pieces(by_label, arrays.product_pairs // items)):
        yield from results


def _pieces(rows: Integers, size: int) -> list[Integers]:
    size = max(1, size)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@dataclass(frozen=True, eq=False)
class _Gallery:
    """The gallery in order of its labels, as unit vectors, each distinct one once."""

    columns: Matrix  # (k, distinct)
    copies: Matrix | None  # (n,) column of each item, None when all items are distinct
    labels: Integers  # (n,) sorted
    place: Integers  # (n,) where each item went

    @classmethod
    def of(cls, arrays: Arrays, gallery: Side) -> "_Gallery":
        order = np.argsort(gallery.labels, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))

        def unit_vectors(rows: Integers) -> Matrix:
            return arrays.normalised(arrays.floats(gallery.rows[arrays.index(rows)]))

        vectors = arrays.concatenate(list(arrays.map(unit_vectors, _pieces(order, _BLOCK_ROWS))))
        first, copies = _distinct_rows(arrays, gallery.rows, order)
        if len(first) == len(order):
            return cls(vectors.T, None, gallery.labels[order], place)
        return cls(vectors[arrays.index(first)].T, arrays.index(copies), gallery.labels[order], place)

    def expanded(self, similarity: Matrix) -> Matrix:
        """Return the similarities to all items (q, n) from those to the distinct ones."""
        return similarity if self.copies is None else similarity[:, self.copies]

    def counts(self, labels: Integers) -> Integers:
        """Return how many items each label has (q,)."""
        return np.searchsorted(self.labels, labels, "right") - np.searchsorted(self.labels, labels, "left")

    def relevant(self, labels: Integers) -> Iterator[tuple[slice, slice]]:
        """Yield the (rows, columns) of relevant pairs for sorted query labels."""
        values, starts, lengths = np.unique(labels, return_index=True, return_counts=True)
        columns = np.searchsorted(self.labels, values)
        sizes = self.counts(values)
        for start, length, column, size in np.stack([starts, lengths, columns, sizes], axis=1).tolist():
            yield slice(start, start + length), slice(column, column + size)


def _distinct_rows(arrays: Arrays, rows: Matrix, order: Integers) -> tuple[Integers, Integers]:
    """Return where each distinct row, taken in ``order``, first stands, and which one each row is.

    Rows are compared by 64-bit hashes, of their first columns unless those are not all distinct.
    """

    def hashes(block: Integers, width: int) -> Matrix:
        return arrays.hashed(arrays.floats(rows[:, :width][arrays.index(block)]))

    for width in (_HASHED_COLUMNS, rows.shape[1]):
        blocks = arrays.map(partial(hashes, width=width), _pieces(order, _BLOCK_ROWS))
        values = arrays.numpy(arrays.concatenate(list(blocks)))
        _, first, copies = np.unique(values, return_index=True, return_inverse=True)
        if len(first) == len(order):
            break
    return first, copies


def _packed(arrays: Arrays, similarity: Matrix, relevant: Iterator[tuple[slice, slice]]) -> Matrix:
    """Turn similarities, in place, into integers that order as they do, with relevance in the last bit.

    The bits of non-negative floats order as integers; complementing those of negative ones makes
    them order too. Below 1.5 in size the sign and the bit after it then agree, so shifting
    left by one loses nothing.
    """
    similarity += 0.0  # -0.0 becomes 0.0, its equal
    keys = arrays.integers(similarity)
    keys ^= keys >> _sign_bit(keys)
    keys <<= 1
    for rows, columns in relevant:
        keys[rows, columns] |= 1
    return keys


def _sign_bit(keys: Matrix) -> int:
    return 8 * int(keys.dtype.itemsize) - 1


def _last_key(keys: Matrix) -> int:
    """Return a key below all others that does not read as relevant."""
    return -(1 << _sign_bit(keys))


def _ranks(arrays: Arrays, keys: Matrix, counts: Integers, left_out: int) -> Ranks:
    """Read the ranks of the relevant items off rows of ascending keys (q, n)."""
    length = keys.shape[1]
    position = arrays.numpy(arrays.flatnonzero((keys & 1) != 0))
    row = np.repeat(np.arange(len(counts)), counts)
    stop, tied = position + 1, np.ones_like(position)
    keys >>= 1
    row_has_ties = np.zeros(len(counts), dtype=bool)
    row_has_ties[row[_is_tied(arrays, keys.reshape(-1), position)]] = True
    if row_has_ties.any():
        entries = np.flatnonzero(row_has_ties[row])
        shift = (np.cumsum(~row_has_ties) * length)[row[entries]]
        tied_rows = keys[arrays.index(np.flatnonzero(row_has_ties))]
        group_stop, tied[entries] = _tie_groups(arrays, tied_rows, position[entries] - shift)
        stop[entries] = group_stop + shift
    return Ranks((row + 1) * length - stop, tied, counts, length - left_out)


def _is_tied(arrays: Arrays, values: Matrix, position: Integers) -> NDArray[np.bool_]:
    """Return which ascending positions equal a neighbour; where two rows meet, perhaps of the next row."""
    own = arrays.take(values, position)
    above = own == arrays.take(values, position + 1)
    below = own == arrays.take(values, position - 1)
    above[-1:] &= bool((position[-1:] < len(values) - 1).all())  # the last value has none above,
    below[:1] &= bool((position[:1] > 0).all())  # the first none below
    tied: NDArray[np.bool_] = arrays.numpy(above | below)
    return tied


def _tie_groups(arrays: Arrays, keys: Matrix, position: Integers) -> tuple[Integers, Integers]:
    """Return where the group of equal keys around each position in ``keys`` (q, n) stops, and its size."""
    values, length = keys.reshape(-1), keys.shape[1]
    changes = values[1:] != values[:-1]
    changes[length - 1 :: length] = True  # a group ends with its row
    stops = np.append(arrays.numpy(arrays.flatnonzero(changes)) + 1, len(values))
    group = np.searchsorted(stops, position, side="right")
    starts = np.append(0, stops[:-1])
    return stops[group], (stops - starts)[group]
