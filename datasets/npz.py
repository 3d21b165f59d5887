"""Datasets in one ``.npz`` file, under the keys of ``cmbench.datasets.keys``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from cmbench.datasets.contract import Draft
from cmbench.datasets.feature_file import FeatureFile, dataset_arrays
from cmbench.datasets.keys import CASTS
from cmbench.disk import DAMAGE, damaged, replacing
from cmbench.errors import DatasetError


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
