"""Reads a ``.mat`` file of a version before 7.3 by SciPy, in a process that may crash.

Started as ``python -m cmbench.datasets.formats.older_matlab FILE`` by ``cmbench.datasets.formats.matlab``. It
writes a line of JSON with the names of the variables, where ``data.train`` is a field of the struct ``data``;
for each name that it is then asked for, as a line of JSON, it writes another line, and after it the array as
in a ``.npy`` file. ``{"error": "..."}`` stands in the place of what cannot be read.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io.matlab import (
    MatlabFunction,
    MatlabOpaque,
    MatReadError,
    loadmat,
    varmats_from_mat,
    whosmat,
)
from scipy.sparse import issparse

from cmbench.datasets.formats.matlab import char_rows, refused
from cmbench.disk import DAMAGE, damaged
from cmbench.errors import DatasetError

UNREADABLE: tuple[type[Exception], ...] = (*DAMAGE, MatReadError)


def main(path: Path) -> None:
    """Answer what is asked about the file until there are no more questions."""
    warnings.simplefilter("ignore")  # nobody reads what stands on standard error
    try:
        names, objects = contents(path)
    except UNREADABLE as error:
        _tell({"error": damaged(path, error)})
        return
    _tell({"names": [*names, *objects]})
    for question in sys.stdin:
        try:
            array = array_of(path, objects, json.loads(question))
        except DatasetError as error:
            _tell({"error": str(error)})
        else:
            _tell({})
            # By way of ``write``: NumPy would look for its place in a pipe.
            np.lib.format.write_array(
                SimpleNamespace(write=sys.stdout.buffer.write), array, allow_pickle=False
            )
            sys.stdout.buffer.flush()


def contents(path: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the names of the variables, and the classes of those that are MATLAB objects by name."""
    objects: dict[str, str] = {}
    try:
        found = whosmat(path)
    except TypeError:  # whosmat stumbles over objects, which have no shape
        found, objects = _contents_with_objects(path)
    names = [
        [*_leaves(path, name)] if kind == "struct" else [name]
        for name, _, kind in found
        if name != "__function_workspace__"
    ]
    return tuple(name for of_variable in names for name in of_variable), objects


def _contents_with_objects(path: Path) -> tuple[list[Any], dict[str, str]]:
    found: list[Any] = []
    objects: dict[str, str] = {}
    with path.open("rb") as file:
        variables: list[tuple[str, Any]] = varmats_from_mat(file)
        for name, stream in variables:
            if name == "None":  # SciPy's word for the name of an object, which stands inside it
                (fields,) = loadmat(stream)["None"]
                objects[fields["s0"].decode()] = fields["s2"].decode()
            elif name:
                found += whosmat(stream)
    return found, objects


def _leaves(path: Path, name: str) -> Iterator[str]:
    """Yield the names of all fields of a struct; its own, if it cannot be read or is an array of structs."""
    try:
        yield from _names_inside(name, _struct(path, name))
    except UNREADABLE:  # which is said if somebody asks for it
        yield name


def _names_inside(name: str, value: Any) -> Iterator[str]:
    if not _is_struct(value):
        yield name
        return
    for field in value.dtype.names:
        yield from _names_inside(f"{name}.{field}", value[field].item())


def _is_struct(value: Any) -> bool:
    """Return whether a value is one struct, whose fields can be read, and neither an array nor an object."""
    return (
        isinstance(value, np.ndarray)
        and not isinstance(value, (MatlabOpaque, MatlabFunction))
        and bool(value.dtype.names)
        and value.size == 1
    )


@lru_cache(maxsize=1)
def _struct(path: Path, name: str) -> Any:
    """Return a struct as SciPy reads it; the last one is kept, whose fields are asked for one by one."""
    return loadmat(path, variable_names=[name])[name]


def array_of(path: Path, objects: Mapping[str, str], key: str) -> NDArray[Any]:
    """Return a variable; ``objects`` has the classes of MATLAB objects by name. Raises ``DatasetError``."""
    if key in objects:
        raise refused(key, objects[key])
    try:
        name, *fields = key.split(".")
        value = _struct(path, name) if fields else loadmat(path, variable_names=[name])[name]
        for field in fields:
            value = value[field].item()
        return _plain_array(key, value)
    except DatasetError:
        raise
    except UNREADABLE as error:
        raise DatasetError(damaged(path, error)) from error


def _plain_array(key: str, value: Any) -> NDArray[Any]:
    if isinstance(value, MatlabFunction):
        raise refused(key, "function")
    if isinstance(value, MatlabOpaque):
        raise refused(key, "object")
    if isinstance(value, str):  # SciPy's report on a variable that it could not read
        raise DatasetError(damaged(key, ValueError(value)))
    sparse: bool = issparse(value)
    array: NDArray[Any] = value.toarray() if sparse else value
    if array.dtype.names is not None:
        raise refused(key, "struct array")
    if array.dtype.kind == "O":
        texts = [_cell_text(key, cell) for cell in array.ravel()]
        return np.array(texts, dtype=np.str_).reshape(array.shape)
    return char_rows(array.ravel().tolist()) if array.dtype.kind == "U" else array


def _cell_text(key: str, cell: Any) -> str:
    if not isinstance(cell, np.ndarray) or cell.dtype.kind != "U" or cell.size > 1:
        raise refused(key, "cell")
    return str(cell.item()) if cell.size else ""


def _tell(answer: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(f"{json.dumps(answer)}\n".encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
