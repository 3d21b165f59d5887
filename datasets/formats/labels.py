"""The labels of a feature file: whole numbers, texts, or a 0/1 matrix, and what is made of each.

A dataset has either one category an item, numbered from 0 (n,), or several labels an item, a matrix (n, c) of
0 and 1. Other ways to write the same are read, and a note says so:

* texts, one an item: categories in alphabetical order. ``sky;sea`` is two labels.
* a matrix with exactly one 1 in every row of every split (one-hot): the category is its column.
* a matrix of -1 and 1: -1 is 0.
* numbers from 1, if no item has 0: one is subtracted. ``first_label`` says what others count from.
* floats that are whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Labels, composed
from cmbench.datasets.formats.casting import int_vector, text_vector
from cmbench.errors import DatasetError, listed

SEPARATOR = ";"
AS_TEXTS = "save them as texts (labels.astype(str))"
_SHOWN = 5  # categories named in a note


@dataclass(frozen=True, eq=False)
class SettledLabels:
    """Labels as a dataset has them, by key, with the names of the categories and notes on what was done."""

    labels: Mapping[str, Labels]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def label_array(key: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return labels as int64 (n,), as texts (n,), or as an int64 matrix (n, c) of 0 and 1.

    >>> label_array("labels_train", np.array([[1.0, -1.0], [1.0, 1.0]]))
    array([[1, 0],
           [1, 1]])
    """
    if array.ndim == 2 and 1 not in array.shape:
        return _label_matrix(key, array)
    if array.dtype.kind in "US":
        return text_vector(key, array)
    return int_vector(key, array)


def _label_matrix(key: str, array: NDArray[Any]) -> Labels:
    if array.dtype.kind not in "biuf":
        raise DatasetError(f"{key} has shape {array.shape} and holds {array.dtype}; write 0 and 1 there")
    signed = array.size > 0 and bool((array < 0).any())
    wrong = ~np.isin(array, (-1, 1) if signed else (0, 1))
    if wrong.any():
        row, column = map(int, np.argwhere(wrong)[0])
        raise DatasetError(
            f"{key} row {row} column {column} is {array[row, column]}; a row of labels holds 1 for each "
            f"category that the item has and {'-1' if signed else '0'} for the others. {_remedy(array)}"
        )
    return (array > 0).astype(np.int64) if signed or array.dtype != np.int64 else array


def _remedy(array: NDArray[Any]) -> str:
    """Return how a matrix of something else becomes one of labels."""
    if array.dtype.kind == "f" and np.isnan(array).any():
        return "Write 0 or 1 for NaN, or leave these pairs out"
    if (array != np.floor(array)).any():
        return (
            "If these are probabilities, make labels with (labels > 0.5), or with labels.argmax(axis=1) if "
            "an item has one category"
        )
    return "Make it from counts with (labels > 0)"


def settled_labels(
    labels: Mapping[str, NDArray[Any]],
    *,
    class_names: Sequence[str] | None = None,
    first_label: int | None = None,
    stored: Mapping[str, NDArray[Any]] | None = None,
    floats_are_usual: bool = False,
) -> SettledLabels:
    """Return the labels of all splits as a dataset has them.

    Parameters
    ----------
    labels : what ``label_array`` made of each split, by key
    class_names, first_label : as the file gives them, if it does
    stored : the arrays as they stand in the file, for the notes
    floats_are_usual : whether floating-point numbers need no note, as in MATLAB, whose numbers all are

    Raises
    ------
    DatasetError
        Splits with labels of different kinds, or numbers of which it is not clear where they count from.
    """
    notes = _notes_on_types(stored or {}, floats_are_usual)
    labels = _with_single_rows(labels, stored or {})
    names = None if class_names is None else tuple(class_names)
    kinds = {key: _kind(array) for key, array in labels.items()}
    if len(set(kinds.values())) > 1:
        described = ", ".join(f"{key} holds {kind}" for key, kind in kinds.items())
        raise DatasetError(f"{described}; write the labels of all splits in one way")
    kind = next(iter(kinds.values()))
    if kind == "texts":
        settled = _from_texts(labels, names)
    elif kind == "numbers":
        settled = _from_numbers(labels, names, first_label)
    else:
        settled = _from_matrices(labels, names)
    return SettledLabels(settled.labels, settled.class_names, (*notes, *settled.notes))


