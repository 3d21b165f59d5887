"""From the arrays of a feature file to a dataset, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import ARRAY_TYPES, Card, Draft, Parts, Split, file_key, split_arrays
from cmbench.datasets.formats.casting import float_matrix, int_vector, single_int, single_text, text_vector
from cmbench.datasets.formats.labels import label_array, settled_labels
from cmbench.errors import DatasetError

Cast = Callable[[str, NDArray[Any]], Any]
Values = dict[str, Any]
SPLIT_NAMES = ("train", "val", "test")
RETRIEVAL = "retrieval"
"""The split, if there is one, in which test items look for what is relevant."""

REQUIRED = ("images", "texts", "labels")
PARTS = ("image_parts", "text_parts")
GROUPS = ("image_groups", "text_groups")
CARD_TEXTS = ("source", "licence", "citation", "image_feature", "text_feature", "fingerprint", "recipe")
_CASTS: dict[str, Cast] = {"float32": float_matrix, "int64": int_vector, "str": text_vector}

_SPLIT_CASTS: dict[str, Cast] = {
    file_key(key, name): _CASTS[kind]
    for name in (*SPLIT_NAMES, RETRIEVAL)
    for key, (kind, _) in ARRAY_TYPES.items()
    if key not in GROUPS
}
CASTS: dict[str, Cast] = {
    **_SPLIT_CASTS,
    **{file_key("labels", name): label_array for name in (*SPLIT_NAMES, RETRIEVAL)},
    **dict.fromkeys(GROUPS, int_vector),
    "class_names": text_vector,
    "first_label": single_int,
    "sizes": int_vector,
    "notes": text_vector,
    **dict.fromkeys(("name", *CARD_TEXTS), single_text),
}
"""What makes a value of the contract from the array under each known key."""

MOST_LISTED = 40  # keys named in a message


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """What a reader found: all keys, the arrays under known keys, and why it left out others."""

    path: Path
    keys: tuple[str, ...]
    arrays: Mapping[str, NDArray[Any]]
    problems: tuple[str, ...] = ()

    @property
    def unused(self) -> tuple[str, ...]:
        """The keys that have no meaning in a feature file."""
        return tuple(key for key in self.keys if key not in CASTS)

    @property
    def default_name(self) -> str:
        """The name of the folder, or of the file without its ending."""
        path = self.path.resolve()
        return path.name if path.is_dir() else path.stem


def draft_of(file: FeatureFile) -> tuple[Draft | None, list[str]]:
    """Return the file's dataset before its rules are checked; or None, and everything in the way."""
    values, problems = _cast(file)
    names = _names_of_splits(file)
    problems += _missing(file, names)
    labels, label_problems = _settled_labels(values, file, names)
    problems += label_problems
    if len(values.get("sizes", SPLIT_NAMES)) != len(SPLIT_NAMES):
        problems.append(f"sizes holds {len(values['sizes'])} numbers; it must hold train, val and test")
    if problems:
        return None, problems
    values |= labels
    train, validation, test, *retrieval = (_split(values, name) for name in names)
    name = values.get("name") or file.default_name
    class_names, card = tuple(values["class_names"]), _card(values)
    return Draft(name, train, validation, test, class_names, card, next(iter(retrieval), None)), []


def split_of(file: FeatureFile, name: str) -> Split:
    """Return one split of ``file`` without checking the rules of a dataset; the others may be absent."""
    values, problems = _cast(file)
    problems += _missing(file, (name,))
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


def _names_of_splits(file: FeatureFile) -> tuple[str, ...]:
    with_retrieval = any(f"{key}_{RETRIEVAL}" in file.keys for key in REQUIRED)
    return (*SPLIT_NAMES, RETRIEVAL) if with_retrieval else SPLIT_NAMES


def _is_unlabelled(file: FeatureFile) -> bool:
    """Return whether the pairs have no categories: no labels, and no key left that may hold them."""
    return not file.unused and not any(key.startswith("labels_") for key in file.keys)


def _missing(file: FeatureFile, names: tuple[str, ...]) -> Iterator[str]:
    required = [key for key in REQUIRED if key != "labels" or not _is_unlabelled(file)]
    wanted = [f"{key}_{name}" for name in names for key in required]
    missing = [key for key in wanted if key not in file.keys]
    if missing:
        similar = [(near, key) for key in missing for near in get_close_matches(key, file.unused, 1)]
        guess = "".join(f" (is {near} meant for {key}?)" for near, key in similar)
        yield (
            f"missing: {', '.join(missing)}{guess}; keys found: {_listed(file.keys)}; "
            "add images_*, texts_* and labels_* for each of train, val and test"
        )
    for parts in (f"{key}_{name}" for name in names for key in PARTS):
        pair = {parts, f"{parts}_offsets"}
        for absent in sorted(pair - set(file.keys)) if pair & set(file.keys) else ():
            yield f"missing: {absent}; parts need both {parts} and {parts}_offsets"


def _listed(keys: tuple[str, ...]) -> str:
    shown = ", ".join(keys[:MOST_LISTED]) or "none"
    return f"{shown} and {len(keys) - MOST_LISTED} more" if len(keys) > MOST_LISTED else shown


def _settled_labels(values: Values, file: FeatureFile, names: tuple[str, ...]) -> tuple[Values, list[str]]:
    """Return labels, class names and notes as the dataset has them, and what is wrong with the labels."""
    keys = [file_key("labels", name) for name in names]
    if _is_unlabelled(file):
        counts = {name: len(values.get(file_key("texts", name), ())) for name in names}
        matrices = {file_key("labels", name): np.zeros((n, 0), np.int64) for name, n in counts.items()}
        note = "there are no labels: items have no category, and only the pair itself can be relevant"
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
