"""From pictures to features by a backbone, in a folder from which an interrupted extraction goes on."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from cmbench.datasets.features.backbones import Backbone
from cmbench.datasets.features.pictures import in_order, picture_batches
from cmbench.datasets.raw.pictures import Picture
from cmbench.disk import replacing
from cmbench.errors import DatasetError

Origin: TypeAlias = Mapping[str, Any]
Progress: TypeAlias = Callable[[int, int], None]
"""Told how many pictures or epochs are done, and of how many."""

PRECISIONS = ("auto", "float32", "bfloat16")
REMEDY = "give another folder, or delete this one to start anew"
ARRAY, STATE = "features.npy", "features.json"


def extract_image_features(
    pictures: Sequence[Picture],
    backbone: Backbone,
    folder: Path | str,
    *,
    batch_size: int = 32,
    precision: str = "auto",
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return the features, float32 (n, width), of pictures; row i is picture i.

    They are written to ``folder`` batch by batch and returned memory-mapped, read-only. A second call
    goes on where the first was interrupted, by whatever. Neither pictures nor features are held in
    memory, whatever their number. Pictures are told apart by their identities: a file that has changed is
    another picture.

    Parameters
    ----------
    pictures : of any size
    backbone : what makes features of them
    folder : for ``features.npy`` and ``features.json``; one with features of another backbone,
        preprocessing, precision or of other pictures is refused
    batch_size : int, pictures at a time; changes features by rounding alone
    precision : ``"float32"``, ``"bfloat16"`` (products of a GPU; sums are float32), or ``"auto"`` for
        bfloat16 on a GPU and float32 elsewhere
    progress : told after each batch

    Raises ``DatasetError`` where a picture cannot be read or its features are not finite.
    """
    if not len(pictures):
        raise DatasetError("there are no pictures to take features of; give at least one")
    mixed = is_mixed(precision, backbone.device)
    origin = {
        **origin_of_backbone(backbone, mixed=mixed),
        "number of pictures": len(pictures),
        "identity of pictures": hash_of_pictures(pictures),
    }
    with FeatureRows(Path(folder), rows=len(pictures), width=backbone.width, origin=origin) as rows:
        views = in_order(pictures, backbone.preprocessing, batch_size, start=rows.done)
        for images in picture_batches(views, backbone.preprocessing):
            features = backbone.features(images, mixed=mixed)
            _check_finite(features, pictures, rows.done, backbone)
            rows.append(features)
            if progress is not None:
                progress(rows.done, len(pictures))
        return rows.array()


def is_mixed(precision: str, device: torch.device) -> bool:
    """Return whether products are to be made in bfloat16, which only a GPU does."""
    if precision not in PRECISIONS:
        raise DatasetError(f"precision is {precision!r}; use {', '.join(map(repr, PRECISIONS))}")
    if precision == "bfloat16" and device.type != "cuda":
        raise DatasetError(f"precision is 'bfloat16' and the device {device}; use 'auto', or a GPU")
    return precision != "float32" and device.type == "cuda"


def precision_on(device: torch.device, precision: str) -> str:
    """Return what products are made in: ``"float32"`` or ``"bfloat16"``."""
    return "bfloat16" if is_mixed(precision, device) else "float32"


def _check_finite(
    features: NDArray[np.float32], pictures: Sequence[Picture], first: int, backbone: Backbone
) -> None:
    wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(wrong):
        name = pictures[first + int(wrong[0])].name
        raise DatasetError(
            f"{name}: {backbone.name} gives features that are not finite; check its weights, or use "
            "precision 'float32'"
        )


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


def origin_of_backbone(backbone: Backbone, *, mixed: bool) -> dict[str, Any]:
    """Return what the features of any picture depend on; ``mixed`` as in ``Backbone.features``."""
    return {
        "backbone": backbone.name,
        "weights": backbone.weights_hash,
        "preprocessing": {key: _plain(value) for key, value in asdict(backbone.preprocessing).items()},
        "precision": "bfloat16" if mixed else "float32",
    }


def hash_of_pictures(pictures: Sequence[Picture]) -> str:
    """Return the SHA-256 (hexadecimal) over the identities of pictures in their order."""
    identities = sha256()
    for identity in (picture.identity for picture in pictures):
        identities.update(f"{len(identity)}:{identity}".encode("utf-8", "surrogatepass"))
    return identities.hexdigest()


def key_of(value: Any) -> str:
    """Return the SHA-256 (hexadecimal) of what JSON can hold."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def difference(there: Origin, here: Origin) -> str:
    """Return in words what differs between the origin of a file and the one that is wanted."""
    return "; ".join(
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in dict.fromkeys((*here, *there))
        if there.get(name) != here.get(name)
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
