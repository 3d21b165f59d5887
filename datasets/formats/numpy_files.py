"""Datasets in a folder: an ``.npy`` file for each array, opened memory-mapped, and a ``card.json``.

``images_train.npy``, ``labels_train.npy`` and so on, under the keys of ``feature_file``. Texts
(``class_names`` and ids) may instead stand one to a line in a UTF-8 ``.txt`` file. The name, the card,
``sizes`` and ``first_label`` stand in ``card.json``, one JSON object, which may be absent.

Float32 features stay on disk until somebody looks at them. Labels, ids and all that is small are held in
memory, and so are features of other types, which are cast.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from cmbench.datasets.draft import Draft, Split, file_key, split_arrays
from cmbench.datasets.formats.feature_file import (
    CARD_TEXTS,
    CASTS,
    GROUPS,
    SPLIT_NAMES,
    FeatureFile,
    dataset_arrays,
    split_of,
)
from cmbench.disk import DAMAGE, damaged, replacing, replacing_folder
from cmbench.errors import DatasetError

CARD = "card.json"
CARD_KEYS = ("name", *CARD_TEXTS, "sizes", "first_label")


def read_npz(path: Path) -> FeatureFile:
    """Read the known keys of an ``.npz`` file; object arrays are refused, never unpickled."""
    arrays: dict[str, NDArray[Any]] = {}
    problems = []
    with opened_npz(path) as archive:
        for key in (key for key in archive.files if key in CASTS):
            try:
                arrays[key] = archive[key]
            except DAMAGE as error:
                problems.append(damaged(key, error))
        return FeatureFile(path, tuple(archive.files), arrays, tuple(problems))


def opened_npz(path: Path) -> NpzFile:
    """Open an ``.npz`` file; arrays of Python objects in it are refused when read, never unpickled."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # NumPy would take it for a pickle and advise to trust it
            raise DatasetError(f"{path} is not an .npz archive; write it with numpy.savez")
    try:
        archive: NpzFile = np.load(path, allow_pickle=False)
    except DAMAGE as error:
        raise DatasetError(damaged(path, error)) from error
    return archive


def save_npz(path: Path | str, dataset: Draft) -> None:
    """Write ``dataset`` to ``path``, which ends in ``.npz``; memory-mapped arrays pass through in pieces.

    The file is written beside its place and moved there, so that ``path`` never holds half a dataset.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise DatasetError(f"{path} does not end in .npz; name it {path.name}.npz")
    arrays: dict[str, Any] = dict(dataset_arrays(dataset))
    with replacing(path) as beside:
        np.savez(beside, **arrays)


def read_folder(folder: Path) -> FeatureFile:
    """Open the known arrays in ``folder`` memory-mapped; none of them is read yet."""
    card = _read_card(folder / CARD)
    files = sorted(path for path in folder.iterdir() if path.suffix in (".npy", ".txt"))
    arrays = {key: np.array(value) for key, value in card.items() if key in CARD_KEYS}
    problems = []
    for path in (path for path in files if path.stem in CASTS):
        if path.stem in arrays:
            problems.append(f"{path.stem} stands in two files, one of them {path.name}; keep one")
            continue
        try:
            arrays[path.stem] = _open_array(path)
        except DAMAGE as error:
            problems.append(damaged(path.name, error))
    keys = dict.fromkeys((*card, *(path.stem for path in files)))
    return FeatureFile(folder, tuple(keys), arrays, tuple(problems))


def load_split(folder: Path | str, name: str) -> Split:
    """Return the split called ``name`` (train, val or test) from ``folder``, memory-mapped.

    The rules of a dataset are not checked, so features are not read before they are used; meant for
    what ``save_split`` wrote from a ``Dataset``, whose splits keep the rules.
    """
    return split_of(read_folder(Path(folder)), name)


def load_array(folder: Path | str, key: str) -> NDArray[Any]:
    """Return one array from ``folder`` by its key (``images_test``), memory-mapped and as it stands."""
    path = Path(folder) / f"{key}.npy"
    try:
        return _open_array(path)
    except DAMAGE as error:
        raise DatasetError(damaged(path, error)) from error


def save_split(folder: Path | str, name: str, split: Split, *, keys: Collection[str] | None = None) -> None:
    """Write the arrays of ``split`` to ``folder`` under the split name ``name`` (train, val or test).

    ``keys`` picks some of ``images``, ``texts``, ``labels``, ``ids``, ``image_parts``, ``text_parts``,
    ``image_groups`` and ``text_groups``; parts bring their offsets. Memory-mapped arrays pass through in
    pieces. A file of the same name is replaced; whoever has it mapped keeps the old one.
    """
    if name not in SPLIT_NAMES:
        raise DatasetError(f"unknown split {name!r}; the splits are {', '.join(SPLIT_NAMES)}")
    arrays = dict(split_arrays(split))
    held = [key for key in arrays if not key.endswith("_offsets")]
    unknown = sorted(set(keys or ()) - set(held))
    if unknown:
        raise DatasetError(f"the split has no {', '.join(unknown)}; it has {', '.join(held)}")
    for key, array in arrays.items():
        if keys is None or key.removesuffix("_offsets") in keys:
            _save_array(Path(folder) / f"{key if key in GROUPS else file_key(key, name)}.npy", array)


def save_folder(folder: Path | str, dataset: Draft) -> None:
    """Write ``dataset`` to ``folder``, which is new or empty; memory-mapped arrays pass through in pieces.

    The files are written into a folder beside it that then gets its name, so that ``folder`` never holds
    half a dataset. What an interruption left there is removed by the next call.
    """
    folder = Path(folder).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise DatasetError(
            f"{folder} is not empty; choose a new folder, so that old and new arrays never mix"
        )
    with replacing_folder(folder) as beside:
        _fill(beside, dataset)


def _fill(folder: Path, dataset: Draft) -> None:
    card = {}
    for key, array in dataset_arrays(dataset):
        if key in CARD_KEYS:
            card[key] = array.tolist()
        else:
            _save_array(folder / f"{key}.npy", array)
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _open_array(path: Path) -> NDArray[Any]:
    if path.suffix == ".txt":
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
        return np.array(lines, dtype=np.str_)
    return np.lib.format.open_memmap(path, mode="r")


def _save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array, which may be mapped from the very file that it replaces."""
    with replacing(path, durable=False) as beside:
        np.save(beside, array, allow_pickle=False)


def _read_card(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON in UTF-8 ({error}); correct or remove it") from error
    if not isinstance(card, dict):
        raise DatasetError(f"{path} holds a {type(card).__name__}; it must hold one JSON object")
    for key, value in card.items():
        values = value if isinstance(value, list) else [value]
        if key in CARD_KEYS and not all(isinstance(item, str | int) for item in values):
            raise DatasetError(
                f"{path}: {key} is {value!r}; it must be a text, a number or a list of numbers"
            )
    return card
