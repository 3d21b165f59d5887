"""From the arrays of a feature file to a dataset, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import ARRAY_TYPES, FULL_NAMES, Card, Draft, Parts, Split, file_key, split_arrays
from cmbench.datasets.formats.casting import (
    float_matrix,
    int_vector,
    one_line,
    shown_texts,
    single_int,
    single_text,
    text_vector,
    whole_characters,
)
from cmbench.datasets.formats.division import Shares, drawn
from cmbench.datasets.formats.labels import label_array, settled_labels
from cmbench.errors import DatasetError, listed

Cast = Callable[[str, NDArray[Any]], Any]
Values = dict[str, Any]
SPLIT_NAMES = ("train", "val", "test")
RETRIEVAL = "retrieval"
"""The split, if there is one, in which test items look for what is relevant."""

ALL_PAIRS = "all"
"""Stands for a split in keys where the pairs are not divided yet."""

REQUIRED = ("images", "texts", "labels")
PARTS = ("image_parts", "text_parts")
GROUPS = ("image_groups", "text_groups")
CARD_TEXTS = (
    "source",
    "licence",
    "citation",
    "image_feature",
    "text_feature",
    "fingerprint",
    "recipe",
    "shared_after",
    "shared_space",
)
_CASTS: dict[str, Cast] = {"float32": float_matrix, "int64": int_vector, "str": text_vector}

_SPLIT_CASTS: dict[str, Cast] = {
    file_key(key, name): _CASTS[kind]
    for name in (*SPLIT_NAMES, RETRIEVAL, ALL_PAIRS)
    for key, (kind, _) in ARRAY_TYPES.items()
    if key not in GROUPS
}
CASTS: dict[str, Cast] = {
    **_SPLIT_CASTS,
    **{file_key("labels", name): label_array for name in (*SPLIT_NAMES, RETRIEVAL, ALL_PAIRS)},
    **dict.fromkeys(GROUPS, int_vector),
    "class_names": shown_texts,
    "first_label": single_int,
    "sizes": int_vector,
    "notes": shown_texts,
    "name": one_line,
    **dict.fromkeys(CARD_TEXTS, single_text),
}
"""What makes a value of the contract from the array under each known key."""

MOST_LISTED = 40  # keys named in a message


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """What a reader found in a file or folder.

    Parameters
    ----------
    path : of the file or folder
    keys : all keys in it
    arrays : what could be read, by the key it has in a dataset (``images_train``)
    problems : why other arrays could not be read
    names : the key in the file of each array, by the key it has in a dataset
    notes : how keys of other names were read
    """

    path: Path
    keys: tuple[str, ...]
    arrays: Mapping[str, NDArray[Any]]
    problems: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def unused(self) -> tuple[str, ...]:
        """The keys that have no meaning in a feature file."""
        return tuple(key for key in self.keys if key not in self.names.values())

    @property
    def default_name(self) -> str:
        """The name of the folder, or of the file without its ending."""
        path = self.path.resolve()
        return whole_characters(path.name if path.is_dir() else path.stem)


@dataclass(frozen=True, eq=False)
class Reading:
    """The dataset that a file holds, before its rules are checked, and how it was read.

    Parameters
    ----------
    draft : None where something is in the way
    problems : everything that is in the way
    notes : what was done to read it, for the card
    """

    draft: Draft | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def draft_of(file: FeatureFile, shares: Shares | None = None, *, default_name: str = "") -> Reading:
    """Return the file's dataset; ``shares`` says what part of its pairs is drawn for validation and test.

    Its name is what the file says, else ``default_name``, by default that of the file.
    """
    shares = shares or Shares()
    values, problems = _cast(file)
    names = _names_of_splits(file, shares)
    problems += [*_missing(file, names), *_drawn_twice(file, shares)]
    labels, label_problems = _settled_labels(values, file, names)
    problems += label_problems
    if len(values.get("sizes", SPLIT_NAMES)) != len(SPLIT_NAMES):
        problems.append(f"sizes holds {len(values['sizes'])} numbers; it must hold train, val and test")
    if problems:
        return Reading(None, tuple(problems), file.notes)
    stored_notes = values.get("notes", ())
    values |= labels
    splits = {name: _split(values, name) for name in names}
    drawn_notes = (*_left_out(file, shares), *_drawn(splits, shares))
    notes = (*stored_notes, *file.notes, *tuple(values.get("notes", ()))[len(stored_notes) :], *drawn_notes)
    card = replace(_card(values), notes=notes)
    if drawn_notes:  # which the source does not state
        card = replace(card, sizes=None, fingerprint="")
    name = values.get("name") or default_name or file.default_name
    class_names = tuple(values["class_names"])
    train, validation, test = (splits[split] for split in SPLIT_NAMES)
    draft = Draft(name, train, validation, test, class_names, card, splits.get(RETRIEVAL))
    return Reading(draft, (), notes[len(stored_notes) :])


def _left_out(file: FeatureFile, shares: Shares) -> Iterator[str]:
    """Yield that the file's own validation pairs are not used, where others are drawn instead."""
    if shares.validation is not None and "images_val" in file.arrays:
        count = len(file.arrays["images_val"])
        yield f"the {count} validation pairs of the file were left out, and others drawn instead"


