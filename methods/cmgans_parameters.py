"""The parameters of CM-GANs: what each may be, and the groups in which the training takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from cmbench.errors import MethodError
from cmbench.methods.adversarial_losses import AdversarialLosses
from cmbench.methods.cmgans_objective import Objective
from cmbench.methods.cmgans_updates import Optimisation
from cmbench.methods.cross_modal_networks import Architecture, Parts
from cmbench.methods.parameters import AnyFolder, Constraints, Count, Number, Words

Group = TypeVar("Group")


CONSTRAINTS: Constraints = {
    "embedding": Count(1),
    "hidden": Count(1),
    "discriminator_width": Count(1),
    "w_inter": Number(0),
    "w_intra": Number(0),
    "w_semantic": Number(0),
    "generator_loss": Words("non-saturating", "saturating", "literal"),
    "loss_scale": Words("log", "linear"),
    "fake_weight": Number(0),
    "w_reconstruction": Number(0),
    "reconstruction": Words("mse", "l1"),
    "head": Words("shared", "separate"),
    "shared_norm": Words("affine", "none", "all"),
    "tie": Words("tied", "init_only", "none"),
    "activation": Words("relu", "leaky"),
    "generator_steps": Count(1),
    "resample": Words(True, False),
    "sampler": Words("classes", "uniform"),
    "mismatch": Words("own", "anchor"),
    "learning_rate": Number(0, open_ends=True),
    "beta1": Number(0, 1),
    "beta2": Number(0, 1),
    "weight_decay": Number(0),
    "halve_every": Count(1),
    "batch_size": Count(2),
    "joint_optimizer": Words(True, False),
    "update_order": Words("discriminators-first", "generators-first"),
    "epochs": Count(1),
    "stopping": Words("validation", "none"),
    "eval_every": Count(1),
    "patience": Count(1),
    "representation": Words("common", "softmax"),
    "batch_norm": Words("separate", "joined"),
    "preprocessing": Words("none", "zscore", "rownorm"),
    "post": Words("none", "zscore_train"),
    "gradient_clip": Number(0, open_ends=True, words=("off",)),
    "device": Words("auto", "cpu", "cuda"),
    "precision": Words("auto", "float32", "bfloat16"),
    "threads": Count(1, optional=True),
    "checkpoint": AnyFolder(),
    "checkpoint_seconds": Number(0),
    "random_state": Count(0),
}


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
    parts: Parts
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
            "parts": Parts(
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
