"""The training of CM-GANs: what the updates of Algorithm 1 change, in which order, and on which pairs.

An iteration is one round of Algorithm 1: each discriminator is updated once, then K times the generator of
images and the generator of texts. An update changes parameters of some networks. The running statistics of
batch normalisation change in every network that it runs, because all of them stay in training mode:

=========================  ==============================  ==========================================
update                     parameters that change          running statistics that change
=========================  ==============================  ==========================================
of the discriminators      of each discriminator, by its   of the inter-modality discriminators, of
                           own loss                        both encoders, and of the decoders that ran
of the generator of a      of its encoder with the shared  of its encoder and decoder, and of the
modality                   layer, its decoder and its      inter-modality discriminator of the other
                           class head                      modality
=========================  ==============================  ==========================================

Gradients are computed for the parameters of the update alone, so no other parameter has one. The shared
layer, and a shared class head, are changed by the updates of both generators, each of which has an Adam
state of its own for them. With ``joint_optimizer`` one Adam steps on the sum of both losses instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from cmbench.datasets.draft import Modality, Split
from cmbench.methods.cmgans.networks import Generator, Networks, build_networks
from cmbench.methods.cmgans.objective import Batch, ByModality, Objective
from cmbench.methods.training.batches import Draw, Index, Order, PairSampler
from cmbench.methods.training.curves import gradient_norm
from cmbench.methods.training.descent import cut_gradient
from cmbench.methods.training.device import DeviceRows, NetworkMap, picked
from cmbench.methods.training.loop import Run, Training, Watched
from cmbench.methods.training.pairs import PairCodes, PairMapping
from cmbench.methods.training.trained_method import Loss
from cmbench.methods.views.inputs import MODALITIES, checked_classes
from cmbench.methods.views.scaling import ScaledView, learned_scalings, mean_variance

if TYPE_CHECKING:
    from cmbench.methods.cmgans.method import CMGANs

Autocast: TypeAlias = Callable[[], AbstractContextManager[Any]]


class Updates:
    """The updates of Algorithm 1, each with the parameters that it changes and an Adam optimiser for them.

    Parameters
    ----------
    method : whose parameters say what is minimised and how
    networks : are changed in place
    autocast : gives a context in which losses are computed, for mixed precision
    variances : of the features of each modality, which a relative reconstruction error is divided by

    Attributes
    ----------
    parameters, optimizers : of each update by its name: D_intra_image, D_inter_image and so on, G_image and
        G_text, or G for both at once
    """

    def __init__(
        self,
        method: CMGANs,
        networks: Networks,
        autocast: Autocast = nullcontext,
        variances: Mapping[Modality, float] | None = None,
    ) -> None:
        self.method, self.networks, self.autocast = method, networks, autocast
        self.objective = Objective(method, networks, variances)
        self.parameters = self._parameters()
        self.optimizers = {name: self._adam(parameters) for name, parameters in self.parameters.items()}

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of every optimiser."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def run_round(
        self, batches: Sequence[Batch], mismatched: ByModality, *, gradient_norms: bool = False
    ) -> Watched:
        """Run one round of Algorithm 1 and return the points of its curves, in the order of the updates.

        Parameters
        ----------
        batches : that of the discriminators, and one for each of the K updates of both generators
        mismatched : features of mismatched pairs (n, d) by modality, for the pairs of the first batch
        gradient_norms : whether the curves have the norm of the gradient of the discriminators' updates and
            of the generators' last ones, each of which costs a pass over all gradients
        """
        first, *others = batches
        if self.method.update_order == "discriminators-first":
            watched = self.update_discriminators(first, mismatched, gradient_norms=gradient_norms)
            return watched + self._update_generators_on_each(others, gradient_norms=gradient_norms)
        watched = self._update_generators_on_each(others, gradient_norms=gradient_norms)
        return watched + self.update_discriminators(first, mismatched, gradient_norms=gradient_norms)

    def update_discriminators(
        self, batch: Batch, mismatched: ByModality, *, gradient_norms: bool = False
    ) -> Watched:
        """Update each discriminator there is; what the generators make is data to them."""
        with self.autocast():
            losses = self._discriminator_losses(batch.features, mismatched)
        watched: Watched = []
        for name, loss in losses.items():
            watched += self._descend(name, loss, gradient_norms=gradient_norms)
        return watched

    def update_generators(self, batch: Batch, *, gradient_norms: bool = False) -> Watched:
        """Update the generator of images, then that of texts; or both at once."""
        if not self.method.joint_optimizer:
            images, texts = (
                self.update_generator(modality, batch, gradient_norms=gradient_norms)
                for modality in MODALITIES
            )
            return images + texts
        with self.autocast():
            image, text = (self.objective.generator_loss(modality, batch) for modality in MODALITIES)
        both = Loss(image.value + text.value, {**image.curves, **text.curves})
        return self._descend("G", both, gradient_norms=gradient_norms)

    def update_generator(self, modality: Modality, batch: Batch, *, gradient_norms: bool = False) -> Watched:
        """Update the generator of one modality."""
        with self.autocast():
            loss = self.objective.generator_loss(modality, batch)
        return self._descend(f"G_{modality}", loss, gradient_norms=gradient_norms)

    def _update_generators_on_each(self, batches: Sequence[Batch], *, gradient_norms: bool) -> Watched:
        watched: Watched = []
        for number, batch in enumerate(batches, 1):
            is_last = number == len(batches)
            watched += self.update_generators(batch, gradient_norms=gradient_norms and is_last)
        return watched

    def _discriminator_losses(self, features: ByModality, mismatched: ByModality) -> dict[str, Loss]:
        """Return the loss of every discriminator by the name of its update."""
        intra, inter = self.networks.intra_discriminators, self.networks.inter_discriminators
        if not (intra or inter):
            return {}
        generated = self.objective.generate(features, mismatched)
        losses = {
            f"D_intra_{modality}": self.objective.intra_discriminator_loss(modality, features, generated)
            for modality in intra
        }
        for modality in inter:
            losses[f"D_inter_{modality}"] = self.objective.inter_discriminator_loss(
                modality, features, mismatched, generated
            )
        return losses

    def _descend(self, update: str, loss: Loss, *, gradient_norms: bool) -> Watched:
        """Take one step of Adam down the gradient of a loss, in the parameters of that update alone."""
        optimizer, parameters = self.optimizers[update], self.parameters[update]
        optimizer.zero_grad(set_to_none=True)
        loss.value.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        watched = list(loss.curves.items())
        if gradient_norms:
            watched.append((f"{update}_gradient", gradient_norm(parameters)))
        cut_gradient(parameters, self.method.gradient_clip)
        optimizer.step()
        return watched

    def _parameters(self) -> dict[str, list[Tensor]]:
        """Return the parameters that each update changes; those of a generator include what it shares."""
        networks = self.networks.by_name()
        if self.method.joint_optimizer:
            networks = {name: network for name, network in networks.items() if not name.startswith("G_")}
            networks["G"] = nn.ModuleList(self.networks.generators.values())
        return {name: [*network.parameters()] for name, network in networks.items()}

    def _adam(self, parameters: list[Tensor]) -> torch.optim.Adam:
        method = self.method
        return torch.optim.Adam(
            parameters,
            lr=method.learning_rate,
            betas=(method.beta1, method.beta2),
            weight_decay=method.weight_decay,
            fused=True,  # one pass over all parameters
        )


def learning_rate_in(epoch: int, method: CMGANs) -> float:
    """Return the learning rate of an epoch, counted from 0: halved after every ``halve_every`` epochs."""
    return float(method.learning_rate * 0.5 ** (epoch // method.halve_every))


class ClassProbabilities(nn.Module):
    """A generator with its class head and softmax behind it: maps features (n, d) to (n, c)."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self.train(generator.training)  # a new module is in training mode, whatever is in it

    def forward(self, features: Tensor) -> Tensor:
        """Return class probabilities (n, c)."""
        return self.generator.classify(self.generator(features)).softmax(dim=1)


