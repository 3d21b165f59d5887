"""Codes of items that tell classes, learned from several codes of each: a stage of CMDN and of CCL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cmbench.datasets.draft import Modality
from cmbench.methods.networks.perceptron import ClassifierFitting, LabelledView, Shape, ViewNetwork
from cmbench.methods.networks.pretraining import PretrainedMethod, hidden_layer
from cmbench.methods.networks.rbm import JointRBM
from cmbench.methods.networks.unsupervised import RBMTraining, train_rbm
from cmbench.methods.parameters import Count, Number
from cmbench.methods.training.batches import Budget
from cmbench.methods.training.curves import collapse
from cmbench.methods.training.descent import Descent
from cmbench.methods.training.device import DeviceRows, NetworkMap, unscaled
from cmbench.methods.training.loop import Run, Training
from cmbench.methods.views.inputs import Labels
from cmbench.methods.views.maps import Chain
from cmbench.methods.views.scaling import Scaling

LAYERS = 3
WEIGHT_DECAY = 1e-4  # of the weights of the classifier
Codes: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class ClassTraining:
    """How class codes are learned.

    Parameters
    ----------
    joint, width : hidden units of the joint RBM, and of each layer of the classifier
    joint_training, descent : how the two are trained
    """

    joint: int
    width: int
    joint_training: RBMTraining
    descent: Descent


class ClassCodedMethod(PretrainedMethod):
    """A method with class codes among its stages, and the parameters that say how they are learned."""

    hidden_image: Annotated[int, Count(1)] = 2048
    """Hidden units of the lower RBM of images."""
    hidden_text: Annotated[int, Count(1)] = 1024
    """Hidden units of the lower RBM of texts."""
    width: Annotated[int, Count(1)] = 1024
    """Units of each of the three layers of the classifier, which have ReLU."""
    joint_rate: Annotated[float, Number(0, open_ends=True)] = 0.01
    """Learning rate of RBMs above two groups of codes. They run ``rbm_epochs`` or ``rbm_steps`` like the
    others.
    """
    class_epochs: Annotated[int, Count(1)] = 50
    """Passes of the classifier over the training items, at most. With validation, the state of its highest
    accuracy there is kept.
    """
    class_batch: Annotated[int, Count(2)] = 100
    """Training items in a batch of the classifier."""

    def _joint_training(self) -> RBMTraining:
        budget = Budget(self.rbm_epochs, self.rbm_steps, self.rbm_batch_size)
        return RBMTraining(self.joint_rate, budget=budget, cd_steps=self.cd_steps)

    def _class_training(self, joint: int) -> ClassTraining:
        descent = Descent(
            weight_decay=WEIGHT_DECAY,
            batch_size=self.class_batch,
            epochs=self.class_epochs,
            stopping=self.stopping,
            patience=self.patience,
        )
        return ClassTraining(joint, self.width, self._joint_training(), descent)


@dataclass(frozen=True, eq=False)
class ClassCodes:
    """A map of codes to class codes, those (n, width) of training and validation items, and its training.

    The first step of the map gives the joint code, and the second, of the standardised joint code, the class
    code.
    """

    map: Chain
    train: Codes
    validation: Codes
    trainings: list[Training[Any]]


def learn_class_codes(
    codes: tuple[Codes, Codes],
    widths: Mapping[str, int],
    classes: tuple[Labels, Labels],
    settings: ClassTraining,
    name: Modality,
    run: Run,
) -> ClassCodes:
    """Learn from codes of items of one modality the last hidden layer of a classifier with ReLU.

    Between them is a joint RBM over the groups of codes; one group alone makes it a plain RBM. Its codes
    are standardised by training statistics, without which the classifier hardly learns in so few steps.

    Parameters
    ----------
    codes : in (0, 1), of training and of validation items (n, sum of widths), group beside group
    widths : of the groups by name, in their order
    classes : of training and of validation items, numbered from 0
    """
    first, layer = _joint_layer(codes[0], widths, settings, name, run)
    joint = NetworkMap(layer, f"{name}s", unscaled(codes[0].shape[1]))
    inner = joint(codes[0]), joint(codes[1])
    with collapse(f"joint codes of {name}s"):
        scaling = Scaling.fit(inner[0], f"{name}s")
    seen, unseen = (
        LabelledView(name, rows, scaling, numbers) for rows, numbers in zip(inner, classes, strict=True)
    )
    shape = Shape(LAYERS, settings.width, int(classes[0].max()) + 1, "relu")
    fitting = ClassifierFitting(seen, unseen, shape, settings.descent, run)
    second = fitting.trained(f"classes_{name}")
    outer = NetworkMap(last_hidden_layer(fitting.network), f"{name}s", scaling)
    return ClassCodes(Chain(joint, outer), outer(inner[0]), outer(inner[1]), [first, second])


def _joint_layer(
    codes: Codes, widths: Mapping[str, int], settings: ClassTraining, name: Modality, run: Run
) -> tuple[Training[Any], nn.Sequential]:
    stage, rows = f"joint_{name}", DeviceRows(codes, None, run.device)
    joint = JointRBM(widths, settings.joint, run.stream(stage))
    training = train_rbm(joint, rows, settings.joint_training, stage, run)
    return training, hidden_layer(joint)


def last_hidden_layer(network: ViewNetwork) -> nn.Sequential:
    """Return the network without its last full connection, the same weights."""
    hidden = list(network.layers)[:-1]
    return nn.Sequential(*(module for layer in hidden for module in (layer, nn.ReLU())))
