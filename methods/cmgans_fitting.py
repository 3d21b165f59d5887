"""The training of CM-GANs from the first epoch to the state that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cmbench.datasets.contract import Split
from cmbench.evaluator import bimodal_map
from cmbench.methods.best_state import BestState
from cmbench.methods.cmgans_objective import Batch, Views
from cmbench.methods.cmgans_parameters import Schedule, Settings
from cmbench.methods.cmgans_updates import Updates
from cmbench.methods.cross_modal_networks import MODALITIES, Generator, Modality, Networks, build_networks
from cmbench.methods.generator_map import Scalings, encode
from cmbench.methods.label_code import checked_classes
from cmbench.methods.pair_sampler import Draw, Index, PairSampler
from cmbench.methods.training_checkpoint import Checkpoint
from cmbench.methods.training_curves import CurveRecorder
from cmbench.methods.training_device import Place, TrainingFeatures
from cmbench.methods.training_guards import check_finite


@dataclass(frozen=True, eq=False)
class Pairs:
    """Training pairs on their way to the device."""

    features: dict[Modality, TrainingFeatures]
    classes: Tensor

    @classmethod
    def of(cls, train: Split, scalings: Scalings, place: Place) -> Pairs:
        views = {"image": train.images, "text": train.texts}
        resident = place.keeps(4 * (train.images.size + train.texts.size))
        classes = checked_classes(train.labels, len(train.images)).searchsorted(train.labels)
        features = {
            name: TrainingFeatures(views[name], scalings[name], place.device, resident=resident)
            for name in MODALITIES
        }
        return cls(features, torch.from_numpy(classes).to(place.device))

    def views(self, index: Index) -> Views:
        """Return the features of those pairs by modality."""
        return {name: features.rows(index) for name, features in self.features.items()}

    def batch(self, index: Index) -> Batch:
        """Return those pairs."""
        return Batch(self.views(index), self.classes[torch.from_numpy(index).to(self.classes.device)])


class Fitting:
    """A training under way: networks, their updates, the pairs, the curves, and the best state.

    Every random number comes from ``random_state`` through a stream of its own purpose: one for
    each part of the networks, one for anchors and one for mismatched pairs in each epoch.
    """

    def __init__(self, settings: Settings, train: Split, validation: Split, scalings: Scalings) -> None:
        self.settings, self.validation, self.scalings = settings, validation, scalings
        self.place = Place.of(settings.device, settings.precision)
        self.pairs = Pairs.of(train, scalings, self.place)
        self.sampler = PairSampler(
            train.labels,
            batch=settings.schedule.batch_size,
            seed=settings.random_state,
            order=settings.schedule.sampler,
        )
        self.networks = self._networks(train)
        self.updates = Updates(self.networks, settings.objective, settings.optimisation, self.place.autocast)
        self.curves, self.best = CurveRecorder(settings.name), BestState()
        self.iteration = 0

    def run(self, checkpoint: Checkpoint) -> None:
        """Train to the end, going on from ``checkpoint`` if there is one, and keep the best state."""
        saved = checkpoint.load()
        first = 0 if saved is None else self._restore(saved)
        for epoch in range(first, self.schedule.epochs):
            if self._run_epoch(epoch):
                break
            if checkpoint.is_due():
                checkpoint.save(self._state(epoch + 1))
        if self.iteration % self.schedule.eval_every:
            self._look()
        self.best.put_back(self._modules())
        checkpoint.remove()

    @property
    def schedule(self) -> Schedule:
        """The part of the settings that says how long to train."""
        return self.settings.schedule

    @property
    def best_iteration(self) -> int:
        """The iteration whose state is kept: the best on validation, or else the last."""
        return self.best.step or self.iteration

    def generator(self, name: Modality) -> Generator:
        """Return the generator of one modality, on the CPU and in evaluation mode."""
        return self.networks.generators[name].cpu().eval()

    def train_round(self, draw: Draw, *, norms: bool = False) -> list[tuple[str, Tensor]]:
        """Run one round of Algorithm 1 on the pairs drawn, and return what was watched."""
        batches = [self.pairs.batch(index) for index in draw.anchors]
        if not self.schedule.resample:
            batches *= 1 + self.settings.optimisation.generator_steps
        strangers = self.pairs.views(draw.others) if self.networks.inter else {}
        return self.updates.round(batches, strangers, norms=norms)

    def _run_epoch(self, epoch: int) -> bool:
        """Train one epoch, looking at the validation pairs now and then; return whether to stop."""
        self.updates.set_rate(self.settings.optimisation.rate(epoch))
        for draw in self.sampler.epoch(epoch, batches=self._batches_drawn()):
            self.iteration += 1
            due = self.iteration % self.schedule.eval_every == 0
            self.curves.add(self.iteration, self.train_round(draw, norms=due))
            if due and self._look():
                return True
        return False

    def _batches_drawn(self) -> int:
        return 1 + self.settings.optimisation.generator_steps if self.schedule.resample else 1

    def _look(self) -> bool:
        """Make a point of the curves; return whether patience with the validation MAP has run out."""
        means = self.curves.flush()
        self._check_weights()
        if self.schedule.stopping == "none":
            self.curves.point(self.iteration, means)
            return False
        score = self._validation_map()
        self.curves.point(self.iteration, means | {"validation_map": score})
        self.best.offer(score, step=self.iteration, modules=self._modules())
        return self.best.waited(self.iteration) >= self.schedule.patience * self.sampler.rounds

    def _check_weights(self) -> None:
        """Raise where an update of finite losses left a network with NaN or infinity."""
        for name, module in self.networks.modules():
            sums = [values.sum().float() for values in module.state_dict().values()]
            total = float(torch.stack(sums).sum())
            check_finite(self.settings.name, f"the sum of all weights of {name}", self.iteration, total)

    def _validation_map(self) -> float:
        views = {"image": self.validation.images, "text": self.validation.texts}
        images, texts = (
            encode(
                self.networks.generators[name], views[name], self.scalings[name], self.settings.representation
            )
            for name in MODALITIES
        )
        return bimodal_map(images, texts, self.validation.labels)

    def _networks(self, train: Split) -> Networks:
        networks = build_networks(
            {"image": train.images.shape[1], "text": train.texts.shape[1]},
            int(self.pairs.classes.max()) + 1,
            self.settings.architecture,
            self.settings.parts,
            seed=self.settings.random_state,
        )
        for _, module in networks.modules():
            module.to(self.place.device).train()
        return networks

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {str(name): module for name, module in self.networks.generators.items()}

    def _state(self, epoch: int) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "iteration": self.iteration,
            "networks": {name: module.state_dict() for name, module in self.networks.modules()},
            "optimizers": {name: each.state_dict() for name, each in self.updates.optimizers.items()},
            "curves": self.curves.state(),
            "best": self.best.state(),
        }

    def _restore(self, state: dict[str, Any]) -> int:
        for name, module in self.networks.modules():
            module.load_state_dict(state["networks"][name])
        for name, optimizer in self.updates.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.curves.restore(state["curves"])
        self.best.restore(state["best"])
        self.iteration = state["iteration"]
        return int(state["epoch"])
