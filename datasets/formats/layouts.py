"""What the keys of published feature files mean: ``I_tr``, ``train_img``, ``XAll`` and the like.

The files that authors put on their pages hold the same arrays under names of their own. A key is taken apart
into words; each word says a split (``tr``, ``te``, ``valid``), a kind (``img``, ``txt``, ``lab``) or nothing.
Whoever knows better says so: ``--key images_train=MY_KEY``.

Matrices with a column for each pair, as MATLAB's users like them, are turned where the numbers of pairs leave
no doubt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import FULL_NAMES
from cmbench.datasets.formats.feature_file import (
    ALL_PAIRS,
    CASTS,
    REQUIRED,
    RETRIEVAL,
    SPLIT_NAMES,
    FeatureFile,
)
from cmbench.errors import DatasetError, did_you_mean

SPLIT_WORDS = {
    **dict.fromkeys(("train", "tr", "trn", "training"), "train"),
    **dict.fromkeys(("val", "va", "vld", "valid", "validation", "dev", "devel"), "val"),
    **dict.fromkeys(("test", "te", "tst", "testing"), "test"),
    **dict.fromkeys(("query", "queries"), "test"),
    **dict.fromkeys(("retrieval", "database", "db", "gallery"), RETRIEVAL),
    **dict.fromkeys(("all", "total", "full", "whole"), ALL_PAIRS),
}
KIND_WORDS = {
    **dict.fromkeys(("images", "image", "imgs", "img", "im", "i", "x", "v", "vis", "visual"), "images"),
    **dict.fromkeys(("pictures", "picture", "pics", "pic"), "images"),
    **dict.fromkeys(("texts", "text", "txts", "txt", "t", "tags", "tag", "captions", "caption"), "texts"),
    **dict.fromkeys(("sentences", "sentence", "sents", "doc", "docs", "words"), "texts"),
    **dict.fromkeys(
        ("labels", "label", "labs", "lab", "lbl", "l", "gnd", "gt", "target", "targets"), "labels"
    ),
    **dict.fromkeys(("cat", "cats", "category", "categories", "cate", "class", "classes"), "labels"),
    **dict.fromkeys(("ids", "id"), "ids"),
}
NO_MEANING = ("feature", "features", "feat", "feats", "fea", "data", "set", "mat", "matrix", "vec", "vectors")
"""Words that change nothing: ``train_img_feat`` is ``train_img``."""

FEATURES = "x"
"""The images, unless the key says that it means texts."""

SECOND_VIEW = "y"
"""The texts where labels stand under another key (``XAll``, ``YAll``, ``LAll``), and the labels otherwise."""

OTHER_NAMES = {
    "class_names": ("classnames", "classname", "categorynames", "labelnames", "classlist", "tagnames"),
    "licence": ("license",),
}
LABELS_OF_ALL = ("labels", "label", "l", "lab", "gnd", "y")
"""Keys without a split that are labels; ``classes`` and ``categories`` may as well be names."""


@dataclass(frozen=True)
class Layout:
    """What stands where in a file.

    Parameters
    ----------
    keys : the key in the file of each array, by the key it has here (``images_train``)
    notes : how other names were read
    problems : keys that could mean the same
    same : pairs of keys of the file that should hold the same labels, one for each modality
    """

    keys: Mapping[str, str]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    same: tuple[tuple[str, str], ...] = ()


def feature_file(
    path: Path, keys: Sequence[str], read: Callable[[str], NDArray[Any]], given: Mapping[str, str] | None
) -> FeatureFile:
    """Return what a file holds, by the keys of a dataset.

    Parameters
    ----------
    path : of the file or folder
    keys : all of its keys
    read : returns the array under one of them, or raises ``DatasetError``
    given : the key in the file of some arrays, by the key they have in a dataset
    """
    layout = layout_of(keys, given)
    arrays: dict[str, NDArray[Any]] = {}
    problems = list(layout.problems)
    for meaning, key in layout.keys.items():
        try:
            arrays[meaning] = read(key)
        except DatasetError as error:
            problems.append(str(error))
    problems += _different_labels(layout, read)
    turned = _column_for_each_pair(arrays)
    problems += _perhaps_turned(arrays, turned)
    arrays |= {meaning: arrays[meaning].T for meaning in turned}
    transposed = f"transposed, since they had a column for each pair: {', '.join(turned)}"
    notes = (*layout.notes, *([transposed] if turned else []))
    return FeatureFile(path, tuple(keys), arrays, tuple(problems), layout.keys, notes)


def _different_labels(layout: Layout, read: Callable[[str], NDArray[Any]]) -> Iterator[str]:
    """Yield where the labels of the images are not those of the texts, which makes the rows no pairs."""
    for one, other in layout.same:
        if not np.array_equal(read(one).ravel(), read(other).ravel()):
            yield (
                f"{one} and {other} differ, so row i of images and texts is no pair of one category; "
                "name the right labels with --key labels_train=KEY, or put the rows into one order"
            )


def _column_for_each_pair(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the keys of matrices that have a column for each pair in every split, and not a row."""
    splits = [name for name in (*SPLIT_NAMES, RETRIEVAL, ALL_PAIRS) if f"images_{name}" in arrays]
    kinds = [kind for kind in REQUIRED if splits and all(f"{kind}_{name}" in arrays for name in splits)]
    shapes = {kind: [arrays[f"{kind}_{name}"].shape for name in splits] for kind in kinds}
    pairs = [_pairs(of_split) for of_split in zip(*shapes.values(), strict=True)]
    if len(kinds) < 2 or None in pairs:
        return []
    return [f"{kind}_{name}" for kind in kinds if _has_columns(shapes[kind], pairs) for name in splits]


