"""Where networks compute."""

from __future__ import annotations

import torch

from cmbench.errors import DatasetError


def device_called(name: str) -> torch.device:
    """Return a device of PyTorch by its name, after a try; ``"auto"`` is a GPU if there is one.

    >>> device_called("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:  # AssertionError: built without it
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DatasetError(
            f"device is {name!r}, which PyTorch cannot use here ({reason}); use 'auto', 'cpu' or 'cuda'"
        ) from error
    return device
