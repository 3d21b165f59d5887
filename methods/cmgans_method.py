"""What CM-GANs, its preset as released, and its ablations have in common: fitting and keeping."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from cmbench.datasets.contract import Split
from cmbench.errors import MethodError
from cmbench.evaluator import bimodal_map
from cmbench.methods.cmgans_fitting import Fitting
from cmbench.methods.cmgans_parameters import CONSTRAINTS, PRACTICAL, Settings
from cmbench.methods.constraints import Constraints, check_parameters
from cmbench.methods.generator_map import learned_scalings
from cmbench.methods.input_contract import check_training_pairs
from cmbench.methods.method_warning import warn
from cmbench.methods.pair_sampler import Draw
from cmbench.methods.training_checkpoint import Checkpoint, checkpoint_path
from cmbench.methods.training_device import cpu_threads
from cmbench.methods.training_guards import Spread
from cmbench.methods.training_loop import Training
from cmbench.methods.view_map import MappedMethod


class AdversarialMethod(MappedMethod):
    """A method whose parameters are those of ``CONSTRAINTS`` and whose training is ``Fitting``."""

    family: ClassVar[Literal["traditional", "deep"]] = "deep"
    uses_labels: ClassVar[bool] = True
    constraints: ClassVar[Constraints] = CONSTRAINTS
    practical: ClassVar[tuple[str, ...]] = PRACTICAL
    switches: ClassVar[Mapping[str, Any]] = {}
    """Parameters that an ablation fixes: they have these values, and no others can be set."""

    stopping: str
    threads: int | None
    checkpoint: str | os.PathLike[str] | None
    checkpoint_seconds: float

    def fit(self, train: Split, validation: Split) -> Self:
        """Train on ``train``; stop, and choose the state to keep, on ``validation``."""
        settings = self.settings()
        check_training_pairs(train)
        check_training_pairs(validation)
        scalings = learned_scalings(train, settings.preprocessing)
        with cpu_threads(self.threads) as self.threads_:
            fitting = Fitting(settings, train, validation, scalings)
            training = fitting.training()
            training.run(self._checkpoint(train, validation))
            self._keep(fitting, training)
            self._judge(validation)
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, with the values that this class fixes."""
        return {**super().get_params(deep), **self.switches}

    def settings(self) -> Settings:
        """Return what the parameters amount to, with those that this class fixes."""
        check_parameters(self, self.constraints)
        self._check_switches()
        values = {name: getattr(self, name) for name in CONSTRAINTS}
        return Settings.of(self.name, {**values, **self.switches})

    def _check_switches(self) -> None:
        parameters = inspect.signature(type(self)).parameters
        for name, fixed in self.switches.items():
            value = getattr(self, name)
            if value not in (fixed, parameters[name].default):
                raise MethodError(
                    f"{self.name}: {name} is {value!r}, but this ablation fixes it to {fixed!r}; "
                    "leave it out, or set it for cmgans"
                )

    def _checkpoint(self, train: Split, validation: Split) -> Checkpoint:
        if self.checkpoint is None:
            return Checkpoint(None, seconds=self.checkpoint_seconds)
        values = {name: getattr(self, name) for name in CONSTRAINTS if name not in PRACTICAL}
        values["version"] = self.version
        path = checkpoint_path(self.checkpoint, self.name, values, (train, validation))
        return Checkpoint(path, seconds=self.checkpoint_seconds)

    def _keep(self, fitting: Fitting, training: Training[Draw]) -> None:
        for generator in fitting.networks.generators.values():
            generator.cpu().eval()
        self.image_map_, self.text_map_ = fitting.maps()
        self.curves_ = training.curves.curves()
        self.iterations_, self.best_iteration_ = training.iteration, training.best_iteration
        self.resumed_at_ = training.resumed_at
        self.device_, self.mixed_precision_ = str(fitting.place.device), fitting.place.mixed

    def _judge(self, validation: Split) -> None:
        """Record the final MAP on validation, and warn of representations that are all alike."""
        mapped = self.image_map_(validation.images), self.text_map_(validation.texts)
        watched = self.stopping == "validation"
        self.validation_map_ = bimodal_map(*mapped, validation.labels) if watched else None
        spreads = [Spread.of(rows) for rows in mapped]
        self.spread_ = min(each.deviation for each in spreads)
        self.mean_cosine_ = max(each.cosine for each in spreads)
        self.collapsed_ = any(each.collapsed for each in spreads)
        if self.collapsed_:
            warn(
                f"{self.name}: representations of different items are nearly equal (mean deviation "
                f"{self.spread_:.2g}, mean cosine {self.mean_cosine_:.4f}); lower learning_rate or w_inter"
            )
