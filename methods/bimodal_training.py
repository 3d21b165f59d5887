"""The training of a stack of bimodal autoencoders, each on the codes of the one below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from cmbench.methods.bimodal_autoencoder import BimodalAutoencoder, TripledPairs, bimodal_loss
from cmbench.methods.training.batches import Index
from cmbench.methods.training.device import CodeMap, Place, unscaled
from cmbench.methods.training.loop import Training, Watched
from cmbench.methods.training.pairs import PairCodes, PairFitting
from cmbench.methods.training.stages import Run
from cmbench.methods.views.inputs import MODALITIES, Modality
from cmbench.methods.views.scaling import Scaling

RATES = {"adam": 3e-3, "sgd": 0.05}


@dataclass(frozen=True)
class BimodalTraining:
    """How each autoencoder of a stack is trained; see ``CMDN`` for the meaning and the defaults.

    ``learning_rate="auto"`` is 0.003 for Adam, and 0.05 for SGD as in the released program.
    """

    first_level: int = 512
    label_weight: float = 1.0
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float | str = "auto"
    weight_decay: float = 1e-4
    batch_size: int = 231
    epochs: int = 200
    stopping: Literal["validation", "none"] = "validation"
    eval_epochs: int = 2
    patience: int = 10
    post: Literal["none", "zscore_train"] = "zscore_train"

    def code(self, number: int) -> int:
        """Return the size of the code of a level, counted from 1; each is half of the one before.

        >>> [BimodalTraining().code(number) for number in (1, 2, 3, 4)]
        [512, 256, 128, 64]
        """
        return max(1, self.first_level >> (number - 1))


class BimodalFitting(PairFitting):
    """One level of the stack and the codes it learns from, ready to be trained.

    ``number`` of the level counts from 1. Codes are in [0, 1], and labels are class numbers.
    """

    settings: BimodalTraining

    def __init__(
        self,
        number: int,
        settings: BimodalTraining,
        train: PairCodes,
        validation: PairCodes,
        place: Place,
        run: Run,
    ) -> None:
        self.number, self.settings, self.run = number, settings, run.part(f"level{number}")
        self.train, self.validation = train, validation
        self.pairs = TripledPairs(train.views, train.labels, place)
        widths = {name: train.views[name].shape[1] for name in MODALITIES}
        n_classes = int(train.labels.max()) + 1
        self.network = BimodalAutoencoder(widths, settings.code(number), n_classes, self.run.stream)
        self.network.to(place.device)
        self.batches = self.run.order(len(self.pairs), settings.batch_size, "rows")
        self.optimizer = self.optimizer_of([self.network], settings.weight_decay, RATES)

    def trained(self) -> Training[Index]:
        """Train as a stage of the run, to the state that is best on validation."""
        modules = {"network": self.network}
        return self.trained_as("autoencoder", modules, modules)

    def update(self, index: Index, norms: bool) -> Watched:
        """Descend the loss of those of the tripled rows."""
        batch = self.pairs.batch(index)
        return self.descend(*bimodal_loss(self.network, batch, self.settings.label_weight))

    def code_maps(self) -> dict[Modality, CodeMap]:
        """Return the maps from codes of the level below to those of single sides, as the network is now."""
        return {
            name: CodeMap(self.network.alone(name), f"{name}s", unscaled(width))
            for name, width in self.network.widths.items()
        }


@dataclass(frozen=True, eq=False)
class Level:
    """One level of the stack, trained: its maps, how it went, and how far its codes lie apart."""

    number: int
    maps: Mapping[Modality, CodeMap]
    training: Training[Index]
    code_deviation: float

    @classmethod
    def of(cls, fitting: BimodalFitting) -> Level:
        """Train ``fitting``."""
        training = fitting.trained()
        return cls(fitting.number, fitting.maps(), training, fitting.code_deviation())

    @property
    def score(self) -> tuple[float, ...]:
        """The best MAP on validation; minus infinity where nobody looked."""
        return self.training.best.score

    def codes(self, pairs: PairCodes) -> PairCodes:
        """Return the codes of each side alone, not standardised: what the level above learns from."""
        return PairCodes(
            {name: self.maps[name].encode(pairs.views[name]) for name in MODALITIES}, pairs.labels
        )

    def __str__(self) -> str:
        found = f" {self.score[0]:.4f}" if math.isfinite(self.score[0]) else ""
        return f"{self.number}{found}"


def train_levels(
    n_levels: int, settings: BimodalTraining, train: PairCodes, validation: PairCodes, place: Place, run: Run
) -> list[Level]:
    """Train so many levels, from the lowest, each on the codes that the kept state of the one below gives."""
    levels: list[Level] = []
    for number in range(1, n_levels + 1):
        levels.append(Level.of(BimodalFitting(number, settings, train, validation, place, run)))
        train, validation = levels[-1].codes(train), levels[-1].codes(validation)
    return levels


def stacked(levels: Sequence[Level], name: Modality, scaling: Scaling) -> CodeMap:
    """Return the map of what ``scaling`` brings into [0, 1] to the representations of the last level."""
    last = levels[-1].maps[name]
    network = nn.Sequential(*(part for level in levels for part in level.maps[name].network.children()))
    return CodeMap(network, last.view, scaling, last.standardising)
