"""The training of a network of one view to tell the categories apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from cmbench.methods.cross_modal_networks import Modality, stream
from cmbench.methods.epoch_batches import EpochBatches
from cmbench.methods.label_code import Labels
from cmbench.methods.pair_sampler import Index
from cmbench.methods.preprocessing import Scaling
from cmbench.methods.training_curves import gradient_norm
from cmbench.methods.training_device import Place
from cmbench.methods.training_loop import Finding, Length, Task, Training, Watched
from cmbench.methods.view_network import NetworkMap, Shape, ViewNetwork, decayed, training_features


@dataclass(frozen=True)
class Descent:
    """How a classifier is trained.

    Parameters
    ----------
    optimizer : ``"adam"`` or ``"sgd"``
    learning_rate, momentum : the momentum is that of ``"sgd"``
    weight_decay : of weights, not of biases, in the gradient
    batch_size, epochs : int
    stopping : ``"validation"`` or ``"none"``
    eval_epochs, patience : int, epochs from look to look, and without a better one
    """

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 64
    epochs: int = 100
    stopping: str = "validation"
    eval_epochs: int = 1
    patience: int = 20


@dataclass(frozen=True, eq=False)
class LabelledView:
    """One view of some items: features (n, d), their scaling, and the numbers (n,) of their classes."""

    modality: Modality
    features: NDArray[Any]
    scaling: Scaling
    classes: Labels


class ClassifierFitting:
    """A network of one view, ready to be trained.

    It minimises the mean cross-entropy of the softmax of its outputs, and keeps the state of the
    highest accuracy on validation; of equals that of the lower cross-entropy there. Every random
    number comes from ``seed`` through a stream of its own purpose and modality.
    """

    def __init__(
        self,
        train: LabelledView,
        validation: LabelledView,
        shape: Shape,
        descent: Descent,
        place: Place,
        *,
        method: str,
        seed: int,
    ) -> None:
        self.train, self.validation = train, validation
        self.descent, self.place = descent, place
        self._method, self._seed, self._modality = method, seed, train.modality
        self._features = training_features(train.features, train.scaling, place)
        self._classes = torch.from_numpy(train.classes).to(place.device)
        self._dropping = torch.Generator(place.device)
        self.batches = EpochBatches(
            len(train.classes), batch=descent.batch_size, seed=seed, stream=train.modality
        )
        width, random = train.features.shape[1], stream(seed, f"{train.modality} network")
        self.network = ViewNetwork(width, shape, random).to(place.device)
        self.optimizer = self._optimizer()

    def training(self) -> Training[Index]:
        """Return the training of the network, not yet begun."""
        descent, rounds = self.descent, self.batches.rounds
        modules: dict[str, nn.Module] = {self._modality: self.network}
        task = Task(
            name=self._method,
            modules=modules,
            kept=modules,
            optimizers={self._modality: self.optimizer},
            items=self.draws,
            rounds=rounds,
            step=self.train_round,
            score=self.look if descent.stopping == "validation" else None,
        )
        return Training(task, Length(descent.epochs, descent.eval_epochs * rounds, descent.patience))

    def draws(self, epoch: int) -> Iterator[Index]:
        """Seed the dropout of an epoch and return the rows of its rounds."""
        seeded = stream(self._seed, f"{self._modality} dropout {epoch}")
        self._dropping.manual_seed(seeded.initial_seed())
        return self.batches.epoch(epoch)

    def train_round(self, index: Index, norms: bool) -> Watched:
        """Move the network towards a lower cross-entropy of the rows of that index."""
        classes = self._classes[torch.from_numpy(index).to(self._classes.device)]
        logits = self.network(self._features.rows(index), self._dropping)
        loss = cross_entropy(logits, classes)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        accuracy = (logits.argmax(dim=1) == classes).float().mean()
        watched = [(f"{self._modality}_loss", loss.detach()), (f"{self._modality}_accuracy", accuracy)]
        if norms:
            watched.append((f"{self._modality}_gradient", gradient_norm([*self.network.parameters()])))
        self.optimizer.step()
        return watched

    def look(self) -> Finding:
        """Return accuracy and cross-entropy on validation, the first of which decides."""
        logits = torch.from_numpy(self.map()(self.validation.features))
        classes = torch.from_numpy(self.validation.classes)
        accuracy = float((logits.argmax(dim=1) == classes).double().mean())
        loss = float(cross_entropy(logits, classes))
        measured = {"validation_accuracy": accuracy, "validation_loss": loss}
        return Finding(
            (accuracy, -loss), {f"{self._modality}_{name}": value for name, value in measured.items()}
        )

    def map(self) -> NetworkMap:
        """Return the map of features to logits by the network as it is now."""
        return NetworkMap(self.network, f"{self._modality}s", self.train.scaling)

    def _optimizer(self) -> torch.optim.Optimizer:
        descent = self.descent
        groups = decayed([self.network], descent.weight_decay)
        if descent.optimizer == "adam":
            return torch.optim.Adam(groups, lr=descent.learning_rate, fused=True)
        return torch.optim.SGD(groups, lr=descent.learning_rate, momentum=descent.momentum)
