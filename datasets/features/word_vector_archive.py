"""Word vectors in an ``.npz`` file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.features.word_vector_rows import finite_values
from cmbench.datasets.formats.numpy_files import opened_npz
from cmbench.disk import DAMAGE, damaged
from cmbench.errors import DatasetError


def archive_rows(path: Path, wanted: frozenset[str] | None) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each wanted word (all if None) and its values (d,) from the arrays ``words`` and ``vectors``.

    Arrays of Python objects are refused, never unpickled.
    """
    words, vectors = _arrays(path)
    if words.dtype.kind != "U" or words.ndim != 1:
        raise DatasetError(
            f"{path}: words is {words.dtype} of shape {words.shape}; save numpy.array(words, dtype=str)"
        )
    if vectors.dtype.kind != "f" or vectors.ndim != 2 or len(vectors) != len(words) or not vectors.size:
        raise DatasetError(
            f"{path}: vectors is {vectors.dtype} of shape {vectors.shape} for {len(words)} words; "
            f"save float32 of shape ({len(words)}, d)"
        )
    for row, word in enumerate(words.tolist()):
        if wanted is None or word in wanted:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
                values = vectors[row].astype(np.float32)
            yield word, finite_values(values, word, f"{path}: row {row} of vectors")


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with opened_npz(path) as archive:
        missing = [key for key in ("words", "vectors") if key not in archive.files]
        if missing:
            raise DatasetError(
                f"{path} has no array {missing[0]!r}; save words and vectors by numpy.savez(path, words=..., "
                "vectors=...)"
            )
        return _array(archive, "words", path), _array(archive, "vectors", path)


def _array(archive: Any, key: str, path: Path) -> NDArray[Any]:
    try:
        values: NDArray[Any] = archive[key]
    except DAMAGE as error:
        raise DatasetError(f"{path}: {damaged(key, error)}") from error
    return values
