"""From pictures to features by a backbone, in a folder from which an interrupted extraction goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from cmbench.datasets.features.backbones import Backbone
from cmbench.datasets.features.image_feature_rows import FeatureRows
from cmbench.datasets.features.image_origin import hash_of_pictures, origin_of_backbone
from cmbench.datasets.features.picture_batches import in_order, picture_batches
from cmbench.datasets.raw.pictures import Picture
from cmbench.errors import DatasetError

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many pictures or epochs are done, and of how many."""

PRECISIONS = ("auto", "float32", "bfloat16")


def extract_image_features(
    pictures: Sequence[Picture],
    backbone: Backbone,
    folder: Path | str,
    *,
    batch_size: int = 32,
    precision: str = "auto",
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return the features, float32 (n, width), of pictures; row i is picture i.

    They are written to ``folder`` batch by batch and returned memory-mapped, read-only. A second call
    goes on where the first was interrupted, by whatever. Neither pictures nor features are held in
    memory, whatever their number. Pictures are told apart by their identities: a file that has changed is
    another picture.

    Parameters
    ----------
    pictures : of any size
    backbone : what makes features of them
    folder : for ``features.npy`` and ``features.json``; one with features of another backbone,
        preprocessing, precision or of other pictures is refused
    batch_size : int, pictures at a time; changes features by rounding alone
    precision : ``"float32"``, ``"bfloat16"`` (products of a GPU; sums are float32), or ``"auto"`` for
        bfloat16 on a GPU and float32 elsewhere
    progress : told after each batch

    Raises ``DatasetError`` where a picture cannot be read or its features are not finite.
    """
    if not len(pictures):
        raise DatasetError("there are no pictures to take features of; give at least one")
    mixed = is_mixed(precision, backbone.device)
    origin = {
        **origin_of_backbone(backbone, mixed=mixed),
        "number of pictures": len(pictures),
        "identity of pictures": hash_of_pictures(pictures),
    }
    with FeatureRows(Path(folder), rows=len(pictures), width=backbone.width, origin=origin) as rows:
        views = in_order(pictures, backbone.preprocessing, batch_size, start=rows.done)
        for images in picture_batches(views, backbone.preprocessing):
            features = backbone.features(images, mixed=mixed)
            _check_finite(features, pictures, rows.done, backbone)
            rows.append(features)
            if progress is not None:
                progress(rows.done, len(pictures))
        return rows.array()


def is_mixed(precision: str, device: torch.device) -> bool:
    """Return whether products are to be made in bfloat16, which only a GPU does."""
    if precision not in PRECISIONS:
        raise DatasetError(f"precision is {precision!r}; use {', '.join(map(repr, PRECISIONS))}")
    if precision == "bfloat16" and device.type != "cuda":
        raise DatasetError(f"precision is 'bfloat16' and the device {device}; use 'auto', or a GPU")
    return precision != "float32" and device.type == "cuda"


def precision_on(device: torch.device, precision: str) -> str:
    """Return what products are made in: ``"float32"`` or ``"bfloat16"``."""
    return "bfloat16" if is_mixed(precision, device) else "float32"


def _check_finite(
    features: NDArray[np.float32], pictures: Sequence[Picture], first: int, backbone: Backbone
) -> None:
    wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(wrong):
        name = pictures[first + int(wrong[0])].name
        raise DatasetError(
            f"{name}: {backbone.name} gives features that are not finite; check its weights, or use "
            "precision 'float32'"
        )