def _drawn(splits: dict[str, Split], shares: Shares) -> Iterator[str]:
    """Put the pairs that are drawn into ``splits``, and yield a note on each draw."""
    source = "train" if "train" in splits else ALL_PAIRS
    pairs = splits.pop(source)
    n_pairs = len(pairs)
    for name, share in shares.by_split.items():
        # of the pairs that are left, as many as the share is of all
        pairs, splits[name] = drawn(pairs, share * n_pairs / len(pairs), seed=shares.seed)
        yield (
            f"{len(splits[name])} of {n_pairs} {'training pairs' if source == 'train' else 'pairs'} "
            f"({share:g} of each category) were drawn by cmbench for {FULL_NAMES[name]} with seed "
            f"{shares.seed}"
        )
    splits["train"] = pairs


def split_of(file: FeatureFile, name: str) -> Split:
    """Return one split of ``file`` without checking the rules of a dataset; the others may be absent."""
    values, problems = _cast(file)
    problems += _missing_keys(file, (name,))
    if problems:
        raise DatasetError(f"{file.path}: " + "; ".join(problems))
    key = file_key("labels", name)
    values.setdefault(key, np.zeros((len(values[file_key("texts", name)]), 0), dtype=np.int64))
    if first := values.get("first_label", 0):
        values[key] = values[key] - first
    return _split(values, name)


