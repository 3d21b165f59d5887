"""The folder through which a run and a cell's child process exchange arrays and JSON, never pickles.

``features/`` (shared by the cells of a dataset) holds the training and validation splits, and the
features and parts of the test items, without their labels, ids or order. The cell's own folder holds
``job.json``, and later ``outcome.json``, the representations of the test items in ``images.npy`` and
``texts.npy``, and the curves of the training in ``curves.npz``. While it trains, ``looks.jsonl`` grows by a
line with each look at the validation pairs, which ``cmbench.methods.training.progress`` describes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Parts, file_key, fingerprint, offsets_of, split_arrays
from cmbench.datasets.formats.numpy_files import load_array, save_array, save_blocks, save_split
from cmbench.errors import DatasetError
from cmbench.methods.registry import MethodEntry

JOB, OUTCOME, CURVES, LOOKS = "job.json", "outcome.json", "curves.npz", "looks.jsonl"
DISK_FULL = "disk-full"
"""The status of a child that found no room on a disk; not the method's failure, and no record's status."""
MODALITIES = ("images", "texts")
CHECKPOINT = "checkpoint"
"""The parameter that names the folder an interrupted training is kept in."""
PRETRAINED = "pretrained"
"""The parameter that names a folder for the ends of stages that fits of other settings may take over."""
PARTS = {"images": "image_parts", "texts": "text_parts"}


_CHANGED = (
    "has changed since the dataset was loaded; nothing was computed from it. Leave the files alone while "
    "cmbench runs, and run the same command again"
)


@dataclass(frozen=True)
class Job:
    """What a child process is told: where the features are, which method to run, and with what parameters.

    ``code_version`` is the version of the method's code when the run was planned, and ``import_path`` the
    ``sys.path`` on which its module was found then. ``twice`` asks for a second fit, to be compared.
    """

    features: Path
    entry: MethodEntry
    code_version: str
    parameters: dict[str, Any]
    import_path: list[str]
    twice: bool = False

    def write(self, folder: Path) -> None:
        content = {**asdict(self), "features": str(self.features)}
        (folder / JOB).write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Job:
        content = json.loads((folder / JOB).read_text(encoding="utf-8"))
        entry = MethodEntry(**content.pop("entry"))
        return cls(Path(content.pop("features")), entry, **content)


@dataclass(frozen=True, eq=False)
class HandedOut:
    """The features that the cells of a dataset may see, and how to bring test rows back into order."""

    folder: Path
    order: dict[str, NDArray[np.intp]]
    state: tuple[tuple[Any, ...], ...]

    def is_unchanged(self) -> bool:
        """Return whether nobody has written to the features, not even what was there before."""
        return state_of(self.folder) == self.state

    def in_order(self, modality: str, shuffled: NDArray[Any]) -> NDArray[Any]:
        """Return rows for the items that were handed out, in the order of the test and the retrieval set."""
        result: NDArray[Any] = np.empty_like(shuffled)
        result[self.order[modality]] = shuffled
        return result


def hand_out(dataset: Dataset, folder: Path) -> HandedOut:
    """Write what methods may see of ``dataset``.

    Test rows, and those of a retrieval set among them, are shuffled, images and texts apart: files are often
    sorted by category, and row i of the images being the partner of row i of the texts is not for a method to
    know either. The order follows from the fingerprint, which the child is not told, so that results repeat.
    """
    _check_lengths(dataset)
    save_split(folder, "train", dataset.train)
    save_split(folder, "val", dataset.validation)
    splits = dataset.evaluated
    random = np.random.RandomState(np.frombuffer(sha256(dataset.fingerprint.encode()).digest(), np.uint32))
    order = {modality: random.permutation(sum(map(len, splits))) for modality in MODALITIES}
    for modality in MODALITIES:
        rows = [getattr(split, modality) for split in splits]
        _save_shuffled_rows(rows, order[modality], folder / f"{modality}_test.npy")
        parts = [getattr(split, PARTS[modality]) for split in splits]
        if all(part is not None for part in parts):
            _save_shuffled(Parts.joined(parts), order[modality], folder, PARTS[modality])
    _check_fingerprint(dataset)
    for file in folder.iterdir():
        file.chmod(0o444)  # what keeps nobody from it who wants to, but an honest method from a mistake
    return HandedOut(folder, order, state_of(folder))


def mapped_files(dataset: Dataset) -> dict[Path, int]:
    """Return the files that arrays of a dataset are memory-mapped from, with the bytes they must have."""
    arrays = [array for _, split in dataset.splits for _, array in split_arrays(split)]
    mapped = [array for array in arrays if isinstance(array, np.memmap)]
    return {Path(array.filename): array.offset + array.nbytes for array in mapped if array.filename}


def _check_lengths(dataset: Dataset) -> None:
    """Raise ``DatasetError`` for a file that has become shorter; to read what is missing would be fatal."""
    for file, size in mapped_files(dataset).items():
        if not file.exists() or file.stat().st_size < size:
            raise DatasetError(f"{file} {_CHANGED}")


def _check_fingerprint(dataset: Dataset) -> None:
    """Raise ``DatasetError`` if files are no longer those of the fingerprint, by which results are kept.

    The copy that was just made is then right as well: it was taken between two moments at which the
    files had that content.
    """
    files = mapped_files(dataset)
    if not files:
        return
    _check_lengths(dataset)
    if fingerprint(dataset.splits, dataset.class_names) != dataset.fingerprint:
        latest = max(files, key=lambda file: file.stat().st_mtime_ns)
        raise DatasetError(f"{latest}, or a file beside it, {_CHANGED}")


def state_of(folder: Path) -> tuple[tuple[Any, ...], ...]:
    """Return what changes when anybody writes to a file in ``folder``, or puts back what was there."""
    found = ((file.name, file.stat()) for file in sorted(folder.iterdir()))
    return tuple((name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for name, at in found)


def _save_shuffled_rows(sources: Sequence[NDArray[Any]], order: NDArray[np.intp], path: Path) -> None:
    """Write the rows of all sources, one after the other, in that order."""
    shape, dtype = (len(order), sources[0].shape[1]), sources[0].dtype
    blocks = (_rows(sources, order[start : start + 4096]) for start in range(0, len(order), 4096))
    save_blocks(path, blocks, dtype=dtype, shape=shape)


def _rows(sources: Sequence[NDArray[Any]], chosen: NDArray[np.intp]) -> NDArray[Any]:
    """Return the chosen rows of all sources, as if these were one array."""
    block = np.empty((len(chosen), sources[0].shape[1]), sources[0].dtype)
    first = 0
    for rows in sources:
        own = (chosen >= first) & (chosen < first + len(rows))
        block[own] = rows[chosen[own] - first]
        first += len(rows)
    return block


def _save_shuffled(parts: Parts, order: NDArray[np.intp], folder: Path, key: str) -> None:
    offsets = offsets_of(np.diff(parts.offsets)[order])
    save_array(folder / f"{file_key(f'{key}_offsets', 'test')}.npy", offsets)
    blocks = (parts[int(item)] for item in order)
    values = parts.values
    save_blocks(folder / f"{file_key(key, 'test')}.npy", blocks, dtype=values.dtype, shape=values.shape)


def handed_out_parts(folder: Path, modality: str) -> Parts | None:
    """Return the parts of the test items of a modality from the folder of features, if there are any."""
    names = [file_key(f"{PARTS[modality]}{ending}", "test") for ending in ("", "_offsets")]
    if not (folder / f"{names[0]}.npy").exists():
        return None
    values, offsets = (load_array(folder, name) for name in names)
    return Parts(values, offsets)
