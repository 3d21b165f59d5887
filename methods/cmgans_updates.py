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

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from cmbench.methods.cmgans_objective import Batch, Objective, Outcome, Views
from cmbench.methods.cross_modal_networks import Networks
from cmbench.methods.training.curves import gradient_norm
from cmbench.methods.views.inputs import MODALITIES, Modality

Autocast: TypeAlias = Callable[[], AbstractContextManager[Any]]
Watched: TypeAlias = list[tuple[str, Tensor]]


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

    def round(self, batches: Sequence[Batch], strangers: Views, *, norms: bool = False) -> Watched:
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

    def update_discriminators(self, batch: Batch, strangers: Views, *, norms: bool = False) -> Watched:
        """Move each discriminator there is, on outputs of the generators as data."""
        with self.autocast():
            outcomes = self._judgements(batch, strangers)
        return [item for name, each in outcomes.items() for item in self._step(name, each, norms=norms)]

    def update_generators(self, batch: Batch, *, norms: bool = False) -> Watched:
        """Move the image generator, then the text generator; or both at once."""
        if self.optimisation.joint_optimizer:
            with self.autocast():
                both = [self.objective.generator(self.networks, name, batch) for name in MODALITIES]
            joint = Outcome(both[0].loss + both[1].loss, both[0].watched | both[1].watched)
            return self._step("G", joint, norms=norms)
        return [item for name in MODALITIES for item in self._update_generator(name, batch, norms=norms)]

    def _generator_steps(self, batches: Sequence[Batch], *, norms: bool) -> Watched:
        watched: Watched = []
        for number, batch in enumerate(batches, 1):
            watched += self.update_generators(batch, norms=norms and number == len(batches))
        return watched

    def _update_generator(self, name: Modality, batch: Batch, *, norms: bool) -> Watched:
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

    def _step(self, player: str, outcome: Outcome, *, norms: bool) -> Watched:
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
