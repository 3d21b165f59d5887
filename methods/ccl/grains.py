"""The grains of CCL: codes of items as wholes, and of their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Parts, Split
from cmbench.errors import MethodError
from cmbench.methods.corr_ae.correspondence import CorrespondenceFitting, CorrespondenceTraining
from cmbench.methods.networks.class_codes import ClassMap
from cmbench.methods.networks.pretraining import Pretraining, train_stack
from cmbench.methods.training.device import CodeMap, Place, TrainingRows
from cmbench.methods.training.pairs import PairCodes
from cmbench.methods.training.stages import Run, Trainings
from cmbench.methods.views.inputs import MODALITIES, Matrix, Modality
from cmbench.methods.views.scaling import Scaling


@dataclass(frozen=True, eq=False)
class Items:
    """One view of n items: features (n, d), and the parts of each where there are any."""

    features: NDArray[Any]
    parts: Parts | None = None


def items_of(split: Split) -> dict[Modality, Items]:
    """Return both views of a split."""
    return {
        "image": Items(split.images, split.image_parts),
        "text": Items(split.texts, split.text_parts),
    }


@dataclass(frozen=True, eq=False)
class WholeMap:
    """Items become what a map makes of their features, whatever their parts."""

    codes: CodeMap

    def encode(self, items: Items) -> NDArray[np.float32]:
        """Map n items to (n, k)."""
        return self.codes.encode(items.features)


@dataclass(frozen=True, eq=False)
class PartMap:
    """Items become the mean of what a map makes of their parts, each part by itself."""

    codes: CodeMap

    def encode(self, items: Items) -> NDArray[np.float32]:
        """Map n items to (n, k)."""
        parts = completed(items, self.codes.view)
        return part_means(self.codes.encode(parts.values), parts.offsets)


def completed(items: Items, view: str) -> Parts:
    """Return the parts of items; one without any counts as its only part.

    This is what the released program of CCL does. Items of which none has parts raise ``MethodError``.
    """
    features, parts = items.features, items.parts
    if parts is None:
        raise MethodError(
            f"{view} come without parts, which this method needs; take one that does not, ccl-coarse say"
        )
    counts = np.diff(parts.offsets)
    if len(counts) != len(features):
        raise MethodError(f"there are {len(features)} {view}, but parts of {len(counts)}; give parts of each")
    if counts.all():
        return parts
    if parts.values.shape[1] != features.shape[1]:
        raise MethodError(
            f"{view} row {int(np.argmin(counts))} has no parts, and cannot be its own: parts have "
            f"{parts.values.shape[1]} features and {view} {features.shape[1]}; give each item a part"
        )
    empty = np.flatnonzero(counts == 0)
    values = np.insert(parts.values, parts.offsets[empty], features[empty], axis=0)
    return Parts(values, np.concatenate([[0], np.cumsum(np.maximum(counts, 1))]).astype(np.int64))


def part_means(codes: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the means (n, k) of codes of parts (m, k), of which none of the n items is without.

    >>> part_means(np.array([[1.0], [3.0], [5.0]]), np.array([0, 2, 3])).tolist()
    [[2.0], [5.0]]
    """
    sums = np.add.reduceat(codes, offsets[:-1], axis=0, dtype=np.float64)
    return (sums / np.diff(offsets)[:, None]).astype(np.float32)


GrainKind: TypeAlias = type[WholeMap] | type[PartMap]


@dataclass(frozen=True)
class GrainTraining:
    """How the codes of one grain are learned; see ``CCLCoarse`` for the meaning and the defaults."""

    hidden: Mapping[Modality, int]
    pretraining: Pretraining
    alpha: float
    correlation_epochs: int
    correlation_batch: int


@dataclass(frozen=True, eq=False)
class GrainMap:
    """Items become codes of their whole, or mean codes of their parts, and then those of an autoencoder."""

    items: WholeMap | PartMap
    correlated: CodeMap

    def encode(self, items: Items) -> NDArray[np.float32]:
        """Map n items to (n, code)."""
        return self.correlated.encode(self.items.encode(items))


def learn_grain(
    views: Mapping[Modality, Items],
    scalings: Mapping[Modality, Scaling],
    kind: GrainKind,
    settings: GrainTraining,
    place: Place,
    run: Run,
) -> tuple[dict[Modality, GrainMap], Trainings]:
    """Learn codes of pairs, ``views`` of n items each, from their wholes or from their parts.

    RBMs, or an autoencoder, on wholes or on all parts as rows of their own, give each item a code; a
    correspondence autoencoder (``corr``) then draws the codes of a pair together.
    """
    trainings: Trainings = []
    maps: dict[Modality, WholeMap | PartMap] = {}
    for name in MODALITIES:
        rows = TrainingRows(_rows_of(kind, views[name], f"{name}s"), scalings[name], place)
        stack = train_stack(rows, settings.hidden[name], settings.pretraining, name, run)
        trainings += stack.trainings
        maps[name] = kind(CodeMap(stack.network, f"{name}s", scalings[name]))
    codes = {name: maps[name].encode(views[name]) for name in MODALITIES}
    fitting = _correlation(codes, settings, place, run)
    trainings.append(fitting.trained())
    correlated = fitting.maps()
    return {name: GrainMap(maps[name], correlated[name]) for name in MODALITIES}, trainings


def _rows_of(kind: GrainKind, items: Items, view: str) -> NDArray[Any]:
    return completed(items, view).values if kind is PartMap else items.features


def _correlation(
    codes: Mapping[Modality, NDArray[np.float32]], settings: GrainTraining, place: Place, run: Run
) -> CorrespondenceFitting:
    n, batch = len(codes["image"]), settings.correlation_batch
    training = CorrespondenceTraining(
        settings.pretraining.code, batch_size=batch, stopping="none", post="none"
    )
    longest = training.epochs_of(settings.pretraining.rbm_steps, n)
    training = replace(training, epochs=min(settings.correlation_epochs, longest))
    pairs = PairCodes(codes, np.zeros(n, np.int64))
    return CorrespondenceFitting("corr", settings.alpha, training, pairs, pairs, place, run)


def side_by_side(grains: Sequence[GrainMap], items: Items) -> NDArray[np.float32]:
    """Return the codes of items of all grains in one matrix (n, sum of widths)."""
    return np.hstack([grain.encode(items) for grain in grains])


@dataclass(frozen=True, eq=False)
class GrainedMap:
    """Items of one modality become their representations, by way of one grain or two.

    Parameters
    ----------
    grains : maps of items to codes, which go side by side
    classes : of these to class codes
    common : of these to representations
    parts : of the items that come without, if it is known which will
    """

    grains: Sequence[GrainMap]
    classes: ClassMap
    common: CodeMap
    parts: Parts | None = None

    def __call__(self, features: NDArray[Any], parts: Parts | None = None) -> Matrix:
        """Map n items, with features (n, d) and where there is a fine grain their parts, to (n, k)."""
        codes = side_by_side(self.grains, Items(features, self.parts if parts is None else parts))
        return self.common(self.classes.encode(codes))

    def on_cpu(self) -> GrainedMap:
        """Return it after moving all its networks."""
        inner = [code for grain in self.grains for code in (grain.items.codes, grain.correlated)]
        for code in (*inner, self.classes.joint, self.classes.classes, self.common):
            code.network.cpu()
        return self
