"""Checkpoints from which a killed training goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from cmbench.datasets.contract import Split
from cmbench.errors import MethodError
from cmbench.methods.input_contract import row_blocks

DAMAGE = (UnpicklingError, RuntimeError, EOFError, LookupError, ValueError)  # what torch.load raises of it


class Checkpoint:
    """One file that holds the state of one training, replaced as a whole and never unpickled freely.

    Parameters
    ----------
    path : the file, or None to keep no checkpoint
    seconds : the least time between two of them; writing takes about 1 s for full-size networks
    """

    def __init__(self, path: Path | None, *, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state last saved, on the CPU, or None."""
        if self.path is None or not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except DAMAGE as error:
            raise MethodError(
                f"{self.path} is not a readable checkpoint ({type(error).__name__}); delete it to start anew"
            ) from error
        return state

    def is_due(self) -> bool:
        """Return whether it is time to save again."""
        return self.path is not None and time.monotonic() - self._written >= self.seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state`` beside the file and move it into place, so that a kill leaves one or the other."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                torch.save(dict(state), file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        finally:
            beside.unlink(missing_ok=True)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the file of a training that is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def checkpoint_path(
    folder: str | os.PathLike[str], name: str, settings: Mapping[str, Any], splits: tuple[Split, ...]
) -> Path:
    """Return the file of the training of ``name`` with these settings on these pairs, and of no other."""
    digest = sha256(repr(sorted(settings.items())).encode())
    for split in splits:
        digest.update(split.labels.tobytes())
        for features in (split.images, split.texts):
            digest.update(f"{features.shape} {features.dtype}".encode())
            for rows in row_blocks(features):
                digest.update(rows.tobytes())
    return Path(folder) / f"{name}-{digest.hexdigest()[:16]}.pt"
