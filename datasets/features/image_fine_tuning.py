"""Networks trained to name the category of pictures, so that their features suit a dataset."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cmbench.datasets.features.backbones import Backbone
from cmbench.datasets.features.image_features import is_mixed
from cmbench.datasets.features.image_weights import hash_of_weights
from cmbench.datasets.features.picture_batches import Images, PictureView, in_order, picture_batches
from cmbench.datasets.raw.pictures import Picture
from cmbench.errors import DatasetError

CURVES = ("training_loss", "training_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Pictures and the categories of each, integers (n,) from 0."""

    pictures: Sequence[Picture]
    labels: NDArray[np.integer]


@dataclass(frozen=True)
class FineTuning:
    """How a network is trained: stochastic gradient descent with momentum on the cross entropy.

    The rate falls from the first epoch to the last as half a wave of the cosine does. The defaults are for
    networks that have learnt on ImageNet, ``FROM_SCRATCH`` is for those that have not learnt at all.

    Parameters
    ----------
    epochs : int, at most
    patience : int, epochs without a better state after which training ends
    batch_size : int, pictures; those left over in an epoch wait
    learning_rate : float, of the layers that have learnt before
    new_layer_factor : float, by which the rate of the new last layer is greater
    momentum, weight_decay : float
    augmented : whether training pictures are cropped at random places and mirrored half of the times
    precision : as in ``extract_image_features``
    seed : int, of all that chance decides
    """

    epochs: int = 30
    patience: int = 5
    batch_size: int = 32
    learning_rate: float = 1e-3
    new_layer_factor: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augmented: bool = True
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise DatasetError(f"{name} is {getattr(self, name)}; use 1 or more")
        if not self.learning_rate > 0 or not self.new_layer_factor > 0:
            raise DatasetError(
                f"learning_rate is {self.learning_rate} and new_layer_factor {self.new_layer_factor}; "
                "both must be greater than 0"
            )

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


FROM_SCRATCH = FineTuning(epochs=20, patience=20, learning_rate=0.05, new_layer_factor=1.0)
"""For ``SmallCNN``: larger steps, the same for all layers, and all epochs."""


@dataclass(frozen=True)
class FineTuningRecord:
    """How a training went.

    Parameters
    ----------
    curves : a number an epoch, by name: loss and accuracy in training (on the augmented pictures, while
        the network changes) and in validation
    best_epoch : int, counted from 1; its state was kept
    stopped : whether training ended because validation did not improve any more
    """

    curves: Mapping[str, tuple[float, ...]]
    best_epoch: int
    stopped: bool

    @property
    def best_accuracy(self) -> float:
        """The validation accuracy of the state that was kept."""
        return self.curves["validation_accuracy"][self.best_epoch - 1]


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
            f"{self.backbone.last_layer}.{key}": each for key, each in self.categories.state_dict().items()
        }
        return {**self.backbone.network.state_dict(), **last}


def fine_tune(
    start: Backbone,
    train: LabelledPictures,
    validation: LabelledPictures,
    settings: FineTuning = FineTuning(),
) -> FineTuned:
    """Return ``start`` trained further, with a new last layer for the categories of ``train``.

    After each epoch the validation pictures are classified; the state of the highest accuracy is kept, of
    equals the one of the lowest loss. ``start`` itself does not change.

    Raises ``DatasetError`` where the network cannot learn, labels do not fit, or training diverges.
    """
    if start.last_layer is None or not isinstance(start.network, nn.Module):
        raise DatasetError(f"{start.name} cannot be trained; use our own networks, torchvision's or timm's")
    _check(train, validation)
    n_classes = int(np.max(train.labels)) + 1
    gpus = [start.device] if start.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(settings.seed)
        categories = nn.Linear(start.width, n_classes).to(start.device)
        training = _Training(start, copy.deepcopy(start.network), categories, settings)
        record = training.run(train, validation)
    training.network.eval()
    tuned = replace(
        start,
        name=f"{start.name}, fine-tuned",
        network=training.network,
        weights_hash=hash_of_weights(training.network),
    )
    return FineTuned(tuned, categories, record)


