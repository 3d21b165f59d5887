"""MATLAB files of version 7.3: HDF5, with dimensions in reverse and classes in attributes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.feature_file import FeatureFile
from cmbench.datasets.keys import CASTS
from cmbench.datasets.matlab_values import char_rows, refused
from cmbench.disk import DAMAGE, damaged
from cmbench.errors import DatasetError

if TYPE_CHECKING:
    import h5py

_NUMBERS = {
    "double": "float64",
    "single": "float32",
    "logical": "bool",
    **{name: name for size in (8, 16, 32, 64) for name in (f"int{size}", f"uint{size}")},
}
"""NumPy's types by MATLAB's classes."""


def read_mat_hdf5(path: Path) -> FeatureFile:
    """Read the known keys of a ``.mat`` file of version 7.3."""
    import h5py

    arrays: dict[str, NDArray[Any]] = {}
    problems = []
    try:
        with h5py.File(path, "r") as file:
            found = tuple(key for key in file if not key.startswith("#"))
            for key in (key for key in found if key in CASTS):
                try:
                    arrays[key] = _plain_array(key, file[key])
                except DatasetError as error:
                    problems.append(str(error))
    except DAMAGE as error:
        raise DatasetError(damaged(path, error)) from error
    return FeatureFile(path, found, arrays, tuple(problems))


def _plain_array(key: str, node: Any) -> NDArray[Any]:
    import h5py

    matlab_class = _class(node)
    if not matlab_class:
        raise DatasetError(
            f"{key} was not saved by MATLAB (no MATLAB_class), so its dimensions may be in either order; "
            "save it as .npz or .npy"
        )
    if "MATLAB_sparse" in node.attrs:
        return _dense(node)
    if isinstance(node, h5py.Group) or "MATLAB_object_decode" in node.attrs:
        raise refused(key, matlab_class)
    if matlab_class == "cell":
        return _cell_texts(key, node)
    if matlab_class == "char":
        return char_rows(_rows(node))
    if matlab_class not in _NUMBERS:
        raise refused(key, matlab_class)
    if node.dtype.names is not None:
        raise refused(key, "complex array")
    return _value(node).astype(_NUMBERS[matlab_class], copy=False)


def _class(node: Any) -> str:
    return bytes(node.attrs.get("MATLAB_class", b"")).decode()


def _value(node: h5py.Dataset) -> NDArray[Any]:
    """Return the array in the shape that MATLAB shows; an empty one stores its shape instead."""
    stored: NDArray[Any] = node[()]
    return np.empty(tuple(stored.astype(int))) if node.attrs.get("MATLAB_empty") else stored.T


def _rows(node: h5py.Dataset) -> list[str]:
    codes = _value(node)
    return [row.astype("<u2").tobytes().decode("utf-16-le", "surrogatepass") for row in codes]


def _cell_texts(key: str, node: h5py.Dataset) -> NDArray[np.str_]:
    references = _value(node)
    cells = [node.file[reference] for reference in references.ravel()]
    if not all(_class(cell) == "char" and len(_rows(cell)) < 2 for cell in cells):
        raise refused(key, "cell")
    texts = ["".join(_rows(cell)) for cell in cells]
    return np.array(texts, dtype=np.str_).reshape(references.shape)


def _dense(node: h5py.Group) -> NDArray[Any]:
    columns = node["jc"][()].astype(np.int64)
    dense = np.zeros((int(node.attrs["MATLAB_sparse"]), len(columns) - 1))
    if "data" in node:  # absent where every value is zero
        dense[node["ir"][()].astype(np.int64), np.repeat(np.arange(dense.shape[1]), np.diff(columns))] = node[
            "data"
        ][()]
    return dense
