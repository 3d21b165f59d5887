"""Ranks of the relevant items under cosine similarity: exact, in chunks, on CPU threads or a GPU.

The similarity of unit vectors lies in [-1, 1], and there the top bit of an IEEE float's exponent is
always zero. Its room takes the relevance of the item, so that sorting plain integers, one per
pair and without an index, brings the relevant items to their ranks.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
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


BETWEEN_CHUNKS: ContextVar[Callable[[], None]] = ContextVar("BETWEEN_CHUNKS", default=lambda: None)
"""Called after each chunk of queries; whoever evaluates within a time limit raises from it."""


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a retrieval.

    Parameters
    ----------
    rows : finite representations (n, k)
    labels : int64 (n,), the label of each row; or (n, c) of 0 and 1, its tags. A query and a gallery
        item are relevant to each other when they have the same label, or share a tag.
    scaled : whether products of rows are taken as similarities as they are. They must then lie in
        [-1, 1]; otherwise rows are divided by their lengths first.
    """

    rows: Matrix
    labels: Integers
    scaled: bool = False

    def vectors(self, arrays: "Arrays", rows: Integers) -> Matrix:
        """Return these rows as floats, of unit length unless ``scaled``."""
        chosen = arrays.floats(self.rows[arrays.index(rows)])
        return chosen if self.scaled else arrays.normalised(chosen)