def _with_single_rows(
    labels: Mapping[str, NDArray[Any]], stored: Mapping[str, NDArray[Any]]
) -> Mapping[str, NDArray[Any]]:
    """Return labels with a matrix of one row, which alone looks like a vector, where others are matrices."""
    shapes = {(1, array.shape[1]) for array in labels.values() if array.ndim == 2}
    single = [key for key, array in labels.items() if array.ndim == 1 and key in stored]
    rows = {key: _label_matrix(key, stored[key]) for key in single if stored[key].shape in shapes}
    return {**labels, **rows}


def _kind(array: NDArray[Any]) -> str:
    if array.ndim == 2:
        return f"a matrix of {array.shape[1]} columns"
    return "texts" if array.dtype.kind == "U" else "numbers"


def _notes_on_types(stored: Mapping[str, NDArray[Any]], floats_are_usual: bool) -> tuple[str, ...]:
    floats = [key for key, array in stored.items() if array.dtype.kind == "f"]
    signed = [
        key
        for key, array in stored.items()
        if array.ndim == 2 and array.dtype.kind in "if" and (array < 0).any()
    ]
    notes = []
    if floats and not floats_are_usual:
        notes.append(f"{', '.join(floats)}: floating-point numbers, read as whole ones")
    if signed:
        notes.append(f"{', '.join(signed)}: -1 read as 0")
    return tuple(notes)


def _from_texts(labels: Mapping[str, NDArray[Any]], names: tuple[str, ...] | None) -> SettledLabels:
    items = {key: [tags_of(composed(text)) for text in array.tolist()] for key, array in labels.items()}
    for key, tags in items.items():
        if () in tags:
            raise DatasetError(f"{key} row {tags.index(())} is empty; name its category")
    found = sorted({tag for tags in items.values() for item in tags for tag in item})
    unknown = sorted(set(found) - set(map(composed, names or found)))
    if unknown:
        raise DatasetError(f"labels hold {unknown[0]!r}, which is not among class_names; correct one of them")
    categories = names or tuple(found)
    order = "of class_names" if names else "in alphabetical order"
    named = f"{len(categories)} categories {order} ({listed(categories, _SHOWN)})"
    if max(len(item) for tags in items.values() for item in tags) > 1:
        matrices = {key: tag_matrix(tags, [*map(composed, categories)]) for key, tags in items.items()}
        note = f"labels are texts with several categories between {SEPARATOR!r}, read as {named}"
        return SettledLabels(matrices, categories, (note, *_notes_on_items(matrices)))
    place = {composed(name): number for number, name in enumerate(categories)}
    numbers = {
        key: np.array([place[item[0]] for item in tags], dtype=np.int64) for key, tags in items.items()
    }
    return SettledLabels(numbers, categories, (f"labels are texts, read as {named}",))


def tags_of(text: str) -> tuple[str, ...]:
    """Return the categories in a text, each once, in its order.

    >>> tags_of("sky; sea;sky")
    ('sky', 'sea')
    """
    return tuple(dict.fromkeys(tag.strip() for tag in text.split(SEPARATOR) if tag.strip()))


def tag_matrix(items: Sequence[Sequence[str]], categories: Sequence[str]) -> Labels:
    """Return the 0/1 matrix (n, c) of items that name their categories."""
    place = {name: column for column, name in enumerate(categories)}
    matrix = np.zeros((len(items), len(categories)), dtype=np.int64)
    for row, item in enumerate(items):
        matrix[row, [place[name] for name in item]] = 1
    return matrix


