"""Class codes: the last hidden layer of a classifier of several codes of an item; a part of CMDN and CCL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from cmbench.datasets.draft import Labels, Modality
from cmbench.methods.networks.perceptron import Shape, ViewNetwork
from cmbench.methods.networks.pretraining import PretrainedMethod, hidden_layer
from cmbench.methods.networks.rbm import JointRBM
from cmbench.methods.networks.unsupervised import RBMSettings, Sparsity, train_rbm
from cmbench.methods.parameters import AddedLater, Count, Number, SearchRange
from cmbench.methods.training.batches import Index
from cmbench.methods.training.curves import collapse, gradient_norm
from cmbench.methods.training.descent import decayed
from cmbench.methods.training.device import DeviceRows, NetworkMap, picked, unscaled
from cmbench.methods.training.loop import Finding, Run, Training, Watched
from cmbench.methods.views.maps import Chain
from cmbench.methods.views.scaling import Scaling

LAYERS = 3
RATE, WEIGHT_DECAY = 1e-3, 1e-4  # of the classifier
JOINT_DECAY = 1e-4  # of RBMs above groups of codes, as released
Codes: TypeAlias = NDArray[np.float32]


class ClassCodedMethod(PretrainedMethod):
    """A method with class codes among its stages, and the parameters that say how they are learned."""

    hidden_image: Annotated[int, Count(1)] = 2048
    """Hidden units of the lower RBM of images."""
    hidden_text: Annotated[int, Count(1)] = 1024
    """Hidden units of the lower RBM of texts."""
    width: Annotated[int, Count(1)] = 1024
    """Units of each of the three layers of the classifier, which have ReLU."""
    joint_rate: Annotated[float, Number(0, open_ends=True)] = 0.03
    """Learning rate of RBMs above two groups of codes."""
    joint_epochs: Annotated[int | None, Count(1, optional=True), AddedLater(None)] = 10
    """Passes of RBMs above two groups of codes over the training items, with ``rbm_steps`` at most; None for
    as many as the others have.
    """
    class_epochs: Annotated[int, Count(1)] = 50
    """Passes of the classifier over the training items, at most. With validation, the state of its highest
    accuracy there is kept.
    """
    dropout: Annotated[float, Number(0, 0.99), SearchRange(0.0, 0.5), AddedLater(0.0)] = 0.0
    """Share of hidden units of the classifier that a step leaves out."""
    class_batch: Annotated[int, Count(2)] = 100
    """Training items in a batch of the classifier."""

    def joint_settings(self) -> RBMSettings:
        """Return the training of an RBM above groups of codes."""
        settings = self.rbm_settings(self.joint_rate, JOINT_DECAY, Sparsity())
        epochs = self.joint_epochs or self.rbm_epochs
        return replace(settings, budget=replace(self.rbm_budget, epochs=epochs))


@dataclass(frozen=True, eq=False)
class ClassCodes:
    """Class codes (n, width) of training and of validation items, the map to them, and how it was trained.

    The first step of the map gives the joint code; the second standardises that, and gives the class code.
    """

    map: Chain
    train: Codes
    validation: Codes
    trainings: list[Training[Any]]


def learn_class_codes(
    codes: tuple[Codes, Codes],
    widths: Mapping[str, int],
    classes: tuple[Labels, Labels],
    method: ClassCodedMethod,
    joint_units: int,
    name: Modality,
    run: Run,
) -> ClassCodes:
    """Learn class codes of the items of one modality, without looking at the other.

    A joint RBM over the groups of codes (a plain RBM if there is one group) gives the joint code. A
    classifier with ReLU learns from that, and its last hidden layer is the class code. Joint codes are
    standardised by training statistics, without which the classifier hardly learns in so few steps.

    Parameters
    ----------
    codes : in (0, 1), of training and of validation items (n, sum of widths), group beside group
    widths : of the groups by name, in their order
    classes : of training and of validation items, numbered from 0
    joint_units : hidden units of the joint RBM
    """
    # The joint RBM, whose hidden units are the joint code of an item
    rbm = JointRBM(widths, joint_units, run.stream(f"joint_{name}"))
    rows, held_out = (DeviceRows(each, None, run.device) for each in codes)
    stage = f"joint_{name}"
    first = train_rbm(rbm, rows, method.joint_settings(), stage, run, validation=held_out)
    joint = NetworkMap(hidden_layer(rbm), f"{name}s", unscaled(codes[0].shape[1]))
    joint_codes = joint(codes[0]), joint(codes[1])
    with collapse(f"joint codes of {name}s"):
        scaling = Scaling.fit(joint_codes[0], f"{name}s")
    train, validation = (
        LabelledView(name, rows, scaling, numbers) for rows, numbers in zip(joint_codes, classes, strict=True)
    )
    # The classifier of standardised joint codes, and its last hidden layer
    fitting = ClassifierFitting(method, train, validation, run)
    second = fitting.trained(f"classes_{name}")
    classifier = NetworkMap(last_hidden_layer(fitting.network), f"{name}s", scaling)
    train_codes, validation_codes = (classifier(rows) for rows in joint_codes)
    return ClassCodes(Chain(joint, classifier), train_codes, validation_codes, [first, second])


def last_hidden_layer(network: ViewNetwork) -> nn.Sequential:
    """Return the network without its last full connection, the same weights."""
    hidden = list(network.layers)[:-1]
    return nn.Sequential(*(module for layer in hidden for module in (layer, nn.ReLU())))


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
    number comes from the run through a stream of its own purpose and modality.
    """

    def __init__(
        self,
        method: ClassCodedMethod,
        train: LabelledView,
        validation: LabelledView,
        run: Run,
    ) -> None:
        self.method, self.train, self.validation = method, train, validation
        self.run, self._modality = run, train.modality
        self._features = DeviceRows(train.features, train.scaling, run.device)
        self._classes = torch.from_numpy(train.classes).to(run.device)
        self.batches = run.order(len(train.classes), method.class_batch, train.modality)
        random = run.stream(f"{train.modality} network")
        shape = Shape(LAYERS, method.width, int(train.classes.max()) + 1, "relu", float(method.dropout))
        self.network = ViewNetwork(train.features.shape[1], shape, random).to(run.device)
        self.optimizer = torch.optim.Adam(decayed([self.network], WEIGHT_DECAY), lr=RATE, fused=True)

    def trained(self, stage: str) -> Training[Index]:
        """Train the network as the stage of that name."""
        method, rounds = self.method, self.batches.rounds
        return self.run.train(
            stage,
            self.train_round,
            modules={self._modality: self.network},
            optimizers={self._modality: self.optimizer},
            draws=self.batches.epoch,
            rounds=rounds,
            epochs=method.class_epochs,
            patience=method.patience,
            score=self.look if method.stopping == "validation" else None,
        )

    def train_round(self, index: Index, norms: bool) -> Watched:
        """Move the network towards a lower cross-entropy of the rows of that index."""
        classes = picked(self._classes, index)
        logits = self.network(self._features.rows(index))
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
        return NetworkMap(self.network, f"{self._modality}s", self.train.scaling, torch.float64)
