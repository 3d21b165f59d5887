"""Algorithm 1 of CM-GANs: what one round of updates touches, and in which order.

=================  ==========================================  =====================================
update             parameters it moves                         running statistics that move
=================  ==========================================  =====================================
D_inter, D_intra   that discriminator only                     those of inter discriminators, of both
                                                               encoders and of decoders that ran
G of a modality    its encoder with the shared layer, its      its encoder's and decoder's, and those
                   decoder, its class head                     of the other modality's D_inter
=================  ==========================================  =====================================

Every network stays in training mode while it trains, frozen or not. Gradients are taken with
respect to the parameters of the update alone, so nothing else even receives one. The shared
layer, and a shared class head, are moved by the updates of both generators, each with an Adam
state of its own; with ``joint_optimizer`` one Adam steps on the sum of both losses instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from cmbench.datasets.draft import Modality, Split
from cmbench.errors import MethodError
from cmbench.methods.cmgans.networks import Architecture, Generator, Networks, Wanted, build_networks
from cmbench.methods.cmgans.objective import AdversarialLosses, Batch, Objective, Outcome, Views, classify
from cmbench.methods.training.batches import Draw, Index, PairSampler
from cmbench.methods.training.curves import gradient_norm
from cmbench.methods.training.device import DeviceRows, NetworkMap, picked
from cmbench.methods.training.loop import Run, Training, Watched
from cmbench.methods.training.pairs import PairCodes, PairMapping
from cmbench.methods.views.inputs import MODALITIES, checked_classes
from cmbench.methods.views.scaling import Scalings

Autocast: TypeAlias = Callable[[], AbstractContextManager[Any]]
WatchedTerms: TypeAlias = list[tuple[str, Tensor]]


@dataclass(frozen=True)
class Optimisation:
    """How parameters move; see ``CMGANs`` for the meaning of each setting."""

    learning_rate: float = 1e-3
    beta1: float = 0.5
    beta2: float = 0.999
    weight_decay: float = 0.0
    halve_every: int = 100
    generator_steps: int = 5
    joint_optimizer: bool = False
    update_order: Literal["discriminators-first", "generators-first"] = "discriminators-first"
    gradient_clip: float | str = "off"

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0: halved every ``halve_every``."""
        return float(self.learning_rate * 0.5 ** (epoch // self.halve_every))


class Updates:
    """Networks with an Adam optimiser for each of them, and the updates that move them."""

    def __init__(
        self,
        networks: Networks,
        objective: Objective,
        optimisation: Optimisation,
        autocast: Autocast = nullcontext,
    ) -> None:
        self.networks, self.objective, self.optimisation = networks, objective, optimisation
        self.autocast = autocast
        self.players = self._players()
        self.optimizers = {name: self._adam(parameters) for name, parameters in self.players.items()}

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of every optimiser."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def round(self, batches: Sequence[Batch], strangers: Views, *, norms: bool = False) -> WatchedTerms:
        """Run one round of Algorithm 1 and return what was watched, in the order of the steps.

        ``batches`` are the discriminators' batch and one for each generator step; ``strangers`` the
        features of pairs of other categories; ``norms`` asks for gradient norms, which cost a pass
        over all gradients, at the discriminators' step and the last generator step.
        """
        first, *others = batches
        if self.optimisation.update_order == "discriminators-first":
            judged = self.update_discriminators(first, strangers, norms=norms)
            return judged + self._generator_steps(others, norms=norms)
        generated = self._generator_steps(others, norms=norms)
        return generated + self.update_discriminators(first, strangers, norms=norms)

    def update_discriminators(self, batch: Batch, strangers: Views, *, norms: bool = False) -> WatchedTerms:
        """Move each discriminator there is, on outputs of the generators as data."""
        with self.autocast():
            outcomes = self._judgements(batch, strangers)
        return [item for name, each in outcomes.items() for item in self._step(name, each, norms=norms)]

    def update_generators(self, batch: Batch, *, norms: bool = False) -> WatchedTerms:
        """Move the image generator, then the text generator; or both at once."""
        if self.optimisation.joint_optimizer:
            with self.autocast():
                both = [self.objective.generator(self.networks, name, batch) for name in MODALITIES]
            joint = Outcome(both[0].loss + both[1].loss, both[0].watched | both[1].watched)
            return self._step("G", joint, norms=norms)
        return [item for name in MODALITIES for item in self._update_generator(name, batch, norms=norms)]

    def _generator_steps(self, batches: Sequence[Batch], *, norms: bool) -> WatchedTerms:
        watched: WatchedTerms = []
        for number, batch in enumerate(batches, 1):
            watched += self.update_generators(batch, norms=norms and number == len(batches))
        return watched

    def _update_generator(self, name: Modality, batch: Batch, *, norms: bool) -> WatchedTerms:
        with self.autocast():
            outcome = self.objective.generator(self.networks, name, batch)
        return self._step(f"G_{name}", outcome, norms=norms)

    def _judgements(self, batch: Batch, strangers: Views) -> dict[str, Outcome]:
        networks, objective = self.networks, self.objective
        if not (networks.intra or networks.inter):
            return {}
        made = objective.generate(networks, batch.views)
        outcomes = {
            f"D_intra_{name}": objective.intra(networks, name, batch.views[name], made)
            for name in networks.intra
        }
        if networks.inter:
            strange = objective.encode(networks, strangers)
            for name in networks.inter:
                outcome = objective.inter(networks, name, batch.views, strangers, (made, strange))
                outcomes[f"D_inter_{name}"] = outcome
        return outcomes

    def _step(self, player: str, outcome: Outcome, *, norms: bool) -> WatchedTerms:
        """Minimise the outcome with respect to the player's parameters."""
        optimizer, parameters = self.optimizers[player], self.players[player]
        optimizer.zero_grad(set_to_none=True)
        outcome.loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        watched = list(outcome.watched.items())
        if norms:
            watched.append((f"{player}_gradient", gradient_norm(parameters)))
        if not isinstance(self.optimisation.gradient_clip, str):
            nn.utils.clip_grad_norm_(parameters, self.optimisation.gradient_clip)
        optimizer.step()
        return watched

    def _players(self) -> dict[str, list[Tensor]]:
        """Return the parameters that each update moves, those of the generators with the shared layer."""
        modules = dict(self.networks.modules())
        if self.optimisation.joint_optimizer:
            modules = {name: module for name, module in modules.items() if not name.startswith("G_")}
            modules["G"] = nn.ModuleList(self.networks.generators.values())
        return {name: [*module.parameters()] for name, module in modules.items()}

    def _adam(self, parameters: list[Tensor]) -> torch.optim.Adam:
        optimisation = self.optimisation
        return torch.optim.Adam(
            parameters,
            lr=optimisation.learning_rate,
            betas=(optimisation.beta1, optimisation.beta2),
            weight_decay=optimisation.weight_decay,
            fused=True,
        )


Group = TypeVar("Group")


@dataclass(frozen=True)
class Schedule:
    """How long to train, on what batches, and how often to look; see ``CMGANs``."""

    epochs: int = 200
    stopping: Literal["validation", "none"] = "validation"
    eval_every: int = 10
    patience: int = 6
    batch_size: int = 64
    resample: bool = True
    sampler: Literal["classes", "uniform"] = "classes"


@dataclass(frozen=True)
class Settings:
    """All parameters with an effect on the training, in the groups that use them."""

    name: str
    architecture: Architecture
    wanted: Wanted
    objective: Objective
    optimisation: Optimisation
    schedule: Schedule
    preprocessing: str
    post: str
    representation: str
    device: str
    precision: str
    random_state: int

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> Settings:
        """Sort checked parameters into groups; raises ``MethodError`` where they contradict each other."""
        if not any(values[weight] for weight in ("w_inter", "w_intra", "w_semantic", "w_reconstruction")):
            raise MethodError(f"{name}: all weights are 0, so there is nothing to learn; raise one")
        if values["representation"] == "softmax" and not values["w_semantic"]:
            raise MethodError(f"{name}: representation 'softmax' needs the class head; raise w_semantic")
        losses = AdversarialLosses(values["generator_loss"], values["loss_scale"], values["fake_weight"])
        groups = {
            "architecture": _selected(Architecture, values),
            "wanted": Wanted(
                intra=values["w_intra"] > 0,
                inter=values["w_inter"] > 0,
                head=values["w_semantic"] > 0,
                decoder=values["w_intra"] > 0 or values["w_reconstruction"] > 0,
            ),
            "objective": _selected(Objective, {**values, "losses": losses}),
            "optimisation": _selected(Optimisation, values),
            "schedule": _selected(Schedule, values),
        }
        return _selected(cls, {**values, **groups, "name": name})


def _selected(kind: type[Group], values: Mapping[str, Any]) -> Group:
    return kind(**{field.name: values[field.name] for field in fields(kind)})  # type: ignore[arg-type]


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


class Fitting(PairMapping):
    """Networks, their updates and the pairs, ready to be trained.

    Every random number comes from ``random_state`` through a stream of its own purpose: one for
    each part of the networks, one for anchors and one for mismatched pairs in each epoch.
    """

    def __init__(
        self, settings: Settings, train: Split, validation: Split, scalings: Scalings, run: Run
    ) -> None:
        self.settings, self.scalings, self.run = settings, scalings, run
        self.train, self.validation = (PairCodes(split.views, split.labels) for split in (train, validation))
        self.rows = {name: DeviceRows(rows, scalings[name], run.device) for name, rows in train.views.items()}
        classes = checked_classes(train.labels, len(train.images)).searchsorted(train.labels)
        self.classes = torch.from_numpy(classes).to(run.device)
        self.sampler = PairSampler(
            train.labels,
            batch=settings.schedule.batch_size,
            seed=settings.random_state,
            order=settings.schedule.sampler,
        )
        self.networks = self._networks(train)
        self.updates = Updates(self.networks, settings.objective, settings.optimisation, run.autocast)

    @property
    def standardises(self) -> bool:
        return self.settings.post != "none"

    def trained(self) -> Training[Draw]:
        """Train these networks as a stage of the run."""
        schedule = self.settings.schedule
        return self.run.train(
            "training",
            self.train_round,
            modules=dict(self.networks.modules()),
            kept={str(name): module for name, module in self.networks.generators.items()},
            optimizers=self.updates.optimizers,
            items=self.draws,
            rounds=self.sampler.rounds,
            epochs=schedule.epochs,
            look_every=schedule.eval_every,
            patience=schedule.patience,
            score=self.validation_map if schedule.stopping == "validation" else None,
        )

    def draws(self, epoch: int) -> Iterator[Draw]:
        """Set the learning rate of an epoch and return the pairs of its rounds."""
        self.updates.set_rate(self.settings.optimisation.rate(epoch))
        batches = 1 + self.settings.optimisation.generator_steps if self.settings.schedule.resample else 1
        return self.sampler.epoch(epoch, batches=batches)

    def train_round(self, draw: Draw, norms: bool) -> Watched:
        """Run one round of Algorithm 1 on the pairs drawn, and return what was watched."""
        batches = [Batch(self.views(index), picked(self.classes, index)) for index in draw.anchors]
        if not self.settings.schedule.resample:
            batches *= 1 + self.settings.optimisation.generator_steps
        strangers = self.views(draw.others) if self.networks.inter else {}
        return self.updates.round(batches, strangers, norms=norms)

    def views(self, index: Index) -> Views:
        """Return the features of those pairs by modality."""
        return {name: rows.rows(index) for name, rows in self.rows.items()}

    def code_maps(self) -> dict[Modality, NetworkMap]:
        """Return the maps of both views to what the generators give as they are now."""
        return {
            name: NetworkMap(
                Represented(self.networks.generators[name], self.settings.representation),
                f"{name}s",
                self.scalings[name],
            )
            for name in MODALITIES
        }

    def _networks(self, train: Split) -> Networks:
        networks = build_networks(
            {"image": train.images.shape[1], "text": train.texts.shape[1]},
            int(self.classes.max()) + 1,
            self.settings.architecture,
            self.settings.wanted,
            seed=self.settings.random_state,
        )
        for _, module in networks.modules():
            module.to(self.run.device).train()
        return networks