def _perhaps_turned(arrays: Mapping[str, NDArray[Any]], turned: Sequence[str]) -> Iterator[str]:
    """Yield features that are square in every split, where the others had a column for each pair."""
    for kind, other in (("images", "texts"), ("texts", "images")):
        shapes = {key: array.shape for key, array in arrays.items() if key.startswith(f"{kind}_")}
        if any(key.startswith(other) for key in turned) and all(
            len(shape) == 2 and shape[0] == shape[1] for shape in shapes.values()
        ):
            yield (
                f"{other} have a column for each pair, and {kind} are square ({', '.join(shapes)}), so that "
                "it is not clear whether they do too; transpose both"
            )


def _pairs(shapes: Sequence[tuple[int, ...]]) -> int | None:
    """Return the number of pairs of a split, the one side that images, texts and labels share; or None."""
    sides = [{side for side in shape if side != 1 or max(shape, default=1) == 1} for shape in shapes]
    shared = set.intersection(*sides)
    return next(iter(shared)) if len(shared) == 1 else None


def _has_columns(shapes: Sequence[tuple[int, ...]], pairs: Sequence[int | None]) -> bool:
    """Return whether matrices of the same height, which is not that of the pairs, have a column for each."""
    if any(len(shape) != 2 for shape in shapes):
        return False
    heights, widths = zip(*shapes, strict=True)
    return list(widths) == list(pairs) != list(heights) and len(set(heights)) == 1 < heights[0]


def layout_of(keys: Sequence[str], given: Mapping[str, str] | None = None) -> Layout:
    """Return which key of a file holds which array; ``given`` says so for some of them.

    Raises ``DatasetError`` where ``given`` has a key that is not in the file, or one without a meaning.

    >>> layout_of(["I_tr", "T_tr", "L_tr"]).keys
    {'images_train': 'I_tr', 'texts_train': 'T_tr', 'labels_train': 'L_tr'}
    """
    given = given or {}
    _check_given(keys, given)
    known = {key: key for key in keys if key in CASTS and key not in given} | dict(given)
    free = [key for key in keys if key not in known.values()]
    named: dict[str, str] = {}
    problems, same = [], []
    for meaning, candidates in _candidates(free, known).items():
        key, *others = candidates
        if (
            meaning.startswith("labels_")
            and len(candidates) == 2
            and len(set(map(_modality, candidates))) == 2
        ):
            same.append((key, others[0]))
        elif others:
            problems.append(
                f"{meaning} could be {' or '.join(candidates)}; say which it is with --key {meaning}={key}"
            )
            continue
        known[meaning] = named[meaning] = key
    return Layout(known, tuple(_other_names(named)), tuple(problems), tuple(same))


def _other_names(named: Mapping[str, str]) -> Iterator[str]:
    """Yield in one sentence how keys were read; those that merely put the split first need no word."""
    others = [(key, meaning) for meaning, key in named.items() if key not in _split_first(meaning)]
    if others:
        (key, meaning), *rest = others
        yield ", ".join([f"{key} was read as {meaning}", *(f"{key} as {meaning}" for key, meaning in rest)])


