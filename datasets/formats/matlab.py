"""Datasets in a MATLAB ``.mat`` file of any version, under the keys of ``feature_file``.

Arrays have the shape that MATLAB shows: ``images_train`` is n x d with a row for each pair, in whatever
order the version stores it. Texts (``class_names``, ids) are a cell array of char vectors, or a char matrix
with a row for each text. The fields of a struct have names such as ``data.train.images``. MATLAB's objects
(``string``, ``categorical``, ``table``) are stored in an undocumented way and refused, with the conversion to
make. Sparse matrices become dense. Where labels count from 1, add ``first_label = 1``.

Versions before 7.3 are read by SciPy, whose reader trusts them: bytes changed inside an uncompressed file can
crash Python. It therefore runs in a process of its own (``older_matlab``), which hands the arrays over; what
crashes that is refused. This protects from damage, not from malice: open only files from people you trust.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.formats.feature_file import FeatureFile
from cmbench.datasets.formats.layouts import feature_file
from cmbench.disk import DAMAGE, damaged, kind_of
from cmbench.errors import DatasetError

if TYPE_CHECKING:
    import h5py

_REMEDIES = {
    "cell": "every cell must hold one char vector",
    "complex array": "save its real part or its absolute values",
    "string": "convert it with cellstr(...)",
    "categorical": "convert names with cellstr(categories(...)) and labels with double(...)",
    "struct array": "save its fields as variables of their own",
    "table": "save its columns as variables of their own",
}
_NUMBERS = {
    "double": "float64",
    "single": "float32",
    "logical": "bool",
    **{name: name for size in (8, 16, 32, 64) for name in (f"int{size}", f"uint{size}")},
}
"""NumPy's types by MATLAB's classes."""

_READER = ("-P", "-m", "cmbench.datasets.formats.older_matlab")
_HDF5 = b"\x89HDF\r\n\x1a\n"


Read = Callable[[str], NDArray[Any]]


def read_mat(path: Path, given: Mapping[str, str] | None = None) -> FeatureFile:
    """Read the arrays of a ``.mat`` file of any version.

    ``given`` has the variable of some arrays, by the key they have in a dataset.
    """
    names, read = open_mat(path)
    return feature_file(path, names, read, given)


def open_mat(path: Path) -> tuple[tuple[str, ...], Read]:
    """Return the names of the variables in a ``.mat`` file, and what reads one of them."""
    with path.open("rb") as file:
        head = file.read(520)
    if head.startswith((b"MATLAB 7.3", _HDF5)) or head[512:] == _HDF5:
        return _hdf5_names(path), partial(_hdf5_array, path)
    kind = "" if head.startswith(b"MATLAB") else kind_of(path)
    if kind:
        raise DatasetError(f"{path} is {kind}")
    reader = _OlderFile(path)
    return reader.names, reader.array


class _OlderFile:
    """A file of a version before 7.3, and the process that reads it; it ends with this object.

    Raises ``DatasetError`` for a file that cannot be read, or crashes that process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = subprocess.Popen(
            [sys.executable, *_READER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        weakref.finalize(self, _end, self._process)
        self.names: tuple[str, ...] = tuple(self._answer()["names"])

    def array(self, key: str) -> NDArray[Any]:
        """Return a variable of the file."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # whose reason the answer tells
            self._process.stdin.write(f"{json.dumps(key)}\n".encode())
            self._process.stdin.flush()
        self._answer()
        try:  # not from the pipe itself, in which NumPy would look for its place
            return np.lib.format.read_array(SimpleNamespace(read=self._process.stdout.read))
        except (ValueError, EOFError):
            raise self._crash() from None

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._crash()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DatasetError(answer["error"])
        return answer

    def _crash(self) -> DatasetError:
        number = -self._process.wait()
        name = (signal.strsignal(number) if number > 0 else None) or f"status {-number}"
        return DatasetError(damaged(self._path, ValueError(f"it crashes SciPy's reader: {name}")))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a reader that nobody asks any more."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
    process.kill()
    process.wait()


def _hdf5_names(path: Path) -> tuple[str, ...]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return tuple(_hdf5_leaves(file))
    except DAMAGE as error:
        raise DatasetError(damaged(path, error)) from error


def _hdf5_leaves(group: h5py.Group, before: str = "") -> Iterator[str]:
    """Yield the names of all variables, and of the fields of structs that are no arrays."""
    for name, node in group.items():
        if node is None:  # a link to what is not there
            continue
        if _class(node) == "struct" and not _is_struct_array(node):
            yield from _hdf5_leaves(node, f"{before}{name}.")
        elif not name.startswith("#"):
            yield before + name


def _is_struct_array(node: h5py.Group | h5py.Dataset) -> bool:
    """Return whether the fields refer to a value for each struct; an empty struct is no group at all."""
    import h5py

    return not isinstance(node, h5py.Group) or any(
        isinstance(field, h5py.Dataset) and not _class(field) and field.dtype.kind == "O"
        for field in node.values()
    )


def _hdf5_array(path: Path, key: str) -> NDArray[Any]:
    """Return a variable of a file of version 7.3, which is HDF5."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _plain_hdf5_array(key, file[key if key in file else key.replace(".", "/")])
    except DatasetError:
        raise
    except DAMAGE as error:
        raise DatasetError(f"{path}: {damaged(key, error)}") from error


def _plain_hdf5_array(key: str, node: Any) -> NDArray[Any]:
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
        raise refused(key, "struct array" if matlab_class == "struct" else matlab_class)
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
    stored = node.attrs.get("MATLAB_class", b"")
    return stored if isinstance(stored, str) else bytes(stored).decode()


def _value(node: h5py.Dataset) -> NDArray[Any]:
    """Return the array in the shape that MATLAB shows; an empty one stores its shape instead."""
    stored: NDArray[Any] = node[()]
    return np.empty(tuple(stored.astype(int))) if node.attrs.get("MATLAB_empty") else stored.T


def _rows(node: h5py.Dataset) -> list[str]:
    codes = _value(node)
    return [row.astype("<u2").tobytes().decode("utf-16-le", "surrogatepass") for row in codes]


def _cell_texts(key: str, node: h5py.Dataset) -> NDArray[np.str_]:
    references = _value(node)
    if not all(references.ravel()):
        raise DatasetError(f"{key} has cells that refer to nothing; the file is damaged, save it again")
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


def char_rows(rows: Sequence[str]) -> NDArray[np.str_]:
    """Return the rows of a char matrix without the blanks that pad them to equal length.

    >>> char_rows(["cat  ", "horse"])
    array(['cat', 'horse'], dtype='<U5')
    """
    return np.array([row.rstrip(" ") for row in rows], dtype=np.str_)


def refused(key: str, matlab_class: str) -> DatasetError:
    """Return the error for a variable of a MATLAB class that cannot be read, with the remedy."""
    remedy = _REMEDIES.get(
        matlab_class, "save it as a numeric array, a char matrix or a cell array of char vectors"
    )
    return DatasetError(f"{key} is a MATLAB {matlab_class}, which cannot be read; {remedy}")
