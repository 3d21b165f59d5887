"""Where networks compute."""

from __future__ import annotations

import torch

from cmbench.errors import DatasetError


def device_called(name: str) -> torch.device:
    """Return a device of PyTorch by its name; ``"auto"`` is a GPU if there is one.

    >>> device_called("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DatasetError(f"device is {name!r}; use 'auto', 'cpu' or 'cuda'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DatasetError(f"device is {name!r}, but PyTorch sees no GPU; use 'auto' or 'cpu'")
    return device
