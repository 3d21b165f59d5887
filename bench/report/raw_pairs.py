"""The pictures and texts behind the ids of a record: those that come with cmbench, else from their folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.emoji.thumbnails import thumbnails
from cmbench.datasets.raw.registry import RAW, WITHOUT_FOLDER, load_raw
from cmbench.datasets.scenes import collection as scenes
from cmbench.errors import DatasetError, ReportError

Pixels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A picture, which is read when it is drawn, and its text."""

    picture: Callable[[], Pixels]
    text: str


def raw_pairs(
    dataset: Mapping[str, Any],
    categories: Mapping[str, str | None],
    folder: Path | None = None,
    *,
    kind: str | None = None,
) -> dict[str, Pair]:
    """Return the pairs with these ids.

    Parameters
    ----------
    dataset : as a record describes it
    categories : the ids that are wanted, each with the name of its category, None where it is not one
    folder : where the raw pairs are, as ``cmbench features extract`` reads them; not needed for ``scenes``
        and for the test pairs of ``emoji``
    kind : what they are, such as ``pascal_sentence`` or ``pairs_table``; by default each is tried

    Raises
    ------
    ReportError
        Nothing that holds these pairs, or pairs of other categories.
    """
    if folder is None and kind in (None, *_BUILT_IN):
        return _built_in(dataset, categories, list(_BUILT_IN) if kind is None else [kind])
    kinds = [name for name in RAW if name not in WITHOUT_FOLDER] if kind is None else [kind]
    problems = []
    for name in kinds:
        try:
            return _of_folder(name, folder, list(categories))
        except DatasetError as error:
            problems.append(f"read as {name}: {error}")
    listed = "; ".join(problem.partition("; ")[0] for problem in problems)
    raise ReportError(
        f"{folder} does not hold the raw pairs of {dataset['name']} ({listed}); name the folder that their "
        "features were extracted from, and with --raw how it is to be read"
    )


def _of_folder(kind: str, folder: Path | None, ids: Sequence[str]) -> dict[str, Pair]:
    raw = load_raw(kind, folder)
    held = {pair.id: pair for _, split in raw.splits for pair in split}
    missing = [id_ for id_ in ids if id_ not in held]
    if missing:
        raise DatasetError(f"there is no pair {missing[0]!r} among ids such as {next(iter(held))!r}")
    return {id_: Pair(held[id_].picture.read, held[id_].text) for id_ in ids}


def _built_in(
    dataset: Mapping[str, Any], categories: Mapping[str, str | None], names: Sequence[str]
) -> dict[str, Pair]:
    """Return pairs of one of the built-in datasets, if its pairs of all these ids are of these categories."""
    for name in names:
        held = _BUILT_IN[name](categories)
        if held and all(categories[id_] in (category, None) for id_, (_, category) in held.items()):
            return {id_: pair for id_, (pair, _) in held.items()}
    raise ReportError(
        f"not all the pictures and texts of {dataset['name']} are built in; name their folder with --pairs"
    )


_SCENE = re.compile(r"scene-(\d{4,})")


def _scenes(ids: Collection[str]) -> dict[str, tuple[Pair, str]]:
    """Return pairs drawn by their numbers, with their categories; none where an id is of no scene."""
    matches = {id_: _SCENE.fullmatch(id_) for id_ in ids}
    numbers = {id_: int(match[1]) for id_, match in matches.items() if match}
    if len(numbers) < len(ids) or max(numbers.values(), default=0) >= scenes.COUNT:
        return {}
    drawn = {id_: scenes.pair(number) for id_, number in numbers.items()}
    return {
        id_: (Pair(_constant(picture), caption), category)
        for id_, (picture, caption, category) in drawn.items()
    }


def _emoji(ids: Collection[str]) -> dict[str, tuple[Pair, str]]:
    """Return small pictures and texts, with their categories; none where an id is of no test pair."""
    held = thumbnails()
    if not set(ids) <= set(held):
        return {}
    return {id_: (Pair(_constant(held[id_].picture), held[id_].text), held[id_].category) for id_ in ids}


def _constant(picture: Pixels) -> Callable[[], Pixels]:
    return lambda: picture


_BUILT_IN = {"scenes": _scenes, "emoji": _emoji}
