"""The training of a network on pictures: epochs, validation, the best state, and going on after a kill."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cmbench.datasets.features.backbones import Backbone
from cmbench.datasets.features.image_features import Progress, is_mixed
from cmbench.datasets.features.image_training_checkpoint import (
    TrainingCheckpoint,
    random_states,
    set_random_states,
)
from cmbench.datasets.features.image_training_settings import FineTuning
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

    @property
    def epochs(self) -> int:
        """How many epochs were trained."""
        return len(self.curves["validation_accuracy"])


class Training:
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
        self._points: list[tuple[float, ...]] = []
        self._best_state: dict[str, Tensor] = {}

    def run(
        self,
        train: LabelledPictures,
        validation: LabelledPictures,
        checkpoint: TrainingCheckpoint,
        progress: Progress | None,
    ) -> FineTuningRecord:
        """Train from the checkpoint to the end, and return to the best state."""
        saved = checkpoint.load()
        if saved is not None:
            self._go_on_from(saved)
        while not self._is_over():
            self._run_epoch(train, validation)
            checkpoint.save(self._state())
            if progress is not None:
                progress(len(self._points), self._settings.epochs)
        self._whole.load_state_dict(self._best_state)
        curves = dict(zip(CURVES, zip(*self._points, strict=True), strict=True))
        stopped = len(self._points) < self._settings.epochs
        return FineTuningRecord(curves, self._best_epoch(), stopped)

    def _run_epoch(self, train: LabelledPictures, validation: LabelledPictures) -> None:
        self._points.append((*self._train_epoch(train, len(self._points)), *self._validate(validation)))
        self._check_finite(self._points[-1], len(self._points))
        if self._best_epoch() == len(self._points):
            self._best_state = {
                key: value.to("cpu", copy=True) for key, value in self._whole.state_dict().items()
            }

    def _is_over(self) -> bool:
        epochs = len(self._points)
        return epochs == self._settings.epochs or epochs - self._best_epoch() == self._settings.patience

    def _best_epoch(self) -> int:
        """Return the number of the best epoch so far, from 1; 0 before the first."""
        scores = [(accuracy, -loss) for _, _, loss, accuracy in self._points]
        return scores.index(max(scores)) + 1 if scores else 0

    def _state(self) -> dict[str, Any]:
        """Return all that the next epochs and the result depend on."""
        best_is_last = self._best_epoch() == len(self._points)  # then it is written once
        return {
            "points": self._points,
            "weights": self._best_state if best_is_last else self._whole.state_dict(),
            "best weights": self._best_state,
            "optimizer": self._optimizer.state_dict(),
            "random": random_states(self._start.device),
        }

    def _go_on_from(self, state: Mapping[str, Any]) -> None:
        self._points, self._best_state = state["points"], state["best weights"]
        self._whole.load_state_dict(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        set_random_states(state["random"], self._start.device)

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
