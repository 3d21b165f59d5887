"""The training of CM-GANs: its pairs, its networks, and the rounds of Algorithm 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cmbench.datasets.contract import Split
from cmbench.methods.cmgans_objective import Batch, Views, classify
from cmbench.methods.cmgans_parameters import Settings
from cmbench.methods.cmgans_updates import Updates
from cmbench.methods.cross_modal_networks import Generator, Networks, build_networks
from cmbench.methods.training.batches import Draw, Index, PairSampler
from cmbench.methods.training.device import CodeMap, Place, TrainingFeatures
from cmbench.methods.training.loop import Length, Task, Training, Watched
from cmbench.methods.training.pairs import PairCodes, PairMapping, views_of
from cmbench.methods.views.inputs import MODALITIES, Modality, checked_classes
from cmbench.methods.views.scaling import Scalings


class Represented(nn.Module):
    """What a generator makes of rows (n, d): ``"common"``, or the class probabilities read off it."""

    def __init__(self, generator: Generator, representation: str) -> None:
        super().__init__()
        self.generator, self.representation = generator, representation
        self.train(generator.training)

    def forward(self, rows: Tensor) -> Tensor:
        """Return representations (n, k)."""
        common: Tensor = self.generator(rows)
        if self.representation == "common":
            return common
        return classify(self.generator, common).softmax(dim=1)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Training pairs on their way to the device."""

    features: dict[Modality, TrainingFeatures]
    classes: Tensor

    @classmethod
    def of(cls, train: Split, scalings: Scalings, place: Place) -> Pairs:
        views = views_of(train)
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


class Fitting(PairMapping):
    """Networks, their updates and the pairs, ready to be trained.

    Every random number comes from ``random_state`` through a stream of its own purpose: one for
    each part of the networks, one for anchors and one for mismatched pairs in each epoch.
    """

    def __init__(self, settings: Settings, train: Split, validation: Split, scalings: Scalings) -> None:
        self.settings, self.scalings = settings, scalings
        self.train, self.validation = (
            PairCodes(views_of(split), split.labels) for split in (train, validation)
        )
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

    @property
    def standardises(self) -> bool:
        return self.settings.post != "none"

    def training(self) -> Training[Draw]:
        """Return the training of these networks, not yet begun."""
        schedule = self.settings.schedule
        task = Task(
            name=self.settings.name,
            modules=dict(self.networks.modules()),
            kept={str(name): module for name, module in self.networks.generators.items()},
            optimizers=self.updates.optimizers,
            items=self.draws,
            rounds=self.sampler.rounds,
            step=self.train_round,
            score=self.validation_map if schedule.stopping == "validation" else None,
        )
        return Training(task, Length(schedule.epochs, schedule.eval_every, schedule.patience))

    def draws(self, epoch: int) -> Iterator[Draw]:
        """Set the learning rate of an epoch and return the pairs of its rounds."""
        self.updates.set_rate(self.settings.optimisation.rate(epoch))
        batches = 1 + self.settings.optimisation.generator_steps if self.settings.schedule.resample else 1
        return self.sampler.epoch(epoch, batches=batches)

    def train_round(self, draw: Draw, norms: bool) -> Watched:
        """Run one round of Algorithm 1 on the pairs drawn, and return what was watched."""
        batches = [self.pairs.batch(index) for index in draw.anchors]
        if not self.settings.schedule.resample:
            batches *= 1 + self.settings.optimisation.generator_steps
        strangers = self.pairs.views(draw.others) if self.networks.inter else {}
        return self.updates.round(batches, strangers, norms=norms)

    def code_maps(self) -> dict[Modality, CodeMap]:
        """Return the maps of both views to what the generators give as they are now."""
        return {
            name: CodeMap(
                Represented(self.networks.generators[name], self.settings.representation),
                f"{name}s",
                self.scalings[name],
            )
            for name in MODALITIES
        }

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
