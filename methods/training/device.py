"""Where a training runs: the processor, its precision and threads, and the features on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmbench.errors import MethodError
from cmbench.methods.training.batches import Index
from cmbench.methods.training.curves import collapse
from cmbench.methods.views.inputs import Matrix, block_height, check_new_features, row_slices
from cmbench.methods.views.scaling import Scaling

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


def training_features(features: NDArray[Any], scaling: Scaling, place: Place) -> TrainingFeatures:
    """Return features (n, d) on their way to the device, which keeps them all if they fit."""
    resident = place.keeps(4 * features.size)
    return TrainingFeatures(features, scaling, place.device, resident=resident)


class TrainingRows:
    """Features (n, d) with their scaling, handed out by row on the device.

    Parameters
    ----------
    features : real (n, d), in memory or memory-mapped
    scaling : learned from training rows; None leaves rows as they are
    place : the device, on which they are kept if they fit
    """

    def __init__(self, features: NDArray[Any], scaling: Scaling | None, place: Place) -> None:
        self.features, self.place = features, place
        self.scaling = scaling or unscaled(features.shape[1])
        self._rows = training_features(features, self.scaling, place)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def width(self) -> int:
        """The number of columns."""
        return int(self.features.shape[1])

    def rows(self, index: Index) -> Tensor:
        """Return those rows (len(index), d), scaled, as float32 on the device."""
        return self._rows.rows(index)

    def sample(self, largest: int) -> Tensor:
        """Return at most ``largest`` rows, evenly spaced."""
        return self.rows(np.arange(0, len(self), -(-len(self) // largest)))


def unscaled(width: int) -> Scaling:
    """Return the scaling that leaves rows of ``width`` values as they are."""
    return Scaling(np.zeros(width), np.ones(width))


@dataclass(frozen=True, eq=False)
class CodeMap:
    """A row becomes what a network makes of it once scaled, standardised if asked for.

    Parameters
    ----------
    network : maps (n, d) to (n, k)
    view : "images" say, for errors
    scaling : of the rows that go in
    standardising : of those that come out, or None
    """

    network: nn.Module
    view: str
    scaling: Scaling
    standardising: Scaling | None = None

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to (n, k)."""
        raw = self.encode(features)
        return raw.astype(np.float64) if self.standardising is None else self.standardising.apply(raw)

    def encode(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the network puts out (n, k) for features (n, d), in evaluation mode, block by block."""
        was_training = self.network.training
        self.network.eval()
        with torch.no_grad():
            blocks = [self.network(rows).cpu().numpy() for rows in self._blocks(features)]
        self.network.train(was_training)
        encoded: NDArray[np.float32] = np.concatenate(blocks)
        return encoded

    def standardised(self, features: NDArray[Any]) -> CodeMap:
        """Return the map that standardises each dimension by its statistics over training ``features``.

        Codes that are the same for all of them raise ``CollapseError``.
        """
        codes, what = self.encode(features), f"codes of {self.view}"
        with collapse(what):
            return replace(self, standardising=Scaling.fit(codes, what))

    def _blocks(self, features: NDArray[Any]) -> Iterator[torch.Tensor]:
        """Yield the scaled rows on the network's device, first none of them, which tells the width."""
        device = next(self.network.parameters()).device
        yield torch.empty((0, len(self.scaling.mean)), device=device)
        for rows in blocks_of(features, self.view, self.scaling):
            yield rows.to(device)
