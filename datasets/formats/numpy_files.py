"""Datasets in an ``.npz`` file, or in a folder: a file for each array, and a ``card.json``.

A folder holds ``images_train.npy``, ``labels_train.npy`` and so on, under the keys of ``feature_file``.
Texts (``class_names`` and ids) and labels may instead stand one to a line in a UTF-8 ``.txt`` file, and the
numbers of a pair in a line of ``.txt``, ``.csv`` or ``.tsv``; arrays may stand in ``.mat`` and ``.npz``
files, one or several in each, and each split in a folder of its own, ``train/images.npy``. The name, the
card, ``sizes`` and ``first_label`` stand in ``card.json``, one JSON object, which may be absent.

The ``.npy`` files are opened memory-mapped: float32 features stay on disk until somebody looks at them.
Labels, ids and all that is small are held in memory, and so are features of other types, which are cast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
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
from cmbench.datasets.formats.layouts import KIND_WORDS, SPLIT_WORDS, feature_file, words_of
from cmbench.datasets.formats.matlab import open_mat
from cmbench.disk import DAMAGE, damaged, kind_of, replacing, replacing_folder
from cmbench.errors import DatasetError

CARD = "card.json"
LINES = (".txt", ".csv", ".tsv")
"""Ends of names of files that hold a pair to a line."""

READ = (".npy", ".npz", ".mat", *LINES)
"""Ends of names of files in a folder that are read."""

TEXT_WORDS = {"id", "ids", "name", "names", "notes", "classnames"}
"""Words of keys whose lines are texts, even if they look like numbers."""

NUMBER = r"(?i:[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf(inity)?))"
CARD_KEYS = ("name", *CARD_TEXTS, "sizes", "first_label", "notes")


def read_npz(path: Path, given: Mapping[str, str] | None = None) -> FeatureFile:
    """Read the arrays of an ``.npz`` file; those of Python objects are refused, never unpickled.

    ``given`` has the key in the file of some arrays, by the key they have in a dataset.
    """
    with opened_npz(path) as archive:
        return feature_file(path, archive.files, partial(read_array, archive), given)


def opened_npz(path: Path) -> NpzFile:
    """Open an ``.npz`` file; arrays of Python objects in it are refused when read, never unpickled."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # NumPy would take it for a pickle and advise to trust it
            kind = kind_of(path)
            raise DatasetError(f"{path} is {kind or 'not an .npz archive; write it with numpy.savez'}")
    try:
        archive: NpzFile = np.load(path, allow_pickle=False)
    except DAMAGE as error:
        raise DatasetError(damaged(path, error)) from error
    return archive


def read_array(archive: NpzFile, key: str) -> NDArray[Any]:
    """Return an array of an open ``.npz`` file; raises ``DatasetError`` where it is damaged or of objects."""
    try:
        array = archive[key]
    except DAMAGE as error:
        raise DatasetError(damaged(key, error)) from error
    if not isinstance(array, np.ndarray):
        raise DatasetError(
            f"{key} is a file in the archive that is no array; unpack the archive into a folder, or write it "
            "with numpy.savez"
        )
    return array


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


def read_folder(folder: Path, given: Mapping[str, str] | None = None) -> FeatureFile:
    """Open the arrays in ``folder``; those of ``.npy`` are memory-mapped, and none of them is read yet.

    ``given`` has the key in the folder of some arrays, by the key they have in a dataset.
    """
    card = _read_card(folder / CARD)
    readers: dict[str, Callable[[], NDArray[Any]]] = {
        key: partial(np.array, value) if key in CARD_KEYS else partial(_no_array, key)
        for key, value in card.items()
    }
    problems = []
    for key, name, read in _arrays_in(folder):
        if key in readers:
            problems.append(f"{key} stands in two files, one of them {name}; keep one")
        readers.setdefault(key, read)
    for key, path in _not_read(folder):
        readers.setdefault(key, partial(_no_format, path))
    file = feature_file(folder, list(readers), lambda key: readers[key](), given)
    return replace(file, problems=(*problems, *file.problems))


