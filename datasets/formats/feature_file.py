"""From the arrays of a feature file to a dataset, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import ARRAY_TYPES, Card, Draft, Labels, Parts, Split, file_key, split_arrays
from cmbench.datasets.formats.casting import float_matrix, int_vector, single_int, single_text, text_vector
from cmbench.errors import DatasetError

Cast = Callable[[str, NDArray[Any]], Any]
Values = dict[str, Any]
SPLIT_NAMES = ("train", "val", "test")
REQUIRED = ("images", "texts", "labels")
PARTS = ("image_parts", "text_parts")
GROUPS = ("image_groups", "text_groups")
CARD_TEXTS = ("source", "licence", "citation", "image_feature", "text_feature", "fingerprint", "recipe")
_CASTS: dict[str, Cast] = {"float32": float_matrix, "int64": int_vector, "str": text_vector}

_SPLIT_CASTS: dict[str, Cast] = {
    file_key(key, name): _CASTS[kind]
    for name in SPLIT_NAMES
    for key, (kind, _) in ARRAY_TYPES.items()
    if key not in GROUPS
}
CASTS: dict[str, Cast] = {
    **_SPLIT_CASTS,
    **dict.fromkeys(GROUPS, int_vector),
    "class_names": text_vector,
    "first_label": single_int,
    "sizes": int_vector,
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
    problems += [*_missing(file, SPLIT_NAMES), *_unclear_labels(values)]
    if len(values.get("sizes", SPLIT_NAMES)) != len(SPLIT_NAMES):
        problems.append(f"sizes holds {len(values['sizes'])} numbers; it must hold train, val and test")
    if problems:
        return None, problems
    values |= _labels_from_zero(values)
    train, validation, test = (_split(values, name) for name in SPLIT_NAMES)
    name = values.get("name") or file.default_name
    return Draft(name, train, validation, test, _class_names(values), _card(values)), []


def split_of(file: FeatureFile, name: str) -> Split:
    """Return one split of ``file`` without checking the rules of a dataset; the others may be absent."""
    values, problems = _cast(file)
    problems += _missing(file, (name,))
    if problems:
        raise DatasetError(f"{file.path}: " + "; ".join(problems))
    return _split(values | _labels_from_zero(values), name)


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


def _cast(file: FeatureFile) -> tuple[Values, list[str]]:
    values: Values = {}
    problems = list(file.problems)
    for key, array in file.arrays.items():
        try:
            values[key] = CASTS[key](key, array)
        except DatasetError as error:
            problems.append(str(error))
    return values, problems


def _missing(file: FeatureFile, names: tuple[str, ...]) -> Iterator[str]:
    wanted = [f"{key}_{name}" for name in names for key in REQUIRED]
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


def _unclear_labels(values: Values) -> Iterator[str]:
    labels = {key: values[key] for key in (f"labels_{name}" for name in SPLIT_NAMES) if key in values}
    if len(labels) < len(SPLIT_NAMES) or not all(map(len, labels.values())):
        return
    key = min(labels, key=lambda key: int(labels[key].min()))
    smallest, largest = int(labels[key].min()), max(int(vector.max()) for vector in labels.values())
    if "first_label" not in values and smallest > 0:
        yield (
            f"the smallest label is {smallest}, but labels count from 0: if yours count from 1, subtract 1 "
            "or add first_label = 1; if the classes before it have no pairs, add first_label = 0"
        )
    elif smallest < values.get("first_label", smallest):
        yield f"first_label is {values['first_label']}, but {key} holds {smallest}; correct one of them"
    if "class_names" not in values and largest > sum(map(len, labels.values())):
        yield f"the largest label is {largest}, more than there are pairs; renumber them or add class_names"


def _labels_from_zero(values: Values) -> Values:
    first = values.get("first_label", 0)
    keys = [f"labels_{name}" for name in SPLIT_NAMES if f"labels_{name}" in values]
    return {key: values[key] - first for key in keys} if first else {}


def _split(values: Values, name: str) -> Split:
    labels: Labels = values[f"labels_{name}"]
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
    )


def _parts(values: Values, key: str) -> Parts | None:
    return Parts(values[key], values[f"{key}_offsets"]) if key in values else None


def _class_names(values: Values) -> tuple[str, ...]:
    if "class_names" in values:
        return tuple(values["class_names"].tolist())
    largest = max(int(values[f"labels_{name}"].max(initial=-1)) for name in SPLIT_NAMES)
    return tuple(str(label) for label in range(largest + 1))


def _card(values: Values) -> Card:
    texts = {key: values[key] for key in CARD_TEXTS if values.get(key)}
    sizes = tuple(values["sizes"].tolist()) if "sizes" in values else None
    return Card(**texts, sizes=sizes)