def _from_matrices(labels: Mapping[str, Labels], names: tuple[str, ...] | None) -> SettledLabels:
    columns = next(iter(labels.values())).shape[1]
    categories = names or tuple(str(column) for column in range(columns))
    if len(categories) != columns:
        raise DatasetError(
            f"labels have {columns} columns, and there are {len(categories)} class_names; name each column"
        )
    if is_one_hot(labels.values()):
        numbers = {key: matrix.argmax(axis=1).astype(np.int64) for key, matrix in labels.items()}
        note = f"labels are one-hot, read as {columns} categories: each item has exactly one"
        return SettledLabels(numbers, categories, (note,))
    return SettledLabels(labels, categories, _notes_on_items(labels))


def _notes_on_items(labels: Mapping[str, Labels]) -> tuple[str, ...]:
    without = {key: int((~matrix.any(axis=1)).sum()) for key, matrix in labels.items()}
    return tuple(
        f"{key}: {count} of {len(labels[key])} items have no category and are relevant to nothing"
        for key, count in without.items()
        if count
    )


def is_one_hot(matrices: Any) -> bool:
    """Return whether every row of every matrix has exactly one 1."""
    return all(bool((matrix.sum(axis=1) == 1).all()) for matrix in matrices)


def _from_numbers(
    labels: Mapping[str, Labels], names: tuple[str, ...] | None, first: int | None
) -> SettledLabels:
    held = {key: vector for key, vector in labels.items() if len(vector)}
    if len(held) < len(labels):  # which breaks a rule of its own
        largest = max((int(vector.max()) for vector in held.values()), default=0)
        return SettledLabels(dict(labels), names or tuple(map(str, range(largest + 1))))
    key = min(held, key=lambda key: int(held[key].min()))
    used = np.unique(np.concatenate([*held.values()]))
    smallest, largest = int(used[0]), int(used[-1])
    notes: tuple[str, ...] = ()
    if first is None and smallest == 1 and (names is None or len(names) == largest):
        first, notes = 1, ("labels count from 1, read as categories from 0",)
    if names is None:
        _check_negative(key, held[key], used, first)
        _check_gaps(used, first, sum(map(len, held.values())))
    _check_first_label(key, smallest, first)
    shifted = {key: vector - first for key, vector in labels.items()} if first else dict(labels)
    last = largest - (first or 0)
    return SettledLabels(shifted, names or tuple(str(label) for label in range(last + 1)), notes)


def _has_gaps(used: Labels) -> bool:
    """Return whether most numbers between the smallest label and the largest are none."""
    return int(used[-1]) - int(used[0]) >= 2 * len(used)


def _check_negative(key: str, vector: Labels, used: Labels, first: int | None) -> None:
    smallest, row = int(vector.min()), int(vector.argmin())
    if first is None and smallest < 0:
        remedy = AS_TEXTS if _has_gaps(used) else f"add first_label = {smallest}"
        raise DatasetError(
            f"{key} row {row} holds {smallest}, and labels count from 0: leave out these pairs if {smallest} "
            f"means that they have no label; if yours count from {smallest}, {remedy}"
        )


def _check_gaps(used: Labels, first: int | None, pairs: int) -> None:
    """Raise ``DatasetError`` where most of the categories that the numbers stand for would have no pair."""
    smallest, largest = int(used[0]), int(used[-1])
    begins_later = first is None and smallest > 0
    most_without_pairs = _has_gaps(used) if begins_later else largest - (first or 0) > pairs
    if most_without_pairs:
        raise DatasetError(
            f"the labels are {len(used)} numbers from {smallest} to {largest} with gaps between them "
            f"({listed(used.tolist(), _SHOWN)}): {AS_TEXTS}, or number those of all splits together with "
            "np.unique(labels, return_inverse=True)[1]; if the numbers between are classes without pairs, "
            "add class_names and first_label"
        )


def _check_first_label(key: str, smallest: int, first: int | None) -> None:
    if first is None and smallest > 0:
        raise DatasetError(
            f"the smallest label is {smallest}, but labels count from 0: if yours count from {smallest}, add "
            f"first_label = {smallest}; if the classes before it have no pairs, add first_label = 0"
        )
    if first is not None and smallest < first:
        raise DatasetError(f"first_label is {first}, but {key} holds {smallest}; correct one of them")