def dataset_arrays(draft: Draft) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield (key, array) of everything a feature file holds; reading it back gives the same dataset."""
    for name, split in draft.splits:
        for key, array in split_arrays(split):
            if key not in GROUPS:
                yield file_key(key, name), array
    for key in GROUPS:
        if getattr(draft.train, key) is not None:
            yield key, getattr(draft.train, key)
    yield from (("class_names", np.array(draft.class_names, dtype=np.str_)), ("first_label", np.array(0)))
    yield "name", np.array(draft.name)
    for key in CARD_TEXTS:
        yield key, np.array(getattr(draft.card, key))
    if draft.card.sizes is not None:
        yield "sizes", np.array(draft.card.sizes)
    if draft.card.notes:
        yield "notes", np.array(draft.card.notes)


def _cast(file: FeatureFile) -> tuple[Values, list[str]]:
    values: Values = {}
    problems = list(file.problems)
    for key, array in file.arrays.items():
        try:
            values[key] = CASTS[key](key, array)
        except DatasetError as error:
            problems.append(str(error))
    return values, problems


def _names_of_splits(file: FeatureFile, shares: Shares) -> tuple[str, ...]:
    """Return the names of the splits that a file should have, those that are drawn left out."""
    has_all = f"images_{ALL_PAIRS}" in file.names and "images_train" not in file.names
    names = [ALL_PAIRS if has_all and name == "train" else name for name in SPLIT_NAMES]
    names += [RETRIEVAL] if any(f"{key}_{RETRIEVAL}" in file.names for key in REQUIRED) else []
    return tuple(name for name in names if name not in shares.by_split)


def _is_unlabelled(file: FeatureFile) -> bool:
    """Return whether the pairs have no categories: no labels, and no key left that may hold them."""
    return not file.unused and not any(key.startswith("labels_") for key in file.names)


def _missing(file: FeatureFile, names: Sequence[str]) -> Iterator[str]:
    """Yield what a file lacks of the splits ``names``."""
    absent = [name for name in names if not any(f"{key}_{name}" in file.names for key in REQUIRED)]
    others = [f"{key}_{name}" for name in names if name not in absent for key in _required(file)]
    if ALL_PAIRS in names and absent:
        yield (
            "the pairs are not divided into training, validation and test; 'cmbench datasets convert "
            f"{file.path} -o NEW.npz --validation 0.1 --test 0.1' draws a division by category"
        )
    elif absent == ["val"] and all(key in file.names for key in others):
        yield (
            "there are no validation pairs (missing: images_val, texts_val, labels_val), by which methods "
            f"choose their parameters; 'cmbench datasets convert {file.path} -o NEW.npz --validation 0.1' "
            f"draws them from training by category. Keys found: {listed(file.keys, MOST_LISTED) or 'none'}"
        )
    else:
        absent = []
    yield from _missing_keys(file, [name for name in names if name not in absent])


def _required(file: FeatureFile) -> list[str]:
    return [key for key in REQUIRED if key != "labels" or not _is_unlabelled(file)]


def _missing_keys(file: FeatureFile, names: Sequence[str]) -> Iterator[str]:
    wanted = [f"{key}_{name}" for name in names for key in _required(file)]
    missing = [key for key in wanted if key not in file.names]
    if missing:
        guesses = _guesses(missing, file)
        guess = "".join(f" (is {near} meant for {key}?)" for near, key in guesses)
        found = listed(file.keys, MOST_LISTED) or "none"
        yield (
            f"missing: {', '.join(missing)}{guess}; keys found: {found}; add images_*, texts_* "
            "and labels_* for each of train, val and test, or let 'cmbench datasets convert IN -o OUT --key "
            f"{missing[0]}=KEY' say which key it is"
        )
    for parts in (f"{key}_{name}" for name in names for key in PARTS):
        pair = {parts, f"{parts}_offsets"}
        for absent in sorted(pair - set(file.names)) if pair & set(file.names) else ():
            yield f"missing: {absent}; parts need both {parts} and {parts}_offsets"


def _guesses(missing: Sequence[str], file: FeatureFile) -> list[tuple[str, str]]:
    """Return unused keys with the missing one that each is meant for, where it is like no other of them."""
    likely = [(near, key) for key in missing for near in _unused_like(key, file)]
    counts = Counter(near for near, _ in likely)
    return [(near, key) for near, key in likely if counts[near] == 1]


def _unused_like(key: str, file: FeatureFile) -> list[str]:
    """Return the unused key of the same split whose other words are most like those of ``key``."""
    kind, _, split = key.rpartition("_")
    others = {
        other.lower().replace(split, "").strip("_-. "): other
        for other in file.unused
        if split in other.lower()
    }
    return [others[near] for near in get_close_matches(kind, others, 1)]


def _drawn_twice(file: FeatureFile, shares: Shares) -> Iterator[str]:
    if shares.test is not None and "images_test" in file.names:
        yield "there is a test split already (images_test); leave out --test"
    if shares.test is not None and "images_train" in file.names and "images_test" not in file.names:
        yield "there are training pairs and no test pairs; name those, since no training pair may be one"


def _settled_labels(values: Values, file: FeatureFile, names: tuple[str, ...]) -> tuple[Values, list[str]]:
    """Return labels, class names and notes as the dataset has them, and what is wrong with the labels."""
    keys = [file_key("labels", name) for name in names]
    if _is_unlabelled(file):
        counts = {name: len(values.get(file_key("texts", name), ())) for name in names}
        matrices = {file_key("labels", name): np.zeros((n, 0), np.int64) for name, n in counts.items()}
        note = (
            "there are no labels: items have no category, and only the pair itself can be relevant "
            "(--protocol pairs)"
        )
        return {**matrices, "class_names": (), "notes": [*values.get("notes", ()), note]}, []
    if not all(key in values for key in keys):
        return {}, []
    try:
        settled = settled_labels(
            {key: values[key] for key in keys},
            class_names=values["class_names"].tolist() if "class_names" in values else None,
            first_label=values.get("first_label"),
            stored={key: file.arrays[key] for key in keys},
            floats_are_usual=file.path.suffix.lower() == ".mat",
        )
    except DatasetError as error:
        return {}, [str(error)]
    notes = [*values.get("notes", ()), *settled.notes]
    return {**settled.labels, "class_names": settled.class_names, "notes": notes}, []


def _split(values: Values, name: str) -> Split:
    labels = values[f"labels_{name}"]
    ids = values.get(f"ids_{name}")
    if ids is None:
        ids = np.array([f"{name}-{row}" for row in range(len(labels))], dtype=np.str_)
    return Split(
        values[f"images_{name}"],
        values[f"texts_{name}"],
        labels,
        ids,
        image_parts=_parts(values, f"image_parts_{name}"),
        text_parts=_parts(values, f"text_parts_{name}"),
        image_groups=values.get("image_groups"),
        text_groups=values.get("text_groups"),
        image_ids=values.get(f"image_ids_{name}"),
    )


def _parts(values: Values, key: str) -> Parts | None:
    return Parts(values[key], values[f"{key}_offsets"]) if key in values else None


def _card(values: Values) -> Card:
    texts = {key: values[key] for key in CARD_TEXTS if values.get(key)}
    sizes = tuple(values["sizes"].tolist()) if "sizes" in values else None
    return Card(**texts, sizes=sizes, notes=tuple(values.get("notes", ())))
