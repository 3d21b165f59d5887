"""How deep methods scale the features of both views before anything else."""

from __future__ import annotations

from typing import TypeAlias

from cmbench.datasets.contract import Split
from cmbench.methods.cross_modal_networks import Modality
from cmbench.methods.preprocessing import Mode, Scaling

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
