"""The training of CM-GANs: its pairs, its networks, and the rounds of Algorithm 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cmbench.datasets.contract import Split
from cmbench.evaluator import bimodal_map
from cmbench.methods.cmgans_objective import Batch, Views
from cmbench.methods.cmgans_parameters import Settings
from cmbench.methods.cmgans_updates import Updates
from cmbench.methods.cross_modal_networks import MODALITIES, Modality, Networks, build_networks
from cmbench.methods.generator_map import GeneratorMap, Scalings
from cmbench.methods.label_code import checked_classes
from cmbench.methods.pair_sampler import Draw, Index, PairSampler
from cmbench.methods.training_device import Place, TrainingFeatures
from cmbench.methods.training_loop import Length, Task, Training, Watched

ROWS_OF_A_LOOK = 4096  # training rows that a look at validation may have to encode


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
    """Networks, their updates and the pairs, ready to be trained.

    Every random number comes from ``random_state`` through a stream of its own purpose: one for
    each part of the networks, one for anchors and one for mismatched pairs in each epoch.
    """

    def __init__(self, settings: Settings, train: Split, validation: Split, scalings: Scalings) -> None:
        self.settings, self.scalings = settings, scalings
        self.train, self.validation = train, validation
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

    def validation_map(self) -> float:
        """Return the mean of the two bi-modal MAPs of the validation pairs, as the networks are now.

        Where representations are standardised, the statistics are those of ``ROWS_OF_A_LOOK`` training
        rows at most, so that a look takes no longer with more training pairs.
        """
        images, texts = self.maps(every=-(-len(self.train) // ROWS_OF_A_LOOK))
        return bimodal_map(
            images(self.validation.images), texts(self.validation.texts), self.validation.labels
        )

    def maps(self, *, every: int = 1) -> tuple[GeneratorMap, GeneratorMap]:
        """Return the maps of images and texts as the networks are now.

        ``every`` n-th training row gives the statistics where representations are standardised.
        """
        images, texts = (
            GeneratorMap(self.networks.generators[name], self.scalings[name], self.settings.representation)
            for name in MODALITIES
        )
        if self.settings.post == "none":
            return images, texts
        images = images.standardised(self.train.images[::every], "images")
        return images, texts.standardised(self.train.texts[::every], "texts")

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