class _Training:
    """A network and its new last layer under way."""

    def __init__(
        self, start: Backbone, network: nn.Module, categories: nn.Linear, settings: FineTuning
    ) -> None:
        self.network, self._categories, self._settings = network, categories, settings
        self._start = start
        self._mixed = is_mixed(settings.precision, start.device)
        self._whole = nn.ModuleDict({"network": network, "categories": categories})
        self._optimizer = torch.optim.SGD(
            [{"params": list(network.parameters())}, {"params": list(categories.parameters())}],
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )

    def run(self, train: LabelledPictures, validation: LabelledPictures) -> FineTuningRecord:
        """Train to the end and return to the best state."""
        points: list[tuple[float, ...]] = []
        best, best_epoch = (-math.inf, -math.inf), 0
        state: dict[str, Tensor] = {}
        while len(points) < self._settings.epochs and len(points) - best_epoch < self._settings.patience:
            points.append((*self._train_epoch(train, len(points)), *self._validate(validation)))
            self._check_finite(points[-1], len(points))
            score = (points[-1][3], -points[-1][2])
            if score > best:
                best, best_epoch = score, len(points)
                state = {key: value.to("cpu", copy=True) for key, value in self._whole.state_dict().items()}
        self._whole.load_state_dict(state)
        curves = dict(zip(CURVES, zip(*points, strict=True), strict=True))
        return FineTuningRecord(curves, best_epoch, stopped=len(points) < self._settings.epochs)

    def _train_epoch(self, train: LabelledPictures, epoch: int) -> tuple[float, float]:
        """Train one epoch; return the mean loss and accuracy."""
        self._whole.train()
        for group, factor in zip(
            self._optimizer.param_groups, (1.0, self._settings.new_layer_factor), strict=True
        ):
            group["lr"] = self._settings.rate(epoch) * factor
        random = np.random.default_rng([self._settings.seed, epoch])
        size = min(self._settings.batch_size, len(train.labels))
        order = random.permutation(len(train.labels))[: len(train.labels) // size * size]
        results = []
        for labels, images in self._batches(train, order.reshape(-1, size), random):
            loss, right = self._measured(images, labels)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            results.append((loss.item(), right / size))
        return _means(results, [1] * len(results))

    def _batches(
        self, train: LabelledPictures, order: NDArray[np.intp], random: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.integer], Images]]:
        preprocessing = self._start.preprocessing
        view = preprocessing.random_view if self._settings.augmented else lambda _: preprocessing.centre
        views = ([PictureView(train.pictures[row], view(random)) for row in rows] for rows in order)
        return zip(train.labels[order], picture_batches(views, preprocessing), strict=True)

    def _validate(self, validation: LabelledPictures) -> tuple[float, float]:
        """Return the mean loss and accuracy of the validation pictures."""
        self._whole.eval()
        views = in_order(validation.pictures, self._start.preprocessing, self._settings.batch_size)
        results, sizes, first = [], [], 0
        with torch.inference_mode():
            for images in picture_batches(views, self._start.preprocessing):
                loss, right = self._measured(images, validation.labels[first : first + len(images)])
                results.append((loss.item(), right / len(images)))
                sizes.append(len(images))
                first += len(images)
        return _means(results, sizes)

    def _measured(self, images: Images, labels: NDArray[np.integer]) -> tuple[Tensor, int]:
        """Return the cross entropy, and how many pictures are put into their category."""
        device = self._start.device
        wanted = torch.from_numpy(labels.astype(np.int64)).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._mixed):
            scores = self._categories(self.network(torch.from_numpy(images).to(device)))
        right = int((scores.argmax(dim=1) == wanted).sum())
        return cross_entropy(scores.float(), wanted), right

    def _check_finite(self, point: tuple[float, ...], epoch: int) -> None:
        for name, value in zip(CURVES, point, strict=True):
            if not math.isfinite(value):
                raise DatasetError(
                    f"{self._start.name}: {name} became {value} in epoch {epoch}; lower learning_rate, now "
                    f"{self._settings.learning_rate}"
                )


def _means(results: Sequence[tuple[float, float]], weights: Sequence[int]) -> tuple[float, float]:
    loss, accuracy = np.average(np.array(results), axis=0, weights=weights).tolist()
    return loss, accuracy


def _check(train: LabelledPictures, validation: LabelledPictures) -> None:
    for name, each in (("training", train), ("validation", validation)):
        if len(each.pictures) != len(each.labels) or not len(each.labels):
            raise DatasetError(
                f"{name}: there are {len(each.pictures)} pictures and {len(each.labels)} labels; give as "
                "many of both, at least one"
            )
        if each.labels.dtype.kind not in "iu" or each.labels.min() < 0:
            raise DatasetError(f"{name}: labels must be integers from 0 on; number the categories so")
    unknown = sorted(set(validation.labels.tolist()) - set(train.labels.tolist()))
    if unknown:
        raise DatasetError(f"validation: no training picture is of category {unknown[0]}; change the split")
