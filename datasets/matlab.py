"""Datasets in a MATLAB ``.mat`` file of any version, under the keys of ``cmbench.datasets.keys``.

Arrays have the shape that MATLAB shows: ``images_train`` is n x d with a row for each pair, in whatever
order the version stores it. Texts (``class_names``, ids) are a cell array of char vectors, or a char matrix
with a row for each text. MATLAB's objects (``string``, ``categorical``, ``table``) are stored in an
undocumented way and refused, with the conversion to make. Sparse matrices become dense. Where labels
count from 1, add ``first_label = 1``.

Versions before 7.3 are read by SciPy, whose reader trusts them: an incomplete file is refused, but bytes
changed inside an uncompressed one can crash Python, so open only files from people you trust.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.feature_file import FeatureFile
from cmbench.datasets.keys import CASTS
from cmbench.datasets.matlab_hdf5 import read_mat_hdf5
from cmbench.datasets.matlab_values import char_rows, refused
from cmbench.disk import DAMAGE, damaged
from cmbench.errors import DatasetError

_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_mat(path: Path) -> FeatureFile:
    """Read the known keys of a ``.mat`` file, of version 7.3 (which is HDF5) or before."""
    with path.open("rb") as file:
        head = file.read(520)
    if head.startswith((b"MATLAB 7.3", _HDF5)) or head[512:] == _HDF5:
        return read_mat_hdf5(path)
    return _read_mat(path)


def _read_mat(path: Path) -> FeatureFile:
    from scipy.io.matlab import MatReadError, loadmat

    unreadable: tuple[type[Exception], ...] = (*DAMAGE, MatReadError)
    try:
        variables = loadmat(path, variable_names=list(CASTS))
        names, objects = _contents(path)
    except unreadable as error:
        raise DatasetError(damaged(path, error)) from error
    arrays: dict[str, NDArray[Any]] = {}
    problems = [str(refused(key, matlab_class)) for key, matlab_class in objects.items() if key in CASTS]
    for key in (key for key in variables if key in CASTS):
        try:
            arrays[key] = _plain_array(key, variables[key])
        except DatasetError as error:
            problems.append(str(error))
    return FeatureFile(path, (*names, *objects), arrays, tuple(problems))


def _contents(path: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the names of the variables, and the classes of those that are MATLAB objects by name."""
    from scipy.io.matlab import loadmat, varmats_from_mat, whosmat

    try:
        return tuple(name for name, _, _ in whosmat(path) if name != "__function_workspace__"), {}
    except TypeError:  # whosmat stumbles over objects, which have no shape
        names, objects = [], {}
    with path.open("rb") as file:
        variables: list[tuple[str, Any]] = varmats_from_mat(file)
        for name, stream in variables:
            if name == "None":  # SciPy's word for the name of an object, which stands inside it
                (fields,) = loadmat(stream)["None"]
                objects[fields["s0"].decode()] = fields["s2"].decode()
            else:
                names.append(name)
    return tuple(name for name in names if name), objects


def _plain_array(key: str, value: Any) -> NDArray[Any]:
    from scipy.io.matlab import MatlabFunction
    from scipy.sparse import issparse

    if isinstance(value, MatlabFunction):
        raise refused(key, "function")
    if isinstance(value, str):  # SciPy's report on a variable that it could not read
        raise DatasetError(damaged(key, ValueError(value)))
    sparse: bool = issparse(value)
    array: NDArray[Any] = value.toarray() if sparse else value
    if array.dtype.names is not None:
        raise refused(key, "struct")
    if array.dtype.kind == "O":
        texts = [_cell_text(key, cell) for cell in array.ravel()]
        return np.array(texts, dtype=np.str_).reshape(array.shape)
    return char_rows(array.ravel().tolist()) if array.dtype.kind == "U" else array


def _cell_text(key: str, cell: Any) -> str:
    if not isinstance(cell, np.ndarray) or cell.dtype.kind != "U" or cell.size > 1:
        raise refused(key, "cell")
    return str(cell.item()) if cell.size else ""
