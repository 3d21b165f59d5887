"""From a trained network to the codes of any items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cmbench.methods.preprocessing import Matrix, Scaling
from cmbench.methods.training_device import blocks_of
from cmbench.methods.training_guards import collapse


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
