"""The state of one training on pictures, in one file from which a killed training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmbench.datasets.features.image_origin import Origin, difference, key_of
from cmbench.datasets.features.image_weights import DAMAGE, write_torch_file
from cmbench.errors import DatasetError

REMEDY = "name another file, or delete this one to start anew"


class TrainingCheckpoint:
    """A file that is replaced as a whole, and read without unpickling.

    Parameters
    ----------
    path : the file, or None to keep nothing
    origin : what the training depends on; a file of another origin is refused
    """

    def __init__(self, path: Path | None, origin: Origin) -> None:
        self._path, self._origin = path, dict(origin)

    def load(self) -> dict[str, Any] | None:
        """Return the state last saved, on the CPU; None where there is none yet.

        Raises ``DatasetError`` where the file is damaged, something else, or of another training.
        """
        if self._path is None or not self._path.exists():
            return None
        content = self._content(self._path)
        if content["key"] != key_of(self._origin):
            raise DatasetError(
                f"{self._path} is of another training: "
                f"{difference(content['origin'], self._origin)}; {REMEDY}"
            )
        state: dict[str, Any] = content["state"]
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state``: tensors, numbers, strings, and lists and dictionaries of them."""
        if self._path is None:
            return
        content = {"key": key_of(self._origin), "origin": self._origin, "state": dict(state)}
        write_torch_file(self._path, content)

    def _content(self, path: Path) -> dict[str, Any]:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, *DAMAGE) as error:
            raise DatasetError(
                f"{path} is no checkpoint that can be read safely ({type(error).__name__}); {REMEDY}"
            ) from error
        if not isinstance(content, dict) or content.keys() != {"key", "origin", "state"}:
            raise DatasetError(f"{path} is no checkpoint of a training on pictures; {REMEDY}")
        return content


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of PyTorch's random numbers on the CPU and, if ``device`` is one, on the GPU."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go back to what ``random_states`` returned for ``device``."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
