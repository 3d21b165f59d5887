"""From trained generators to the common representation of any items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from cmbench.datasets.contract import Split
from cmbench.methods.cmgans_objective import classify
from cmbench.methods.cross_modal_networks import Generator, Modality
from cmbench.methods.preprocessing import Matrix, Mode, Scaling
from cmbench.methods.training_device import blocks_of

Scalings: TypeAlias = dict[Modality, Scaling]
PREPROCESSING: dict[str, tuple[Mode, bool]] = {
    "none": ("none", False),
    "zscore": ("zscore", False),
    "rownorm": ("none", True),
}


def learned_scalings(train: Split, preprocessing: str) -> Scalings:
    """Return the scaling of each view, learned from training rows alone."""
    mode, normalise_rows = PREPROCESSING[preprocessing]
    return {
        "image": Scaling.fit(train.images, "images", mode=mode, normalise_rows=normalise_rows),
        "text": Scaling.fit(train.texts, "texts", mode=mode, normalise_rows=normalise_rows),
    }


def encode(
    generator: Generator, features: NDArray[Any], scaling: Scaling, representation: str
) -> NDArray[np.float32]:
    """Map features (n, d) to representations (n, k) in evaluation mode, row by row, without a graph.

    ``"common"`` gives what the shared layer puts out, ``"softmax"`` the class probabilities.
    """
    was_training, device = generator.training, next(generator.parameters()).device
    width = len(scaling.mean)
    generator.eval()
    with torch.no_grad():
        mapped = [
            _represent(generator, rows.to(device), representation).cpu().numpy()
            for rows in blocks_of(features, "features", scaling)
        ]
        empty = _represent(generator, torch.empty((0, width), device=device), representation).cpu().numpy()
    generator.train(was_training)
    return np.concatenate([empty, *mapped])


def _represent(generator: Generator, rows: torch.Tensor, representation: str) -> torch.Tensor:
    common: torch.Tensor = generator(rows)
    return common if representation == "common" else classify(generator, common).softmax(dim=1)


@dataclass(frozen=True, eq=False)
class GeneratorMap:
    """A row becomes the representation that a trained generator gives it, standardised if asked for."""

    generator: Generator
    scaling: Scaling
    representation: str
    standardising: Scaling | None = None

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to (n, k)."""
        raw = encode(self.generator, features, self.scaling, self.representation)
        return raw.astype(np.float64) if self.standardising is None else self.standardising.apply(raw)

    def standardised(self, features: NDArray[Any], view: str) -> GeneratorMap:
        """Return the map that standardises each dimension by its statistics over training ``features``."""
        raw = encode(self.generator, features, self.scaling, self.representation)
        statistics = Scaling.fit(raw, f"representations of {view}")
        return GeneratorMap(self.generator, self.scaling, self.representation, statistics)
