"""Rows of features in a folder, from which an interrupted extraction goes on.

The rows are a ``.npy`` file that grows: its header promises all of them, so that it cannot be opened as
an array before it is complete, and can be memory-mapped afterwards. Rows are written, not mapped,
because a full disk is an error then, and because mapped rows would stay in memory. A JSON file says how
many rows are done and what they are features of; it is replaced once rows have reached the disk, so
after a kill it never promises too much, and rows it does not know of are cut off.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.features.image_origin import Origin, difference, key_of
from cmbench.disk import replacing
from cmbench.errors import DatasetError

ARRAY, STATE = "features.npy", "features.json"
REMEDY = "give another folder, or delete this one to start anew"


class FeatureRows:
    """The rows of one extraction in one folder, to be used in a ``with`` statement.

    Parameters
    ----------
    folder : where they are or shall be; made if need be
    rows, width : int, of the whole array
    origin : what the features depend on; a folder with rows of another origin is refused
    """

    def __init__(self, folder: Path, *, rows: int, width: int, origin: Origin) -> None:
        self._array, self._state = folder / ARRAY, folder / STATE
        self._shape, self._origin = (rows, width), dict(origin)
        self._file: BinaryIO | None = None
        self.done = 0

    def __enter__(self) -> FeatureRows:
        self._array.parent.mkdir(parents=True, exist_ok=True)
        self.done = self._rows_done()
        if self.done == 0:
            self._write_state()
            self._array.write_bytes(self._header())
        self._file = self._array.open("r+b")
        self._file.truncate(self._size(self.done))
        self._file.seek(0, os.SEEK_END)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, features: NDArray[np.float32]) -> None:
        """Add rows (n, width); they are on the disk when this returns."""
        assert self._file is not None, "rows are added within the with statement"
        self._file.write(np.ascontiguousarray(features, dtype="<f4").tobytes())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done += len(features)
        self._write_state()

    def array(self) -> NDArray[np.float32]:
        """Return all rows, memory-mapped and read-only, once they are complete."""
        rows: NDArray[np.float32] = np.load(self._array, mmap_mode="r")
        return rows

    def _rows_done(self) -> int:
        """Return how many rows are there; raise where they are of another origin."""
        if not self._state.exists():
            if self._array.exists():
                raise DatasetError(f"{self._array} is there without {STATE}: not ours to overwrite; {REMEDY}")
            return 0
        state = self._read_state()
        if state["key"] != self._key():
            raise DatasetError(
                f"{self._array.parent} has features of another origin: "
                f"{difference(state['origin'], self._origin)}; {REMEDY}"
            )
        if not state["done"]:
            return 0
        if not self._array.is_file() or self._array.stat().st_size < self._size(state["done"]):
            raise DatasetError(
                f"{self._array} has fewer than the {state['done']} rows it had: it was changed; {REMEDY}"
            )
        return int(state["done"])

    def _read_state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._state.read_text(encoding="utf-8"))
            complete = isinstance(state["origin"], dict) and 0 <= state["done"] <= self._shape[0]
            if complete or state["key"] != self._key():
                return state
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DatasetError(
                f"{self._state} cannot be read ({type(error).__name__}: {error}); {REMEDY}"
            ) from error
        raise DatasetError(f"{self._state} says that {state['done']} rows are done; {REMEDY}")

    def _key(self) -> str:
        return key_of([self._origin, self._shape])

    def _write_state(self) -> None:
        state = {"key": self._key(), "done": self.done, "shape": self._shape, "origin": self._origin}
        with replacing(self._state) as beside:
            beside.write_text(json.dumps(state, indent=1), encoding="utf-8")

    def _header(self) -> bytes:
        buffer = io.BytesIO()
        description = {"descr": "<f4", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(buffer, description)
        return buffer.getvalue()

    def _size(self, rows: int) -> int:
        return len(self._header()) + rows * self._shape[1] * np.dtype("<f4").itemsize
