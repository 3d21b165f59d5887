"""The training of a correspondence autoencoder on the codes of training pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cmbench.datasets.contract import Split
from cmbench.evaluator import bimodal_map
from cmbench.methods.budgeted_training import Run
from cmbench.methods.code_map import CodeMap
from cmbench.methods.correspondence_autoencoder import (
    CorrespondenceAutoencoder,
    Variant,
    correspondence_loss,
)
from cmbench.methods.cross_modal_networks import MODALITIES, Modality
from cmbench.methods.pair_sampler import Index
from cmbench.methods.scheduled_sgd import ScheduledSGD
from cmbench.methods.training_device import Place
from cmbench.methods.training_loop import Length, Task, Training, Watched
from cmbench.methods.training_rows import TrainingRows, unscaled
from cmbench.methods.view_network import decayed

ADAM_RATE = 1e-3
RELEASED_RATES: dict[Variant, float] = {"corr": 0.05, "cross": 0.01, "full": 0.05}
ROWS_OF_A_LOOK = 4096  # training rows that a look at validation may have to encode


@dataclass(frozen=True)
class CorrespondenceTraining:
    """How an autoencoder is trained; see ``CorrAE`` for the meaning and the defaults.

    ``learning_rate="auto"`` is 0.001 for Adam, and what the released program has for SGD.
    """

    embedding: int = 1024
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float | str = "auto"
    weight_decay: float = 1e-4
    batch_size: int = 100
    epochs: int = 200
    stopping: Literal["validation", "none"] = "validation"
    eval_epochs: int = 1
    patience: int = 20
    post: Literal["none", "zscore_train"] = "zscore_train"

    def epochs_of(self, steps: int, n_pairs: int) -> int:
        """Return the epochs that so many steps take, made up to a whole number.

        >>> CorrespondenceTraining(batch_size=100).epochs_of(25, 1000)
        3
        """
        return -(-steps // max(1, n_pairs // min(self.batch_size, n_pairs)))


@dataclass(frozen=True, eq=False)
class PairCodes:
    """Codes of the pairs of a split: row i of each array (n, code) is of pair i."""

    views: Mapping[Modality, NDArray[np.float32]]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, split: Split, maps: Mapping[Modality, CodeMap]) -> PairCodes:
        """Map both views of a split."""
        features: dict[Modality, NDArray[Any]] = {"image": split.images, "text": split.texts}
        return cls({name: maps[name].encode(features[name]) for name in MODALITIES}, split.labels)


class CorrespondenceFitting:
    """An autoencoder of one variant and one alpha, and the codes it learns from, ready to be trained.

    Initial encoders and the order of pairs depend on the seed alone, so that variants and values of alpha
    are compared from the same start.
    """

    def __init__(
        self,
        variant: Variant,
        alpha: float,
        settings: CorrespondenceTraining,
        train: PairCodes,
        validation: PairCodes,
        place: Place,
        run: Run,
    ) -> None:
        self.variant, self.alpha, self.settings, self.run = variant, alpha, settings, run
        self.train, self.validation = train, validation
        self.rows = {name: TrainingRows(codes, None, place) for name, codes in train.views.items()}
        width = self.rows["image"].width
        self.network = CorrespondenceAutoencoder(width, settings.embedding, variant, run.stream)
        self.network.to(place.device)
        self.batches = run.order(len(train.labels), settings.batch_size, "pairs")
        self.optimizer = self._optimizer()

    def tried(self) -> float:
        """Train as a stage of the run, and return the highest MAP on validation."""
        (score,) = self._trained(f"trial_{self._stage}").best.score
        return score

    def trained(self) -> Training[Index]:
        """Train as a stage of the run, to the state that is best on validation."""
        return self._trained(self._stage)

    @property
    def _stage(self) -> str:
        return f"{self.variant}_{self.alpha:g}"

    def _trained(self, stage: str) -> Training[Index]:
        settings, rounds = self.settings, self.batches.rounds
        task = Task(
            name=self.run.method,
            modules={"autoencoder": self.network},
            kept={"encoders": self.network.encoders},
            optimizers={"autoencoder": self.optimizer},
            items=self.batches.epoch,
            rounds=rounds,
            step=self.update,
            score=None if settings.stopping == "none" else self.validation_map,
        )
        training = Training(task, Length(settings.epochs, settings.eval_epochs * rounds, settings.patience))
        self.run.run(stage, training)
        return training

    def update(self, index: Index, norms: bool) -> Watched:
        """Descend the loss of the pairs of that index."""
        inputs = {name: self.rows[name].rows(index) for name in MODALITIES}
        loss, terms = correspondence_loss(self.network, inputs, self.alpha)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        values = {"loss": loss, **{f"{name}_loss": term for name, term in terms.items()}}
        return [(self.run.prefix + name, value.detach()) for name, value in values.items()]

    def validation_map(self) -> float:
        """Return the mean of the two bi-modal MAPs of the validation pairs, as the networks are now."""
        maps = self.maps(every=-(-len(self.train.labels) // ROWS_OF_A_LOOK))
        images, texts = (maps[name](self.validation.views[name]) for name in MODALITIES)
        return bimodal_map(images, texts, self.validation.labels)

    def maps(self, *, every: int = 1) -> dict[Modality, CodeMap]:
        """Return the maps from stage-1 codes to representations, as the networks are now.

        ``every`` n-th training row gives the statistics where representations are standardised.
        """
        maps = {
            name: CodeMap(self.network.encoders[name], f"{name}s", unscaled(self.rows[name].width))
            for name in MODALITIES
        }
        if self.settings.post == "none":
            return maps
        return {name: maps[name].standardised(self.train.views[name][::every]) for name in MODALITIES}

    def code_deviation(self) -> float:
        """Return the mean standard deviation of code units over validation items, of the lesser modality."""
        encoders = self.network.encoders
        codes = (
            CodeMap(encoders[name], f"{name}s", unscaled(view.shape[1])).encode(view)
            for name, view in self.validation.views.items()
        )
        return min(float(each.std(axis=0).mean()) for each in codes)

    def _optimizer(self) -> torch.optim.Optimizer:
        settings = self.settings
        groups = decayed([self.network], settings.weight_decay)
        rate = settings.learning_rate
        if settings.optimizer == "adam":
            return torch.optim.Adam(groups, lr=ADAM_RATE if isinstance(rate, str) else rate, fused=True)
        steps = settings.epochs * self.batches.rounds
        released = RELEASED_RATES[self.variant] if isinstance(rate, str) else rate
        return ScheduledSGD(groups, released, momentum_steps=steps / 2)