class AdversarialFitting(PairMapping):
    """The networks of CM-GANs, their updates and the pairs they learn from, ready to be trained.

    Every random number comes from ``random_state`` through a stream for its purpose: one for the initial
    values of each part of the networks, one for the batches and one for the mismatched pairs of each epoch.

    Parameters
    ----------
    method : whose parameters say what is built and how it is trained
    train, validation : the pairs to learn from, and those to judge the networks by
    run : trains the stage
    """

    def __init__(self, method: CMGANs, train: Split, validation: Split, run: Run) -> None:
        self.method, self.run = method, run
        self.train, self.validation = (PairCodes(split.views, split.labels) for split in (train, validation))
        self.scalings = learned_scalings(train, method.preprocessing)
        self.rows = {
            modality: DeviceRows(features, self.scalings[modality], run.device)
            for modality, features in train.views.items()
        }
        # Labels may have gaps; class numbers count from 0 without
        labels = checked_classes(train.labels, len(train.images))
        self.classes = torch.from_numpy(labels.searchsorted(train.labels)).to(run.device)
        self.sampler = PairSampler(
            train.labels,
            batch=method.batch_size,
            seed=method.random_state,
            order=cast(Order, method.sampler),
        )
        widths = {modality: rows.width for modality, rows in self.rows.items()}
        self.networks = build_networks(widths, len(labels), method)
        for network in self.networks.by_name().values():
            network.to(run.device).train()
        self.updates = Updates(method, self.networks, run.autocast, self._variances())

    def _variances(self) -> Mapping[Modality, float] | None:
        """Return the mean variance of the features of each modality, if the objective needs it."""
        if not (self.method.w_reconstruction and self.method.reconstruction == "relative"):
            return None
        views = self.train.views
        return {name: mean_variance(ScaledView(views[name], self.scalings[name])) for name in MODALITIES}

    @property
    def standardises(self) -> bool:
        return self.method.post != "none"

    def trained(self) -> Training[Draw]:
        """Train the networks as the stage of the run, and leave the generators in the state to be kept."""
        method = self.method
        return self.run.train(
            "training",
            self.train_round,
            modules=self.networks.by_name(),
            kept={str(modality): network for modality, network in self.networks.generators.items()},
            optimizers=self.updates.optimizers,
            draws=self.start_epoch,
            rounds=self.sampler.rounds,
            epochs=method.epochs,
            look_every=method.eval_every,
            patience=method.patience,
            score=None if method.stopping == "none" else self.validation_map,
        )

    def start_epoch(self, epoch: int) -> Iterator[Draw]:
        """Set the learning rate of an epoch, and return the row numbers of the pairs of its rounds."""
        self.updates.set_learning_rate(learning_rate_in(epoch, self.method))
        batches = 1 + self.method.generator_steps if self.method.resample else 1
        return self.sampler.epoch(epoch, batches=batches)

    def train_round(self, draw: Draw, gradient_norms: bool) -> Watched:
        """Run one round of Algorithm 1 on the pairs drawn, and return the points of its curves."""
        batches = [Batch(self.features_of(index), picked(self.classes, index)) for index in draw.anchors]
        if not self.method.resample:  # all updates of the round are on one batch
            batches = batches * (1 + self.method.generator_steps)
        mismatched = self.features_of(draw.others) if self.networks.inter_discriminators else {}
        return self.updates.run_round(batches, mismatched, gradient_norms=gradient_norms)

    def features_of(self, index: Index) -> ByModality:
        """Return the features (n, d) of the training pairs of those row numbers, by modality."""
        return {modality: rows.rows(index) for modality, rows in self.rows.items()}

    def code_maps(self) -> dict[Modality, NetworkMap]:
        """Return the maps of features to what represents items, by the generators as they are now."""
        as_probabilities = self.method.representation == "posterior"
        return {
            modality: NetworkMap(
                ClassProbabilities(generator) if as_probabilities else generator,
                f"{modality}s",
                self.scalings[modality],
            )
            for modality, generator in self.networks.generators.items()
        }
