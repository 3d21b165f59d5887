"""Networks trained to name the category of pictures, so that their features suit a dataset."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmbench.datasets.features.backbones import Backbone
from cmbench.datasets.features.image_features import (
    Progress,
    hash_of_pictures,
    is_mixed,
    key_of,
    origin_of_backbone,
)
from cmbench.datasets.features.image_training import (
    FROM_IMAGENET,
    FineTuning,
    FineTuningRecord,
    LabelledPictures,
    Training,
    TrainingCheckpoint,
)
from cmbench.datasets.features.pictures import Images
from cmbench.datasets.features.weights import hash_of_weights
from cmbench.errors import DatasetError


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A backbone that has learnt categories, the layer that gives their scores, and how it went."""

    backbone: Backbone
    categories: nn.Linear
    record: FineTuningRecord

    def scores(self, images: Images) -> NDArray[np.float32]:
        """Return the scores (n, categories) of prepared pictures (n, 3, crop, crop)."""
        features = torch.from_numpy(self.backbone.features(images)).to(self.backbone.device)
        with torch.inference_mode():
            scores: NDArray[np.float32] = self.categories(features).cpu().numpy()
        return scores

    def weights(self) -> dict[str, Tensor]:
        """Return the state dict of the whole network, which ``load_backbone`` takes back from a file."""
        assert isinstance(self.backbone.network, nn.Module)
        last = {
            f"{self.backbone.last_layer}.{key}": value for key, value in self.categories.state_dict().items()
        }
        return {**self.backbone.network.state_dict(), **last}


def fine_tune(
    start: Backbone,
    train: LabelledPictures,
    validation: LabelledPictures,
    settings: FineTuning = FROM_IMAGENET,
    *,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> FineTuned:
    """Return ``start`` trained further, with a new last layer for the categories of ``train``.

    After each epoch the validation pictures are classified; the state of the highest accuracy is kept, of
    equals the one of the lowest loss. ``start`` itself does not change.

    Parameters
    ----------
    start : the backbone; one that ``load_backbone`` has of our own networks, torchvision's or timm's
    train, validation : what it learns from, and what decides which state is kept
    settings : FineTuning
    checkpoint : a file for the state of the training after each epoch, up to three times the size of the
        weights. A killed training goes on from it, and on a CPU ends as it would have undisturbed. It
        stays there complete, and another call returns its result at once: delete it when the weights are
        elsewhere. A file of another network, device, other settings, labels or pictures is refused
    progress : told after each epoch, once its checkpoint is on the disk; training may end before the last

    Raises ``DatasetError`` where the network cannot learn, labels or the checkpoint do not fit, or training
    diverges.
    """
    if start.last_layer is None or not isinstance(start.network, nn.Module):
        raise DatasetError(f"{start.name} cannot be trained; use our own networks, torchvision's or timm's")
    _check(train, validation)
    n_classes = int(np.max(train.labels)) + 1
    path = None if checkpoint is None else Path(checkpoint)
    saved = TrainingCheckpoint(path, _origin(start, train, validation, settings))
    gpus = [start.device] if start.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(settings.seed)
        categories = nn.Linear(start.width, n_classes).to(start.device)
        training = Training(start, copy.deepcopy(start.network), categories, settings)
        record = training.run(train, validation, saved, progress)
    training.network.eval()
    tuned = replace(
        start,
        name=f"{start.name}, fine-tuned",
        network=training.network,
        weights_hash=hash_of_weights(training.network),
    )
    return FineTuned(tuned, categories, record)


def _origin(
    start: Backbone, train: LabelledPictures, validation: LabelledPictures, settings: FineTuning
) -> dict[str, Any]:
    """Return what the result of a training depends on."""
    mixed = is_mixed(settings.precision, start.device)
    origin = {**asdict(settings), **origin_of_backbone(start, mixed=mixed), "device": start.device.type}
    for name, labelled in (("training", train), ("validation", validation)):
        origin[f"number of {name} pictures"] = len(labelled.pictures)
        origin[f"identity of {name} pictures"] = hash_of_pictures(labelled.pictures)
        origin[f"{name} labels"] = key_of(labelled.labels.tolist())
    return origin


def _check(train: LabelledPictures, validation: LabelledPictures) -> None:
    for name, labelled in (("training", train), ("validation", validation)):
        if len(labelled.pictures) != len(labelled.labels) or not len(labelled.labels):
            raise DatasetError(
                f"{name}: there are {len(labelled.pictures)} pictures and {len(labelled.labels)} labels; "
                "give as many of both, at least one"
            )
        if labelled.labels.dtype.kind not in "iu" or labelled.labels.min() < 0:
            raise DatasetError(f"{name}: labels must be integers from 0 on; number the categories so")
    unknown = sorted(set(validation.labels.tolist()) - set(train.labels.tolist()))
    if unknown:
        raise DatasetError(f"validation: no training picture is of category {unknown[0]}; change the split")
