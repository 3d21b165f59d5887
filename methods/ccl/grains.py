"""The two grains of CCL: codes of items as wholes (coarse), and of items by their parts (fine)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Modality, Parts, Split, offsets_of
from cmbench.errors import MethodError
from cmbench.methods.corr_ae.correspondence import CorrespondenceFitting, CorrespondenceSettings
from cmbench.methods.networks.pretraining import train_stack
from cmbench.methods.training.device import DeviceRows, NetworkMap
from cmbench.methods.training.loop import Run, Trainings
from cmbench.methods.training.pairs import PairCodes
from cmbench.methods.views.inputs import MODALITIES
from cmbench.methods.views.maps import Chain, RowMap
from cmbench.methods.views.scaling import Scaling

if TYPE_CHECKING:
    from cmbench.methods.ccl.method import CCLCoarse


@dataclass(frozen=True, eq=False)
class Items:
    """One view of n items: features (n, d), and the parts of each where there are any."""

    features: NDArray[Any]
    parts: Parts | None = None


def items_of(split: Split) -> dict[Modality, Items]:
    """Return both views of a split, with their parts."""
    return {name: Items(features, split.parts[name]) for name, features in split.views.items()}


def features_of(items: Items) -> NDArray[Any]:
    """Return the features (n, d) of items as wholes."""
    return items.features


@dataclass(frozen=True, eq=False)
class PartMeans:
    """Maps an item to the mean of the codes of its parts; ``codes`` maps each part by itself."""

    codes: NetworkMap

    @property
    def steps(self) -> tuple[RowMap, ...]:
        """The map of parts, which is what this map consists of."""
        return (self.codes,)

    def __call__(self, items: Items) -> NDArray[np.float32]:
        """Map n items to (n, k)."""
        parts = completed(items, self.codes.view)
        return part_means(self.codes(parts.values), parts.offsets)


def completed(items: Items, view: str) -> Parts:
    """Return the parts of items; an item without any counts as its own only part.

    The released program of CCL does so. ``view`` is what items are called in errors, "images" say.

    Raises
    ------
    MethodError
        No parts are given, those of another number of items, or an item without parts has another width.
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
    # The features of an item without parts go in where its parts would be
    empty = np.flatnonzero(counts == 0)
    values = np.insert(parts.values, parts.offsets[empty], features[empty], axis=0)
    return Parts(values, offsets_of(np.maximum(counts, 1)))


def part_means(codes: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the mean code (n, k) of each item's parts, from the codes (m, k) of all parts.

    The parts of item i are rows ``offsets[i]`` to ``offsets[i + 1]``, of which there is at least one.

    >>> part_means(np.array([[1.0], [3.0], [5.0]]), np.array([0, 2, 3])).tolist()
    [[2.0], [5.0]]
    """
    sums = np.add.reduceat(codes, offsets[:-1], axis=0, dtype=np.float64)
    return (sums / np.diff(offsets)[:, None]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Grain:
    """What the RBMs of a grain learn from, and how an item gets a code from them.

    Parameters
    ----------
    rows : (m, d) by modality: the features of wholes, or of all parts
    validation : the same of validation items, by which RBMs end
    scalings : of these rows, by modality
    of_items : takes the map of rows to codes, and returns the map of items to codes
    """

    rows: Mapping[Modality, NDArray[Any]]
    validation: Mapping[Modality, NDArray[Any]]
    scalings: Mapping[Modality, Scaling]
    of_items: Callable[[NetworkMap], RowMap]


def learn_grain(
    grain: Grain, items: Mapping[Modality, Any], method: CCLCoarse, run: Run
) -> tuple[dict[Modality, Chain], Trainings]:
    """Learn codes of pairs, n ``items`` of each modality, by one grain; return maps to them, and trainings.

    Two RBMs, or a denoising autoencoder, learn from the rows of the grain and give each item a code. A
    correspondence autoencoder (variant ``corr``) then draws the codes of a pair together.
    """
    # A code of each item within its modality
    hidden: dict[Modality, int] = {"image": method.hidden_image, "text": method.hidden_text}
    trainings: Trainings = []
    first_maps: dict[Modality, RowMap] = {}
    for name in MODALITIES:
        rows, held_out = (
            DeviceRows(each[name], grain.scalings[name], run.device)
            for each in (grain.rows, grain.validation)
        )
        stack = train_stack(rows, hidden[name], method, name, run, validation=held_out)
        trainings += stack.trainings
        first_maps[name] = grain.of_items(NetworkMap(stack.network, f"{name}s", grain.scalings[name]))
    # Codes of both modalities drawn together
    codes = {name: first_maps[name](items[name]) for name in MODALITIES}
    fitting = _correspondence(codes, method, run)
    trainings.append(fitting.trained())
    second_maps = fitting.code_maps()
    return {name: Chain(first_maps[name], second_maps[name]) for name in MODALITIES}, trainings


def _correspondence(
    codes: Mapping[Modality, NDArray[np.float32]], method: CCLCoarse, run: Run
) -> CorrespondenceFitting:
    """Return the correspondence autoencoder, not yet trained; it looks at neither labels nor validation."""
    n, batch = len(codes["image"]), method.correlation_batch
    settings = CorrespondenceSettings(method.code, batch_size=batch, stopping="none", post="none")
    longest = settings.epochs_of(method.rbm_steps, n)
    settings = replace(settings, epochs=min(method.correlation_epochs, longest))
    pairs = PairCodes(codes, np.zeros(n, np.int64))
    return CorrespondenceFitting("corr", method.alpha, settings, pairs, pairs, run)
