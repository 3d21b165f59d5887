"""Networks that map both views of pairs into one space, judged on the validation pairs while they train."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cmbench.datasets.draft import Modality, Split
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.training.batches import EpochBatches, Index
from cmbench.methods.training.descent import ScheduledSGD, decayed
from cmbench.methods.training.device import NetworkMap, standardised
from cmbench.methods.training.loop import Dependence, Run, Training, Watched
from cmbench.methods.views.inputs import MODALITIES
from cmbench.methods.views.maps import Chain, RowMap, in_float64

ROWS_OF_A_LOOK = 4096  # training rows that a look at validation may have to encode


@dataclass(frozen=True, eq=False)
class PairCodes:
    """Features or codes (n, d) of both views of n pairs, and their labels: row i of each is of pair i."""

    views: Mapping[Modality, NDArray[np.float32]]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, split: Split, maps: Mapping[Modality, RowMap]) -> PairCodes:
        """Map both views of a split."""
        views = split.views
        return cls({name: maps[name](views[name]) for name in MODALITIES}, split.targets)


class PairMapping(ABC):
    """The networks of both views, the pairs they learn from, and those on which they are judged."""

    train: PairCodes
    validation: PairCodes

    @property
    @abstractmethod
    def standardises(self) -> bool:
        """Whether representations are standardised by statistics of training rows."""

    @abstractmethod
    def code_maps(self) -> Mapping[Modality, NetworkMap]:
        """Return the maps into the common space as the networks are now, not standardised."""

    def maps(self, *, every: int = 1) -> dict[Modality, Chain]:
        """Return the maps to representations, as the networks are now.

        ``every`` n-th training row gives the statistics where representations are standardised.
        """
        code_maps, train = self.code_maps(), self.train.views
        if not self.standardises:
            return {name: Chain(code_maps[name], in_float64) for name in MODALITIES}
        return {name: standardised(code_maps[name], train[name][::every]) for name in MODALITIES}

    def code_deviation(self) -> float:
        """Return the mean standard deviation of code units over validation items, the lower of the two views.

        Codes are those of the networks as they are now, not standardised.
        """
        codes = [code_map(self.validation.views[name]) for name, code_map in self.code_maps().items()]
        return min(float(rows.std(axis=0).mean()) for rows in codes)

    def validation_map(self) -> float:
        """Return the mean of the two bi-modal MAPs of the validation pairs, as the networks are now.

        Where representations are standardised, the statistics are those of ``ROWS_OF_A_LOOK`` training
        rows at most, so that a look takes no longer with more training pairs.
        """
        maps = self.maps(every=-(-len(self.train.labels) // ROWS_OF_A_LOOK))
        images, texts = (maps[name](self.validation.views[name]) for name in MODALITIES)
        return bimodal_map(images, texts, self.validation.labels)


class PairSettings(Protocol):
    """How to descend, how long, when to look at validation pairs, and whether to standardise."""

    @property
    def optimizer(self) -> str: ...
    @property
    def learning_rate(self) -> float | str: ...
    @property
    def epochs(self) -> int: ...
    @property
    def stopping(self) -> str: ...
    @property
    def eval_epochs(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def post(self) -> str: ...


class PairFitting(PairMapping):
    """The training of networks that bring codes of both modalities into one space.

    A subclass builds the networks, sets ``settings``, ``run``, ``batches`` and ``optimizer``, and writes
    ``update``, the step of the loop, and ``code_maps``. CCL, CMDN and Corr-AE each have one.
    """

    settings: PairSettings
    run: Run
    batches: EpochBatches
    optimizer: torch.optim.Optimizer

    @abstractmethod
    def update(self, index: Index, norms: bool) -> Watched:
        """Make one step down the gradient of the loss of these rows; return the loss and its terms.

        ``norms`` asks for norms of gradients too; these methods record none.
        """

    def optimizer_of(
        self, networks: Sequence[nn.Module], weight_decay: float, rates: Mapping[str, float]
    ) -> torch.optim.Optimizer:
        """Return Adam or the released SGD; ``rates`` say what a rate of "auto" stands for with each."""
        settings = self.settings
        rate = settings.learning_rate
        rate = rates[settings.optimizer] if isinstance(rate, str) else rate
        groups = decayed(networks, weight_decay)
        if settings.optimizer == "adam":
            return torch.optim.Adam(groups, lr=rate, fused=True)
        return self.released_sgd(groups, rate)

    def released_sgd(self, groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
        """Return the SGD of the deepnet program; its momentum has a time constant of half of all steps."""
        return ScheduledSGD(groups, rate, momentum_steps=self.settings.epochs * self.batches.rounds / 2)

    @property
    def standardises(self) -> bool:
        """Whether parameter ``post`` says that representations are standardised."""
        return self.settings.post != "none"

    def trained_as(
        self,
        stage: str,
        modules: Mapping[str, nn.Module],
        kept: Mapping[str, nn.Module],
        *,
        pause: int | None = None,
        dependence: Dependence | None = None,
    ) -> Training[Any]:
        """Train ``modules`` as the stage of that name, and leave those of ``kept`` in their best state.

        With ``pause`` they are trained for so many epochs only; ``run.go_on`` trains them to the end. See
        ``Run.train`` for ``dependence``.
        """
        settings, rounds = self.settings, self.batches.rounds
        return self.run.train(
            stage,
            self.update,
            modules=modules,
            kept=kept,
            optimizers={stage: self.optimizer},
            draws=self.batches.epoch,
            rounds=rounds,
            epochs=settings.epochs,
            look_every=settings.eval_epochs * rounds,
            patience=settings.patience,
            score=None if settings.stopping == "none" else self.validation_map,
            pause=pause,
            dependence=dependence,
        )

    def descend(self, loss: torch.Tensor, terms: Mapping[str, torch.Tensor]) -> Watched:
        """Make a step down the gradient of ``loss``; return it and its terms by the names of their curves."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        values = {"loss": loss, **{f"{name}_loss": term for name, term in terms.items()}}
        return [(self.run.prefix + name, value.detach()) for name, value in values.items()]