def _split_first(meaning: str) -> tuple[str, ...]:
    """Return the other spellings of a key that no one can mistake, as of ``train/images.npy``.

    >>> _split_first("images_val")
    ('val_images', 'validation_images')
    """
    kind, _, name = meaning.rpartition("_")
    return f"{name}_{kind}", f"{FULL_NAMES.get(name, name)}_{kind}"


def _check_given(keys: Sequence[str], given: Mapping[str, str]) -> None:
    for meaning, key in given.items():
        if meaning not in CASTS:
            raise DatasetError(
                f"there is no array {meaning!r} in a dataset{did_you_mean(meaning, CASTS)}; name one such as "
                "images_train, texts_test or labels_val"
            )
        if key not in keys:
            raise DatasetError(
                f"{meaning} should be {key!r}, which is not in the file{did_you_mean(key, keys)}; it has "
                f"{', '.join(keys) or 'no keys'}"
            )


def _candidates(free: Sequence[str], known: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the keys that could be each array that is not known yet; the plainest names only."""
    readings: dict[str, dict[int, list[str]]] = {}
    for key in free:
        for meaning, unknown_words in _meanings(key, free):
            if meaning not in known:
                readings.setdefault(meaning, {}).setdefault(unknown_words, []).append(key)
    if any(meaning.endswith(f"_{name}") for meaning in (*readings, *known) for name in ("train", "test")):
        readings = {meaning: keys for meaning, keys in readings.items() if not meaning.endswith(ALL_PAIRS)}
    return {meaning: keys[min(keys)] for meaning, keys in readings.items()}


def _meanings(key: str, keys: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield what a key may mean, and how many of its words say nothing."""
    words = words_of(key)
    for meaning, names in OTHER_NAMES.items():
        if "".join(words) in names:
            yield meaning, 0
            return
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    kinds = {_kind(word, words, keys) for word in words} - {""}
    unknown = [word for word in words if word not in (*SPLIT_WORDS, *KIND_WORDS, *NO_MEANING, SECOND_VIEW)]
    for of_pairs in ("labels", "ids"):  # train_img_lab: the labels of the images are those of the pairs
        kinds = {of_pairs} if of_pairs in kinds else kinds
    if kinds == {"images", "texts"} and FEATURES in words:  # X_txt_train: features of texts
        kinds = {_kind(word, words, keys) for word in words if word != FEATURES} - {""}
    if len(kinds) != 1 or len(splits) > 1:
        return
    (kind,) = kinds
    if splits:
        yield f"{kind}_{splits.pop()}", len(unknown)
    elif not unknown and (kind != "labels" or "".join(words) in LABELS_OF_ALL):
        yield f"{kind}_{ALL_PAIRS}", 0


def _kind(word: str, words: Sequence[str], keys: Sequence[str]) -> str:
    if word != SECOND_VIEW:
        return KIND_WORDS.get(word, "")
    others = [other for other in map(words_of, keys) if _splits(other) == _splits(words)]
    has_labels = any(KIND_WORDS.get(other) == "labels" for rest in others for other in rest)
    return "texts" if has_labels else "labels"


def _splits(words: Sequence[str]) -> set[str]:
    return {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}


def _modality(key: str) -> str:
    kinds = {KIND_WORDS.get(word) for word in words_of(key)} & {"images", "texts"}
    return next(iter(sorted(map(str, kinds))), "")


def words_of(key: str) -> tuple[str, ...]:
    """Return the words of a key, in small letters; two that stand together are taken apart.

    >>> words_of("I_tr"), words_of("trainImages"), words_of("XAll"), words_of("testtxt")
    (('i', 'tr'), ('train', 'images'), ('x', 'all'), ('test', 'txt'))
    """
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", key)
    return tuple(word for part in parts for word in _apart(part.lower()))


def _apart(word: str) -> tuple[str, ...]:
    known = {*KIND_WORDS, SECOND_VIEW}
    if word in known or word in SPLIT_WORDS or word in NO_MEANING:
        return (word,)
    for at in range(1, len(word)):
        first, second = word[:at], word[at:]
        if (first in known and second in SPLIT_WORDS) or (first in SPLIT_WORDS and second in known):
            return first, second
    return (word,)
