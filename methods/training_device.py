"""Where a training runs: the processor, its precision and threads, and the features on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmbench.errors import MethodError
from cmbench.methods.input_contract import block_height, check_new_features, row_slices
from cmbench.methods.preprocessing import Scaling

SHARE_FOR_FEATURES = 0.5  # of the free memory of a GPU that features may take


@dataclass(frozen=True)
class Place:
    """A device and the precision of its matrix products."""

    device: torch.device
    mixed: bool

    @classmethod
    def of(cls, device: str, precision: str) -> Place:
        """Choose: ``"auto"`` takes a GPU when there is one, and bfloat16 products on it alone."""
        if device == "cuda" and not torch.cuda.is_available():
            raise MethodError("device is 'cuda', but PyTorch sees no GPU; use 'auto' or 'cpu'")
        gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        mixed = precision == "bfloat16" or (precision == "auto" and gpu)
        return cls(torch.device("cuda" if gpu else "cpu"), mixed)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which matrix products run in the chosen precision.

        bfloat16 has the range of float32, so gradients need no scaling.
        """
        return torch.autocast(self.device.type, torch.bfloat16) if self.mixed else nullcontext()

    def keeps(self, n_bytes: int) -> bool:
        """Return whether features of that size are copied to the device as a whole."""
        if self.device.type == "cpu":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return n_bytes <= SHARE_FOR_FEATURES * free


@contextmanager
def cpu_threads(number: int | None) -> Iterator[int]:
    """Run with that many CPU threads, or as many as PyTorch has; yields how many."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


class TrainingFeatures:
    """Features (n, d) of one view, handed out scaled, as float32 on the device, by row.

    They stay where they are, in memory or memory-mapped, and only the rows asked for are read;
    ``resident`` copies them to the device once.
    """

    def __init__(
        self, features: NDArray[Any], scaling: Scaling, device: torch.device, *, resident: bool
    ) -> None:
        self._device = device
        self._features = features
        self._copy = torch.tensor(features, dtype=torch.float32, device=device) if resident else None
        self._scale = DeviceScaling.of(scaling, device)

    def rows(self, index: NDArray[np.int64]) -> Tensor:
        """Return the scaled rows (len(index), d)."""
        if self._copy is not None:
            chosen = self._copy[torch.from_numpy(index).to(self._device)]
        else:
            chosen = torch.from_numpy(self._features[index].astype(np.float32, copy=False))
        return self._scale(chosen.to(self._device))


@dataclass(frozen=True, eq=False)
class DeviceScaling:
    """A ``Scaling`` in float32 on a device."""

    mean: Tensor
    scale: Tensor
    normalise_rows: bool

    @classmethod
    def of(cls, scaling: Scaling, device: torch.device) -> DeviceScaling:
        mean, scale = (
            torch.tensor(values, dtype=torch.float32, device=device)
            for values in (scaling.mean, scaling.scale)
        )
        return cls(mean, scale, scaling.normalise_rows)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return rows (n, d) scaled."""
        if self.normalise_rows:
            norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
            rows = rows / torch.where(norms == 0, 1.0, norms)
        return (rows - self.mean) / self.scale


def blocks_of(features: NDArray[Any], view: str, scaling: Scaling) -> Iterator[Tensor]:
    """Yield features (n, d) to be mapped, scaled, as float32 blocks on the CPU."""
    check_new_features(features, view, width=len(scaling.mean))
    for rows in row_slices(len(features), block_height(features.shape[1])):
        yield torch.from_numpy(scaling.apply(features[rows]).astype(np.float32))