def _no_array(key: str) -> NDArray[Any]:
    raise DatasetError(f"{key} stands in {CARD}, which holds no arrays; save it as {key}.npy")


def _arrays_in(folder: Path, within: str = "") -> Iterator[tuple[str, str, Callable[[], NDArray[Any]]]]:
    """Yield the key of each array in the files of a folder, the name of the file, and what reads it.

    ``within`` is the name of a folder of one split, which comes before the keys of its files.
    """
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix in READ:
            refuse_special(path)
        if suffix in (".npy", *LINES):
            yield within + path.stem, within + path.name, partial(_open_array, path)
        elif suffix in (".mat", ".npz"):
            names, read = (open_mat if suffix == ".mat" else _open_npz)(path)
            for name in names:
                yield _key_in_folder(within + path.stem, name, names), within + path.name, partial(read, name)
        elif path.is_dir() and not within and _is_split(path.name):
            yield from _arrays_in(path, f"{path.name}_")


def refuse_special(path: Path) -> None:
    """Raise ``DatasetError`` for what is neither a file nor a folder: whoever opens a FIFO waits for ever."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DatasetError(f"{path} is a pipe or a device, which is not waited for; put the arrays in a file")


def _not_read(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield files that are called like an array of a dataset, in a form that is not read, with its key."""
    for path in sorted(folder.iterdir()):
        key, dot, suffix = path.name.partition(".")
        if dot and key in CASTS and f".{suffix.lower()}" not in READ:
            yield key, path


def _no_format(path: Path) -> NDArray[Any]:
    raise DatasetError(f"{path} is in a form that is not read; save it as .npy")


def _is_split(name: str) -> bool:
    """Return whether all words of the name of a folder, of which there is one at least, mean a split."""
    words = words_of(name)
    return bool(words) and set(words) <= set(SPLIT_WORDS)


def _open_npz(path: Path) -> tuple[tuple[str, ...], Callable[[str], NDArray[Any]]]:
    """Return the names of the arrays in an ``.npz`` file, and what reads one of them."""

    def read(name: str) -> NDArray[Any]:
        with opened_npz(path) as archive:
            return read_array(archive, name)

    with opened_npz(path) as archive:
        return tuple(archive.files), read


def _key_in_folder(stem: str, name: str, names: Collection[str]) -> str:
    """Return the key of an array in one of several files of arrays: the file's name says what it lacks."""
    if name in CASTS:
        return name
    return stem if len(names) == 1 else f"{stem}_{name}"


def load_split(folder: Path | str, name: str) -> Split:
    """Return the split called ``name`` (train, val or test) from ``folder``, memory-mapped.

    The rules of a dataset are not checked, so features are not read before they are used; meant for
    what ``save_split`` wrote from a ``Dataset``, whose splits keep the rules.
    """
    return split_of(read_folder(Path(folder)), name)


def load_array(folder: Path | str, key: str) -> NDArray[Any]:
    """Return one array from ``folder`` by its key (``images_test``), memory-mapped and as it stands."""
    return _open_array(Path(folder) / f"{key}.npy")


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
            save_array(Path(folder) / f"{key if key in GROUPS else file_key(key, name)}.npy", array)


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
            save_array(folder / f"{key}.npy", array)
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _open_array(path: Path) -> NDArray[Any]:
    try:
        return (
            _open_lines(path) if path.suffix.lower() in LINES else np.lib.format.open_memmap(path, mode="r")
        )
    except DatasetError:
        raise
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    except DAMAGE as error:
        raise DatasetError(damaged(path, error)) from error


