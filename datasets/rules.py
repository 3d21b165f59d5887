"""The rules every dataset keeps, each a sentence and a function that yields what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import (
    ARRAY_TYPES,
    composed,
    file_key,
    first_non_finite_row,
    must_differ,
    split_arrays,
)
from cmbench.errors import listed

if TYPE_CHECKING:
    from cmbench.datasets.draft import Draft, Parts, Split

MODALITIES = (("images", "image_parts", "image_groups"), ("texts", "text_parts", "text_groups"))


@dataclass(frozen=True)
class Rule:
    """A rule, and what tells where it is broken.

    Parameters
    ----------
    sentence : the rule itself
    problems : yields what breaks it, a sentence each
    may_break : whether rows and validation pairs can be looked at while it is broken
    """

    sentence: str
    problems: Callable[[Draft], Iterator[str]]
    may_break: bool = False


def _types_are_right(draft: Draft) -> Iterator[str]:
    for name, split in draft.splits:
        for key, array in split_arrays(split):
            yield from _wrong_type(file_key(key, name), array, *ARRAY_TYPES[key])
    for class_name in draft.class_names:
        if not isinstance(class_name, str):
            yield f"class_names holds {class_name!r}; every class name must be a str"


def _wrong_type(key: str, array: Any, wanted: str, dimensions: int) -> Iterator[str]:
    if not isinstance(array, np.ndarray):
        yield f"{key} is a {type(array).__name__}; it must be a NumPy array of {wanted}"
        return
    dtype = "str" if array.dtype.kind == "U" else str(array.dtype)
    may_be_matrix = key.startswith("labels_") and array.ndim == 2 and array.shape[1] != 1
    if not (array.ndim == dimensions or may_be_matrix) or dtype != wanted:
        yield (f"{key} is {dtype} of shape {array.shape}; it must be {wanted} with {dimensions} dimension(s)")
    elif key.endswith("_offsets") and not len(array):
        yield f"{key} is empty; it holds one number more than there are items"


def _lengths_are_equal(draft: Draft) -> Iterator[str]:
    for name, split in draft.splits:
        lengths = {key: len(array) for key, array in _by_pair(split)}
        if len(set(lengths.values())) > 1:
            sizes = ", ".join(f"{key} {length}" for key, length in lengths.items())
            yield f"{name} has unequal lengths ({sizes}); row i of each must describe pair i"
        for key in ("images", "texts"):
            rows, columns = getattr(split, key).shape
            if rows != len(split) == columns:
                yield f"{key}_{name} looks transposed ({rows} x {columns}); each row is a pair"
        if not len(split):
            yield f"{name} is empty; every split needs at least one pair"


def _by_pair(split: Split) -> Iterator[tuple[str, NDArray[Any] | Parts]]:
    for key in ("images", "texts", "labels", "ids", "image_ids", "image_parts", "text_parts"):
        array = getattr(split, key)
        if array is not None:
            yield key, array


def _dimensions_agree(draft: Draft) -> Iterator[str]:
    for features, parts, _ in MODALITIES:
        yield from _different_widths(
            features, {name: getattr(split, features).shape[1] for name, split in draft.splits}
        )
        yield from _different_widths(
            parts,
            {
                name: getattr(split, parts).values.shape[1]
                for name, split in draft.splits
                if getattr(split, parts) is not None
            },
        )


def _different_widths(key: str, widths: dict[str, int]) -> Iterator[str]:
    if len(set(widths.values())) > 1:
        sizes = ", ".join(f"{name} {width}" for name, width in widths.items())
        yield f"{key} have different dimensions in the splits ({sizes}); use one extractor for all"


def _features_are_finite(draft: Draft) -> Iterator[str]:
    for name, split in draft.splits:
        for key, array in split_arrays(split):
            row = first_non_finite_row(array) if ARRAY_TYPES[key][0] == "float32" else None
            if row is not None:
                yield f"{key}_{name} row {row} holds NaN or infinity; remove or repair that pair"


def _class_names_are_distinct(draft: Draft) -> Iterator[str]:
    names = tuple(composed(name) for name in draft.class_names)
    for index, name in enumerate(names):
        if not name.strip():
            yield f"class {index} has no name; results by class need one"
        elif names.index(name) < index:
            yield f"classes {names.index(name)} and {index} are both called {name!r}; rename or merge them"


def _labels_are_classes(draft: Draft) -> Iterator[str]:
    count = len(draft.class_names)
    shapes = {file_key("labels", name): split.labels.shape[1:] for name, split in draft.splits}
    if len(set(shapes.values())) > 1:
        kinds = ", ".join(f"{key} has {shape[0] if shape else 'no'} columns" for key, shape in shapes.items())
        yield f"{kinds}; write the labels of all splits in one way"
    elif draft.is_multi_label:
        yield from _broken_matrices(draft)
    else:
        yield from _labels_outside(draft, count)


def _broken_matrices(draft: Draft) -> Iterator[str]:
    count = len(draft.class_names)
    for name, split in draft.splits:
        if split.labels.shape[1] != count:
            yield f"labels_{name} has {split.labels.shape[1]} columns, and class_names has {count} names"
        wrong = (split.labels != 0) & (split.labels != 1)
        if wrong.any():
            row, column = map(int, np.argwhere(wrong)[0])
            yield (
                f"labels_{name} row {row} column {column} is {int(split.labels[row, column])}; "
                "a row holds 1 for each category that the pair has and 0 for the others"
            )
    held = np.unique(np.concatenate([split.categories for _, split in draft.splits]))
    unused = np.setdiff1d(np.arange(count), held)
    if len(unused):
        names = listed([draft.class_names[column] for column in unused], 5)
        yield f"no pair has the category {names}; remove its column and its name"
    sums = np.concatenate([split.labels.sum(axis=1) for _, split in draft.splits])
    if count and (sums == 1).all():
        yield "each pair has exactly one category; write labels as numbers (n,), with argmax(axis=1)"


def _labels_outside(draft: Draft, count: int) -> Iterator[str]:
    for name, split in draft.splits:
        outside = (split.labels < 0) | (split.labels >= count)
        if outside.any():
            row = int(np.argmax(outside))
            label = int(split.labels[row])
            unlabelled = f"; leave out these pairs if {label} means that they have no label"
            yield (
                f"labels_{name} row {row} holds {label}, outside 0..{count - 1}; labels count from 0 and "
                f"class_names names every class{unlabelled if label < 0 else ''}"
            )


def _test_classes_are_trained(draft: Draft) -> Iterator[str]:
    for name, split in draft.splits[1:]:
        unseen = draft.unseen_in(split)
        if not len(unseen) or (draft.unseen_categories and name != "val"):
            continue
        remedy = "" if name == "val" else ", or ask for the protocol zeroshot, which is about such classes"
        ranges = cut_while_sorted(draft)
        cause = f" (the pairs seem to have been sorted by category before: {ranges})" if ranges else ""
        yield (
            f"{name} has class(es) {listed(unseen.tolist(), 5)} that no training pair has{cause}; "
            f"move pairs of them into training or drop them{remedy}"
        )


def cut_while_sorted(draft: Draft) -> str:
    """Return the ranges of categories of the splits, if one file sorted by category was cut into them.

    So it is where all splits are sorted, up or down, and the categories of any two overlap in one at most.
    """
    if draft.train.labels.ndim != 1:
        return ""
    labels = [split.labels for _, split in draft.splits[:3]]
    steps = np.concatenate([np.diff(part) for part in labels])
    if not all(map(len, labels)) or ((steps < 0).any() and (steps > 0).any()):
        return ""
    names = [name for name, _ in draft.splits[:3]]
    ranges = sorted(
        (int(part.min()), int(part.max()), name) for part, name in zip(labels, names, strict=True)
    )
    several = any(last > first for first, last, _ in ranges)
    apart = all(one[1] <= other[0] for one, other in pairwise(ranges))
    if not (several and apart):
        return ""
    return "; ".join(f"{name}: {_range(first, last, draft.class_names)}" for first, last, name in ranges)


def _range(first: int, last: int, names: Sequence[str]) -> str:
    return names[first] if first == last else f"{names[first]} to {names[last]}"


def _ids_are_unique(draft: Draft) -> Iterator[str]:
    owner: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for name, split in draft.splits:
        for identifier in map(composed, split.ids.tolist()):
            if owner.setdefault(identifier, name) != name and must_differ(owner[identifier], name):
                repeated.setdefault(identifier, f"in {owner[identifier]} and again in {name}")
        unique, counts = np.unique([composed(name) for name in split.ids.tolist()], return_counts=True)
        for identifier in unique[counts > 1].tolist():
            repeated.setdefault(identifier, f"twice in {name}")
    if repeated:
        identifier, where = next(iter(repeated.items()))
        others = f" (and {len(repeated) - 1} more ids are repeated)" if len(repeated) > 1 else ""
        yield f"id {identifier!r} is {where}{others}; keep each pair once, in one split"


def _parts_and_groups_fit(draft: Draft) -> Iterator[str]:
    for name, split in draft.splits:
        for key, parts in (("image_parts", split.image_parts), ("text_parts", split.text_parts)):
            if parts is not None:
                yield from _broken_offsets(f"{key}_{name}", parts)
    for features, _, groups in MODALITIES:
        yield from _broken_groups(draft, features, groups)


def _broken_offsets(key: str, parts: Parts) -> Iterator[str]:
    steps = np.diff(parts.offsets)
    if parts.offsets[0] != 0 or parts.offsets[-1] != len(parts.values):
        yield f"{key}_offsets must run from 0 to {len(parts.values)}, the number of rows in {key}"
    elif (steps < 0).any():
        yield f"{key}_offsets decrease at item {int(np.argmax(steps < 0))}; they mark where each item starts"


def _broken_groups(draft: Draft, features: str, key: str) -> Iterator[str]:
    groups: NDArray[np.int64] | None = getattr(draft.train, key)
    for name, split in draft.splits:
        grouping, width = getattr(split, key), getattr(split, features).shape[1]
        if grouping is not None and grouping.shape != (width,):
            yield f"{key} of {name} has shape {grouping.shape}; it has a block for each of {width} features"
        elif not _same(grouping, groups):
            yield f"{key} of {name} differs from that of train; one grouping holds for all splits"


def _same(one: NDArray[np.int64] | None, other: NDArray[np.int64] | None) -> bool:
    return one is other if one is None or other is None else np.array_equal(one, other)


def _card_is_kept(draft: Draft) -> Iterator[str]:
    sizes = (len(draft.train), len(draft.validation), len(draft.test))
    if draft.card.sizes is not None and sizes != draft.card.sizes:
        yield (
            f"has {sizes} train/val/test pairs, but its source states {draft.card.sizes}; get the files "
            "again, or correct sizes in the card"
        )
    if draft.card.fingerprint and draft.fingerprint != draft.card.fingerprint:
        yield (
            f"has fingerprint {draft.fingerprint[:12]}, but its card states "
            f"{draft.card.fingerprint[:12]}: the files were changed or damaged; get them again, or leave "
            "fingerprint out of the card"
        )


TYPES = Rule("arrays have the right types", _types_are_right)
RULES = (
    Rule("arrays of a split have equal lengths", _lengths_are_equal),
    Rule("splits have the same dimensions", _dimensions_agree),
    Rule("features are finite", _features_are_finite),
    Rule("class names are distinct", _class_names_are_distinct),
    Rule("labels name a class", _labels_are_classes),
    Rule("every validation and test class is trained", _test_classes_are_trained, may_break=True),
    Rule("no id appears twice", _ids_are_unique, may_break=True),
    Rule("parts and groups fit the features", _parts_and_groups_fit),
    Rule("sizes and fingerprint are those of the card", _card_is_kept),
)


def broken_rules(draft: Draft) -> Iterator[tuple[str, list[str]]]:
    """Yield (sentence, what breaks it) for every rule; while types are wrong, for that rule only."""
    wrong_types = list(TYPES.problems(draft))
    yield TYPES.sentence, wrong_types
    if wrong_types:
        return
    for rule in RULES:
        yield rule.sentence, list(rule.problems(draft))