def map_ranks(
    queries: Side,
    gallery: Side,
    reduce: Callable[[Ranks], Result],
    *,
    own: Integers | None = None,
    first: int = 0,
) -> Iterator[tuple[Integers, Result]]:
    """Rank the gallery for every query; yield (indices of queries, reduce(their ranks)) by chunks.

    ``own`` (n_queries,) names the row of each query itself in the gallery; it is left out of that
    query's ranking. Of ``first`` items, the most similar, ranks name the rows. Equal gallery rows get equal
    similarities wherever they stand, and memory beyond a normalised copy of the gallery does not grow with
    the number of queries. ``reduce`` is called from several threads.
    """
    arrays = arrays_of(queries.rows)
    index = _Gallery.of(arrays, gallery)

    def ranked(rows: Integers, similarity: Matrix) -> Result:
        keys = _packed(arrays, index.expanded(similarity))
        counts = index.relevance.mark(keys, queries.labels[rows])
        if own is not None:
            keys[arrays.index(np.arange(len(rows))), arrays.index(index.place[own[rows]])] = _last_key(keys)
            counts = counts - index.relevance.own(queries.labels[rows])
        plain = keys >> 1 if kept else None
        ranks = _ranks(arrays, arrays.sorted_rows(keys), counts, left_out)
        if plain is not None:  # keys are without relevance by now
            ranks = replace(ranks, first=index.order[_first(arrays, plain, keys, kept, index.order)])
        return reduce(ranks)

    def chunk(rows: Integers) -> list[tuple[Integers, Result]]:
        similarity = queries.vectors(arrays, rows) @ index.columns
        pieces = _pieces(np.arange(len(rows)), arrays.chunk_pairs // items)
        return [(rows[piece], ranked(rows[piece], similarity[piece[0] : piece[-1] + 1])) for piece in pieces]

    items = max(1, len(gallery.labels))
    left_out = 0 if own is None else 1
    kept = min(first, len(gallery.labels) - left_out)
    in_order = index.relevance.order(queries.labels)
    for results in arrays.map(chunk, _pieces(in_order, arrays.product_pairs // items)):
        yield from results
        BETWEEN_CHUNKS.get()()


def _pieces(rows: Integers, size: int) -> list[Integers]:
    size = max(1, size)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@dataclass(frozen=True, eq=False)
class _SameLabel:
    """Relevance by one label an item: with labels in order, relevant items stand side by side."""

    labels: Integers  # (n,) of the gallery, sorted

    @staticmethod
    def order(labels: Integers) -> Integers:
        """Return the order in which items are to be taken."""
        return np.argsort(labels, kind="stable")

    def mark(self, keys: Matrix, labels: Integers) -> Integers:
        """Set the last bit of the relevant pairs, for sorted query labels; return their number by query."""
        values, starts, lengths = np.unique(labels, return_index=True, return_counts=True)
        columns = np.searchsorted(self.labels, values, side="left")
        stops = np.searchsorted(self.labels, values, side="right")
        for start, length, column, stop in np.stack([starts, lengths, columns, stops], axis=1).tolist():
            keys[start : start + length, column:stop] |= 1
        return np.repeat(stops - columns, lengths)

    @staticmethod
    def own(labels: Integers) -> Integers:
        """Return by query how many relevant items fall away with the query itself."""
        return np.ones(len(labels), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _SharedTag:
    """Relevance by tags: those of two items have a product above 0 when they share one."""

    arrays: Arrays
    tags: Matrix  # (c, n) of the gallery, as floats

    @staticmethod
    def order(labels: Integers) -> Integers:
        return np.arange(len(labels), dtype=np.int64)

    def mark(self, keys: Matrix, labels: Integers) -> Integers:
        relevant = self.arrays.placed(labels.astype(np.float32)) @ self.tags > 0
        keys |= relevant
        return np.asarray(self.arrays.numpy(relevant.sum(1)), dtype=np.int64)

    @staticmethod
    def own(labels: Integers) -> Integers:
        return np.asarray(labels.any(axis=1), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Gallery:
    """The gallery in the order its relevance asks for, as unit vectors, each distinct one once."""

    columns: Matrix  # (k, distinct)
    copies: Matrix | None  # (n,) column of each item, None when all items are distinct
    relevance: _SameLabel | _SharedTag
    order: Integers  # (n,) the row of each item among those given
    place: Integers  # (n,) where each row went

    @classmethod
    def of(cls, arrays: Arrays, gallery: Side) -> "_Gallery":
        relevance, order = _relevance(arrays, gallery.labels)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        blocks = arrays.map(partial(gallery.vectors, arrays), _pieces(order, _BLOCK_ROWS))
        vectors = arrays.concatenate(list(blocks))
        first, copies = _distinct_rows(arrays, gallery.rows, order)
        if len(first) == len(order):
            return cls(vectors.T, None, relevance, order, place)
        return cls(vectors[arrays.index(first)].T, arrays.index(copies), relevance, order, place)

    def expanded(self, similarity: Matrix) -> Matrix:
        """Return the similarities to all items (q, n) from those to the distinct ones."""
        return similarity if self.copies is None else similarity[:, self.copies]


def _relevance(arrays: Arrays, labels: Integers) -> tuple[_SameLabel | _SharedTag, Integers]:
    """Return what marks relevant items of a gallery with these labels, and the order of its items."""
    if labels.ndim == 1:
        order = _SameLabel.order(labels)
        return _SameLabel(labels[order]), order
    tags = np.ascontiguousarray(labels.T, dtype=np.float32)
    return _SharedTag(arrays, arrays.placed(tags)), _SharedTag.order(labels)


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


def _packed(arrays: Arrays, similarity: Matrix) -> Matrix:
    """Turn similarities, in place, into integers that order as they do; the last bit is left for relevance.

    The bits of non-negative floats order as integers; complementing those of negative ones makes
    them order too. Below 1.5 in size the sign and the bit after it then agree, so shifting
    left by one loses nothing.
    """
    similarity += 0.0  # -0.0 becomes 0.0, its equal
    keys = arrays.integers(similarity)
    keys ^= keys >> _sign_bit(keys)
    keys <<= 1
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


def _first(arrays: Arrays, keys: Matrix, ascending: Matrix, count: int, rows: Integers) -> Integers:
    """Return the columns of the ``count`` greatest keys of each row (q, count), the greatest first.

    ``ascending`` are the keys of each row in order. Equal ones stand in the order of ``rows`` (n,).
    """
    length = keys.shape[1]
    least = ascending[:, length - count, None]
    position = arrays.numpy(arrays.flatnonzero(keys >= least))  # more than ``count`` where keys are tied
    query, column = np.divmod(position, length)
    values = arrays.numpy(arrays.take(keys.reshape(-1), position))
    order = np.lexsort((rows[column], -values, query))
    starts = np.searchsorted(query, np.arange(len(keys)))
    return np.asarray(column[order[starts[:, None] + np.arange(count)]], dtype=np.int64)


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