def _open_lines(path: Path) -> NDArray[Any]:
    """Return what stands in the lines of a UTF-8 file: numbers, or a text in each."""
    words = words_of(path.stem)
    if set(words) & TEXT_WORDS:
        return np.array(_lines(path), dtype=np.str_)
    with path.open(encoding="utf-8-sig") as file:
        separator = _separator(file.readline())
    if separator is not None:
        return _numbers(path, separator)
    lines = _lines(path)
    if all(re.fullmatch(NUMBER, line.strip()) for line in lines):
        return _whole(np.array([float(line) for line in lines]))
    kinds = {KIND_WORDS[word] for word in words if word in KIND_WORDS}
    if kinds and kinds <= {"images", "texts"}:
        raise _no_rows(path, lines, next(filter(None, map(_separator, lines)), ","))
    return np.array(lines, dtype=np.str_)


def _lines(path: Path) -> list[str]:
    return [line.rstrip("\r") for line in path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")]


def _separator(line: str) -> str | None:
    """Return what stands between the numbers of a line, a space for any white space; else None.

    >>> _separator("0.5, 1e-3, nan"), _separator("1 2"), _separator("sky;sea"), _separator("12")
    (',', ' ', None, None)
    """
    for separator in (",", ";", " "):
        parts = _parts(line, separator)
        if len(parts) > 1 and all(re.fullmatch(NUMBER, part.strip()) for part in parts):
            return separator
    return None


def _parts(line: str, separator: str) -> list[str]:
    return line.split(None if separator == " " else separator)


def _numbers(path: Path, separator: str) -> NDArray[Any]:
    """Return the matrix of the numbers in the lines of a file."""
    delimiter = None if separator == " " else separator
    try:
        with path.open(encoding="utf-8-sig") as file:
            return _whole(np.loadtxt(file, delimiter=delimiter, comments=None, ndmin=2))
    except UnicodeDecodeError:
        raise
    except ValueError:
        raise _no_rows(path, _lines(path), separator) from None


def _no_rows(path: Path, lines: Sequence[str], separator: str) -> DatasetError:
    """Return the error about a file whose lines are not as many numbers each: the first that is not."""
    first = 0
    for at, line in enumerate(lines, 1):
        parts = [part.strip() for part in _parts(line, separator)]
        odd = [column for column, part in enumerate(parts, 1) if not re.fullmatch(NUMBER, part)]
        first = first or len(parts)
        if not any(parts):
            continue  # an empty line, which is skipped
        if len(odd) == len(parts):
            told = f"line {at} is {_short(line)}, which is no row of numbers"
        elif odd:
            cell = parts[odd[0] - 1]
            told = f"line {at}, column {odd[0]} is {_short(cell) if cell else 'empty'}"
        elif len(parts) != first:
            told = f"line {at} has {len(parts)} numbers, and line 1 has {first}"
        else:
            continue
        return DatasetError(
            f"{path}: {told}; write the numbers of a pair in a line, with points for decimals, commas or "
            "spaces between them, and neither a header nor quotes"
        )
    return DatasetError(f"{path} has lines that are no rows of numbers; save it as .npy")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _whole(numbers: NDArray[np.float64]) -> NDArray[Any]:
    """Return numbers as integers, if all are."""
    is_whole = np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()
    return numbers.astype(np.int64) if is_whole and np.abs(numbers).max(initial=0) < 2.0**53 else numbers


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array, which may be mapped from the very file that it replaces."""
    with replacing(path, durable=False) as beside, beside.open("wb") as file:
        # Not to the file itself, for which NumPy has a way of its own: a full disk has no number there.
        np.lib.format.write_array(SimpleNamespace(write=file.write), array, allow_pickle=False)


def save_blocks(
    path: Path, blocks: Iterable[NDArray[Any]], *, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    """Write an array to ``path`` from blocks of its rows, in their order.

    Not through a memory map, in which a full disk is a signal that ends the process; here it is an error.
    """
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=dtype).data)


def _read_card(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    refuse_special(path)
    try:
        card = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
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
