"""The device on which networks are trained: its choice, features on it, and maps by trained networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from cmbench.methods.training.batches import Index
from cmbench.methods.training.curves import collapse
from cmbench.methods.views.inputs import check_new_features, row_blocks
from cmbench.methods.views.maps import Chain
from cmbench.methods.views.scaling import Scaling

SHARE_FOR_FEATURES = 0.5  # how much of the free memory of a GPU features may take


def is_mixed(precision: str, device: torch.device) -> bool:
    """Return whether matrix products run in bfloat16: if it is asked for, or with ``"auto"`` on a GPU."""
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")


def fits(n_bytes: int, device: torch.device) -> bool:
    """Return whether features of that size are to be copied to a GPU as a whole; never on a CPU."""
    if device.type == "cpu":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= SHARE_FOR_FEATURES * free


@contextmanager
def cpu_threads(number: int | None) -> Iterator[int]:
    """Let PyTorch use that many CPU threads within the block, None for its own number; yield how many."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


@contextmanager
def denormals_as_zeros() -> Iterator[None]:
    """Let numbers below 1.2e-38, too small for all digits of a float32, count as 0 on a CPU within the block.

    Weights that decay and have no gradient become so small, and products with them would take a hundred times
    as long. A thread has this from the one that starts it, and keeps it: threads that PyTorch had started
    before the block go on as they are, and those it starts within it do so for good.
    """
    before = torch.tensor(2.0**-130, dtype=torch.float32).mul(1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


class DeviceRows:
    """Features (n, d) of one view, handed out by row: scaled, in float32, and on the device.

    They stay where they are, in memory or memory-mapped, and only the rows asked for are read, unless
    the device has room for a copy of all.

    Parameters
    ----------
    features : real (n, d), in memory or memory-mapped
    scaling : learned from training rows; None leaves rows as they are
    device : where rows are wanted
    copied : whether all features are copied there at once; by default if they fit
    """

    def __init__(
        self,
        features: NDArray[Any],
        scaling: Scaling | None,
        device: torch.device,
        *,
        copied: bool | None = None,
    ) -> None:
        self.features, self.device = features, device
        self.scaling = scaling or unscaled(features.shape[1])
        if copied is None:
            copied = fits(4 * features.size, device)
        self._copy = torch.tensor(features, dtype=torch.float32, device=device) if copied else None
        self._mean, self._scale = (
            torch.tensor(values, dtype=torch.float32, device=device)
            for values in (self.scaling.mean, self.scaling.scale)
        )

    def __len__(self) -> int:
        return len(self.features)

    @property
    def width(self) -> int:
        """The number of columns."""
        return int(self.features.shape[1])

    def rows(self, index: Index) -> Tensor:
        """Return those rows (len(index), d)."""
        if self._copy is not None:
            rows = self._copy[torch.from_numpy(index).to(self.device)]
        else:
            rows = torch.from_numpy(self.features[index].astype(np.float32, copy=False)).to(self.device)
        if self.scaling.normalise_rows:
            norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
            rows = rows / torch.where(norms == 0, 1.0, norms)
        return (rows - self._mean) / self._scale

    def sample(self, largest: int) -> Tensor:
        """Return every k-th row (m, d), with the smallest k that gives at most ``largest`` rows."""
        return self.rows(np.arange(0, len(self), -(-len(self) // largest)))


def picked(values: Tensor, index: Index) -> Tensor:
    """Return ``values[index]`` on the device where ``values`` are: the labels of a batch, say."""
    return values[torch.from_numpy(index).to(values.device)]


def unscaled(width: int) -> Scaling:
    """Return the scaling that leaves rows of ``width`` values as they are."""
    return Scaling(np.zeros(width), np.ones(width))


@dataclass(frozen=True, eq=False)
class NetworkMap:
    """Features become the outputs of a network in evaluation mode, row by row and block by block.

    Networks train in float32. Where what follows magnifies rounding, as whitening does by the square root of
    a condition number, they are evaluated in float64; then a row gives the same alone as in a batch.

    Parameters
    ----------
    network : maps (n, d) to (n, k)
    view : "images" say, for errors
    scaling : of the rows that go in
    precision : in which the network is evaluated
    """

    network: nn.Module
    view: str
    scaling: Scaling
    precision: torch.dtype = torch.float32

    def __call__(self, features: NDArray[Any]) -> NDArray[Any]:
        """Map features (n, d) to outputs (n, k), float32 or float64."""
        was_training = self.network.training
        self.network.eval()
        weights = self._weights()
        with torch.no_grad(), denormals_as_zeros():
            blocks = [
                functional_call(self.network, weights, rows.to(self.precision)).cpu().numpy()
                for rows in self._blocks(features)
            ]
        self.network.train(was_training)
        return np.concatenate(blocks)

    def _weights(self) -> dict[str, Tensor]:
        """Return the network's parameters and buffers in the precision asked for, by name; {} for float32."""
        if self.precision == torch.float32:
            return {}
        tensors = [*self.network.named_parameters(), *self.network.named_buffers()]
        return {
            name: values.detach().to(self.precision) for name, values in tensors if values.is_floating_point()
        }

    def _blocks(self, features: NDArray[Any]) -> Iterator[Tensor]:
        """Yield blocks of scaled rows, float32, on the network's device.

        The first block is empty, so that no features at all become outputs (0, k) of the right width.
        """
        check_new_features(features, self.view, width=len(self.scaling.mean))
        held = next(chain(self.network.parameters(), self.network.buffers()), None)
        device = torch.device("cpu") if held is None else held.device
        yield torch.empty((0, len(self.scaling.mean)), device=device)
        for rows in row_blocks(features):
            yield torch.from_numpy(self.scaling.apply(rows).astype(np.float32)).to(device)


def standardised(outputs: NetworkMap, features: NDArray[Any]) -> Chain:
    """Return outputs standardised column by column, by their statistics over training ``features``.

    Outputs that are the same for all of them raise ``CollapseError``.
    """
    codes, what = outputs(features), f"codes of {outputs.view}"
    with collapse(what):
        return Chain(outputs, Scaling.fit(codes, what).apply)
