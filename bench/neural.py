"""What networks of datasets and of methods share: device, initial weights, dropout, files of states."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from cmbench.disk import replacing
from cmbench.errors import CmbenchError

Layer = TypeVar("Layer", bound=nn.Module)


def device_called(name: str, *, raising: type[CmbenchError]) -> torch.device:
    """Return a device of PyTorch by its name, after a try; ``"auto"`` is a GPU if there is one.

    A device that cannot be used raises an error of the class ``raising``.

    >>> device_called("cpu", raising=CmbenchError)
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:  # AssertionError: built without it
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise raising(
            f"device is {name!r}, which PyTorch cannot use here ({reason}); use 'auto', 'cpu' or 'cuda'"
        ) from error
    return device


def uniform_layer(
    kind: type[Layer], *sizes: int, fan_in: int, random: torch.Generator, **options: Any
) -> Layer:
    """Return a layer whose weights and biases are uniform within ±1/sqrt(fan_in), as in Torch7 and PyTorch.

    >>> layer = uniform_layer(nn.Linear, 3, 2, fan_in=4, random=torch.Generator().manual_seed(0))
    >>> bool(layer.weight.abs().max() <= 0.5)
    True
    """
    layer: Layer = skip_init(kind, *sizes, **options)  # type: ignore[no-untyped-call]
    bound = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        for values in layer.parameters():
            values.uniform_(-bound, bound, generator=random)
    return layer


def dropped_out(rows: Tensor, share: float, random: torch.Generator | None = None) -> Tensor:
    """Return rows with that share of values 0, and the others raised to keep the expectation.

    ``random`` may be of the CPU whatever the device of ``rows``. Without it, PyTorch's own random numbers
    on that device say which values are left out.
    """
    device = rows.device if random is None else random.device
    kept = torch.empty(rows.shape, device=device).bernoulli_(1 - share, generator=random)
    return rows * kept.to(rows) / (1 - share)


def read_state(path: Path) -> Any:
    """Return what ``write_state`` wrote, on the CPU; nothing in the file is executed.

    A damaged file raises one of ``cmbench.disk.DAMAGE``.
    """
    return torch.load(path, map_location="cpu", weights_only=True)


def write_state(path: Path, content: Any) -> None:
    """Write tensors, numbers, strings, and dictionaries and lists of them, as a whole file or not at all."""
    try:
        with replacing(path) as beside, beside.open("wb") as file:
            torch.save(content, file)  # of a path, PyTorch would write the name into the file
    except RuntimeError as error:  # so PyTorch says that a disk is full
        raise OSError(errno.EIO, "it could not be written to the end", str(path)) from error
