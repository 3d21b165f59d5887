"""What trainings on codes of pairs have in common: how they are run, and what one update does."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from cmbench.methods.budgeted_training import Run
from cmbench.methods.epoch_batches import EpochBatches
from cmbench.methods.pair_mapping import PairMapping
from cmbench.methods.pair_sampler import Index
from cmbench.methods.scheduled_sgd import ScheduledSGD
from cmbench.methods.training_loop import Length, Task, Training, Watched
from cmbench.methods.view_network import decayed


class PairTraining(Protocol):
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
    """Networks that bring codes of both modalities into one space, and the pairs they learn it from."""

    settings: PairTraining
    run: Run
    batches: EpochBatches
    optimizer: torch.optim.Optimizer

    @abstractmethod
    def update(self, index: Index, norms: bool) -> Watched:
        """Descend the loss of the rows of that index."""

    def optimizer_of(
        self, networks: Sequence[nn.Module], weight_decay: float, rates: Mapping[str, float]
    ) -> torch.optim.Optimizer:
        """Return Adam or the released SGD; ``rates`` are what the learning rate "auto" stands for in each."""
        settings = self.settings
        rate = settings.learning_rate
        rate = rates[settings.optimizer] if isinstance(rate, str) else rate
        groups = decayed(networks, weight_decay)
        if settings.optimizer == "adam":
            return torch.optim.Adam(groups, lr=rate, fused=True)
        return self.released_sgd(groups, rate)

    def released_sgd(self, groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
        """Return the SGD of the deepnet program, with its momentum's time constant scaled to the length."""
        return ScheduledSGD(groups, rate, momentum_steps=self.settings.epochs * self.batches.rounds / 2)

    @property
    def standardises(self) -> bool:
        return self.settings.post != "none"

    def trained_as(
        self, stage: str, modules: Mapping[str, nn.Module], kept: Mapping[str, nn.Module]
    ) -> Training[Any]:
        """Train as a stage of the run; the state of ``kept`` that is best on validation is left."""
        settings, rounds = self.settings, self.batches.rounds
        task = Task(
            name=self.run.method,
            modules=modules,
            kept=kept,
            optimizers={stage: self.optimizer},
            items=self.batches.epoch,
            rounds=rounds,
            step=self.update,
            score=None if settings.stopping == "none" else self.validation_map,
        )
        training = Training(task, Length(settings.epochs, settings.eval_epochs * rounds, settings.patience))
        self.run.run(stage, training)
        return training

    def descend(self, loss: torch.Tensor, terms: Mapping[str, torch.Tensor]) -> Watched:
        """Step down the gradient of ``loss``, and return it and its terms as points of curves."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        values = {"loss": loss, **{f"{name}_loss": term for name, term in terms.items()}}
        return [(self.run.prefix + name, value.detach()) for name, value in values.items()]
