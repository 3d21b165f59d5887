"""What CM-GANs, its preset as released, and its ablations have in common: fitting and keeping."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from cmbench.datasets.contract import Split
from cmbench.errors import MethodError
from cmbench.methods.cmgans_fitting import Fitting
from cmbench.methods.cmgans_parameters import CONSTRAINTS, Settings
from cmbench.methods.parameters import Constraints, check_parameters
from cmbench.methods.training.batches import Draw
from cmbench.methods.training.deep_method import DeepMethod
from cmbench.methods.training.loop import Training
from cmbench.methods.training.stages import Stages
from cmbench.methods.views.scaling import learned_scalings


class AdversarialMethod(DeepMethod):
    """A method whose parameters are those of ``CONSTRAINTS`` and whose training is ``Fitting``."""

    uses_labels: ClassVar[bool] = True
    constraints: ClassVar[Constraints] = CONSTRAINTS
    switches: ClassVar[Mapping[str, Any]] = {}
    """Parameters that an ablation fixes: they have these values, and no others can be set."""

    advice: ClassVar[str] = "lower learning_rate or w_inter"

    def _learn(self, train: Split, validation: Split, stages: Stages) -> None:
        settings = self.settings()
        scalings = learned_scalings(train, settings.preprocessing)
        fitting = Fitting(settings, train, validation, scalings)
        training = fitting.training()
        stages.run("training", training)
        self._keep(fitting, training)

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

    def _keep(self, fitting: Fitting, training: Training[Draw]) -> None:
        for generator in fitting.networks.generators.values():
            generator.cpu().eval()
        maps = fitting.maps()
        self.image_map_, self.text_map_ = maps["image"], maps["text"]
        self.curves_ = training.curves.curves()
        self.iterations_, self.best_iteration_ = training.iteration, training.best_iteration
        self.device_, self.mixed_precision_ = str(fitting.place.device), fitting.place.mixed
