"""The few array operations ranking needs, in NumPy on CPU threads and in torch on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Matrix: TypeAlias = Any  # a NumPy array, or a torch tensor


Item = TypeVar("Item")


Result = TypeVar("Result")


def arrays_of(matrix: Matrix) -> CpuArrays | TorchArrays:
    """Return the operations for where ``matrix`` lives: torch for a tensor on a GPU, else NumPy."""
    if is_tensor(matrix) and matrix.device.type != "cpu":
        return TorchArrays(matrix.device)
    return CpuArrays()


def is_tensor(matrix: Matrix) -> bool:
    """Return whether ``matrix`` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(matrix, torch.Tensor)


class CpuArrays:
    """NumPy, with as many workers as BLAS would use threads, each with one BLAS thread.

    Several workers around one threaded product would fight its threads, which go on spinning.
    """

    product_pairs = 1 << 22  # similarities a worker holds at once: 16 MB in float32
    chunk_pairs = 1 << 18  # similarities it ranks at once: 1 MB, to stay within its cache

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield function(item) in the order of the items."""
        workers = min(len(items), _blas_threads())
        if workers < 2:
            yield from map(function, items)
            return
        with blas().limit(limits=1), ThreadPoolExecutor(workers) as pool:
            yield from pool.map(function, items)

    def index(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        return positions

    def placed(self, values: NDArray[Any]) -> NDArray[Any]:
        return values

    def floats(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return float64 as it is and anything else as float32, with 0.0 for -0.0."""
        floats: NDArray[Any] = rows.astype(np.float64 if rows.dtype == np.float64 else np.float32)
        floats += 0.0
        return floats

    def hashed(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Return an integer for each row (n,), the same for equal rows wherever they stand."""
        hashes: NDArray[np.int64] = _mixed(self.integers(rows).astype(np.int64)) @ _hash_weights(
            rows.shape[1]
        )
        return hashes

    def normalised(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the rows with unit length; a zero row stays zero. Safe at the ends of the float range."""
        largest = self.largest(rows)
        unit = rows / np.where(largest > 0, largest, 1)[:, None]
        length = np.sqrt(np.einsum("ij,ij->i", unit, unit))
        unit /= np.where(length > 0, length, 1)[:, None]
        return unit

    def largest(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the largest magnitude of each row (n,), NaN where there is one."""
        largest: NDArray[Any] = np.abs(rows).max(axis=1, initial=0.0)
        return largest

    def double(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        return rows.astype(np.float64)

    def sorted_rows(self, keys: NDArray[Any]) -> NDArray[Any]:
        keys.sort(axis=1)
        return keys

    def integers(self, similarity: NDArray[Any]) -> NDArray[Any]:
        return similarity.view(f"i{similarity.itemsize}")

    def take(self, values: NDArray[Any], positions: NDArray[np.intp]) -> NDArray[Any]:
        """Return values[positions], a position before the first or past the last meaning that one."""
        return values.take(positions, mode="clip")

    concatenate = staticmethod(np.concatenate)
    flatnonzero = staticmethod(np.flatnonzero)
    numpy = staticmethod(np.asarray)


class TorchArrays:
    """Torch on the tensor's own device, one chunk after the other."""

    product_pairs = 1 << 26  # 256 MB in float32; sorting needs about six times that
    chunk_pairs = product_pairs

    def __init__(self, device: Any) -> None:
        import torch

        self._torch = torch
        self._device = device

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        yield from map(function, items)

    def index(self, positions: NDArray[np.intp]) -> Matrix:
        return self._torch.as_tensor(positions, device=self._device)

    def placed(self, values: NDArray[Any]) -> Matrix:
        return self._torch.as_tensor(values, device=self._device)

    def floats(self, rows: Matrix) -> Matrix:
        return (
            rows.to(self._torch.float64 if rows.dtype == self._torch.float64 else self._torch.float32) + 0.0
        )

    def hashed(self, rows: Matrix) -> Matrix:
        return (_mixed(self.integers(rows).long()) * self.index(_hash_weights(rows.shape[1]))).sum(dim=1)

    def normalised(self, rows: Matrix) -> Matrix:
        largest = self.largest(rows)[:, None]
        unit = rows / self._torch.where(largest > 0, largest, 1)
        length = unit.square().sum(dim=1, keepdim=True).sqrt()
        return unit / self._torch.where(length > 0, length, 1)

    def largest(self, rows: Matrix) -> Matrix:
        return rows.abs().amax(dim=1)

    def double(self, rows: Matrix) -> Matrix:
        return rows.double()

    def sorted_rows(self, keys: Matrix) -> Matrix:
        return keys.sort(dim=1).values

    def integers(self, similarity: Matrix) -> Matrix:
        wide = similarity.dtype == self._torch.float64
        return similarity.view(self._torch.int64 if wide else self._torch.int32)

    def take(self, values: Matrix, positions: NDArray[np.intp]) -> Matrix:
        return values[self.index(positions).clamp(0, len(values) - 1)]

    def concatenate(self, blocks: Sequence[Matrix]) -> Matrix:
        return self._torch.cat(list(blocks))

    def flatnonzero(self, mask: Matrix) -> Matrix:
        return mask.reshape(-1).nonzero().reshape(-1)

    def numpy(self, values: Matrix) -> NDArray[Any]:
        result: NDArray[Any] = values.cpu().numpy()
        return result


@lru_cache(maxsize=1)
def blas() -> ThreadpoolController:
    """Return the control of the threads of BLAS, which also decomposes matrices."""
    return ThreadpoolController().select(user_api="blas")


def _blas_threads() -> int:
    return max((pool["num_threads"] for pool in blas().info()), default=1)


def _mixed(integers: Matrix) -> Matrix:
    """Spread the bits of each integer, in place: those of round floats are mostly zeros at the end."""
    integers *= 0x2545F4914F6CDD1D
    integers ^= integers >> 32
    return integers


@lru_cache(maxsize=8)
def _hash_weights(length: int) -> NDArray[np.int64]:
    """Return odd 64-bit multipliers; a sum of products modulo 2**64 does not depend on its order."""
    return np.random.RandomState(0).randint(-(2**62), 2**62, size=length, dtype=np.int64) * 2 + 1
