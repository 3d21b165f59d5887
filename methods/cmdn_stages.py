"""The first stage of CMDN: codes of each modality by itself, and codes in view of the other modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cmbench.methods.networks.class_codes import ClassMap
from cmbench.methods.networks.pretraining import Pretraining, train_stack
from cmbench.methods.networks.rbm import GroupCode, JointRBM
from cmbench.methods.networks.unsupervised import RBMTraining, train_rbm
from cmbench.methods.stacked_autoencoder import (
    StackedAutoencoder,
    StackedTraining,
    train_stacked_autoencoder,
)
from cmbench.methods.training.device import CodeMap, Place, TrainingRows
from cmbench.methods.training.loop import Training
from cmbench.methods.training.stages import Run, Trainings
from cmbench.methods.views.inputs import MODALITIES, Matrix, Modality
from cmbench.methods.views.scaling import Scaling, UnitScaling

Views: TypeAlias = Mapping[Modality, NDArray[Any]]
"""Features of both modalities; row i of each is of pair i."""


@dataclass(frozen=True)
class IntraTraining:
    """How codes of a modality by itself are learned: layers beside the code, code, training."""

    hidden: int
    code: int
    training: StackedTraining


@dataclass(frozen=True)
class InterTraining:
    """How codes in view of the other modality are learned.

    Parameters
    ----------
    hidden : of the lower RBM of each modality
    pretraining : of both RBMs of each modality
    joint, joint_training : hidden units of the joint RBM, and how it is trained
    """

    hidden: Mapping[Modality, int]
    pretraining: Pretraining
    joint: int
    joint_training: RBMTraining


@dataclass(frozen=True, eq=False)
class IntraMap:
    """A row becomes the code of a stacked autoencoder, brought into [0, 1]."""

    codes: CodeMap
    unit: UnitScaling

    def encode(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Map features (n, d) to (n, code)."""
        return self.unit.encode(self.codes.encode(features))


@dataclass(frozen=True, eq=False)
class TwofoldMap:
    """A row becomes both its codes side by side."""

    intra: IntraMap
    inter: CodeMap
    widths: Mapping[str, int]

    def encode(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Map features (n, d) to (n, sum of ``widths``), all in [0, 1]."""
        return np.hstack([self.intra.encode(features), self.inter.encode(features)])


TwofoldMaps: TypeAlias = dict[Modality, TwofoldMap]


def learn_intra_codes(
    features: NDArray[Any], settings: IntraTraining, name: Modality, place: Place, run: Run
) -> tuple[IntraMap, Trainings]:
    """Learn codes of ``features`` (n, d) of one modality by a stacked autoencoder.

    Features are brought into [0, 1] column by column, since its reconstructions are logistic, and codes
    all by one range.
    """
    scaling = UnitScaling.of_columns(features, f"{name}s")
    rows = TrainingRows(features, scaling, place)
    network = StackedAutoencoder(rows.width, settings.hidden, settings.code, run.stream(f"sae_{name}"))
    trainings = train_stacked_autoencoder(network, rows, settings.training, name, run)
    codes = CodeMap(network.encoder, f"{name}s", scaling)
    unit = UnitScaling.of_all(codes.encode(features), f"codes of the stacked autoencoder of {name}s")
    return IntraMap(codes, unit), [*trainings]


def learn_inter_codes(
    views: Views, scalings: Mapping[Modality, Scaling], settings: InterTraining, place: Place, run: Run
) -> tuple[dict[Modality, CodeMap], Trainings]:
    """Learn codes of pairs by a multimodal deep belief network.

    RBMs, or an autoencoder, give a code of each modality, and a joint RBM stands above both. The code of
    an item is the mean field of the hidden units of that one, where the other modality is not known.
    """
    trainings: Trainings = []
    below: dict[Modality, CodeMap] = {}
    for name in MODALITIES:
        rows = TrainingRows(views[name], scalings[name], place)
        stack = train_stack(rows, settings.hidden[name], settings.pretraining, name, run)
        trainings += stack.trainings
        below[name] = CodeMap(stack.network, f"{name}s", scalings[name])
    joint, training = _joint_rbm(below, views, settings, place, run)
    above = {name: _with_code(below[name], GroupCode(joint, name)) for name in MODALITIES}
    return above, [*trainings, training]


def _joint_rbm(
    below: Mapping[Modality, CodeMap], views: Views, settings: InterTraining, place: Place, run: Run
) -> tuple[JointRBM, Training[Any]]:
    codes = [below[name].encode(views[name]) for name in MODALITIES]
    widths = {str(name): own.shape[1] for name, own in zip(MODALITIES, codes, strict=True)}
    joint = JointRBM(widths, settings.joint, run.stream("joint"))
    rows = TrainingRows(np.hstack(codes), None, place)
    return joint, train_rbm(joint, rows, settings.joint_training, "joint", run)


def _with_code(below: CodeMap, code: GroupCode) -> CodeMap:
    return CodeMap(nn.Sequential(*below.network.children(), code), below.view, below.scaling)


def learn_separate_codes(
    views: Views,
    scalings: Mapping[Modality, Scaling],
    intra: IntraTraining,
    inter: InterTraining,
    place: Place,
    run: Run,
) -> tuple[TwofoldMaps, Trainings]:
    """Learn both codes of each modality; ``scalings`` are of the features that the RBMs learn from."""
    trainings: Trainings = []
    own: dict[Modality, IntraMap] = {}
    for name in MODALITIES:
        own[name], more = learn_intra_codes(views[name], intra, name, place, run)
        trainings += more
    mutual, more = learn_inter_codes(views, scalings, inter, place, run)
    widths = {"intra": intra.code, "inter": inter.joint}
    return {name: TwofoldMap(own[name], mutual[name], widths) for name in MODALITIES}, trainings + more


@dataclass(frozen=True, eq=False)
class SharedMap:
    """Items of one modality become their representations, from both codes by way of class codes."""

    separate: TwofoldMap
    classes: ClassMap
    common: CodeMap

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to (n, k)."""
        return self.common(self.classes.encode(self.separate.encode(features)))

    def on_cpu(self) -> SharedMap:
        """Return it after moving all its networks."""
        separate, classes = self.separate, self.classes
        for code in (separate.intra.codes, separate.inter, classes.joint, classes.classes, self.common):
            code.network.cpu()
        return self
