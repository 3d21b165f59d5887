"""The training of a network on pictures: epochs, validation, the best state, and going on after a kill."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cmbench.datasets.features.backbones import Backbone
from cmbench.datasets.features.image_features import Origin, Progress, difference, is_mixed, key_of
from cmbench.datasets.features.pictures import Images, PictureView, in_order, picture_batches
from cmbench.datasets.raw.pictures import Picture
from cmbench.disk import DAMAGE
from cmbench.errors import DatasetError
from cmbench.neural import read_state, write_state

CURVES = ("training_loss", "training_accuracy", "validation_loss", "validation_accuracy")
REMEDY = "name another file, or delete this one to start anew"


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
    momentum : float, from 0 on and less than 1
    weight_decay : float, from 0 on
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
        for name in ("learning_rate", "new_layer_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise DatasetError(f"{name} is {getattr(self, name)}; use a number greater than 0")
        if not 0 <= self.momentum < 1:
            raise DatasetError(f"momentum is {self.momentum}; use 0 or more, and less than 1")
        if not 0 <= self.weight_decay < math.inf:
            raise DatasetError(f"weight_decay is {self.weight_decay}; use 0 or more")

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


FROM_IMAGENET = FineTuning()
"""For networks that have learnt on ImageNet."""

FROM_SCRATCH = FineTuning(epochs=20, patience=20, learning_rate=0.05, new_layer_factor=1.0)
"""For ``SmallCNN``: larger steps, the same for all layers, and all epochs."""


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
        write_state(self._path, content)

    def _content(self, path: Path) -> dict[str, Any]:
        try:
            content = read_state(path)
        except DAMAGE as error:
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
