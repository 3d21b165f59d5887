"""What deep methods have in common: parameters, the course of ``fit``, checkpoints and curves."""

from __future__ import annotations

import gc
import os
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from torch import nn

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.contract import Representations
from cmbench.methods.parameters import (
    AnyFolder,
    Count,
    Number,
    SearchRange,
    SearchSpace,
    Words,
    check_parameters,
)
from cmbench.methods.training.curves import CollapseError, Curves, Spread, curves_of
from cmbench.methods.training.device import NetworkMap, cpu_threads, denormals_as_zeros, is_mixed
from cmbench.methods.training.loop import Run, Training, checkpoint_path
from cmbench.methods.views.inputs import check_training_pairs, warn
from cmbench.methods.views.maps import MappedMethod, steps_of
from cmbench.methods.views.scaling import PREPROCESSING
from cmbench.neural import device_called

LARGE = 1_000_000  # weights; clearing away takes a tenth of a second
PRACTICAL = ("threads", "checkpoint", "checkpoint_seconds")  # parameters without effect on results


class DeepMethod(MappedMethod):
    """A method that trains networks in one or more stages; a subclass says how in ``_learn``.

    ``fit`` sets ``threads_``, ``device_``, ``resumed_at_``, ``validation_map_``, and ``spread_``,
    ``mean_cosine_`` and ``collapsed_`` of the validation representations, each for the modality where it is
    worse; and ``resumed_seconds_`` and ``resumed_processor_seconds_``, what earlier processes took
    for what checkpoints spared, which durations of a record contain.
    """

    family: ClassVar[Literal["traditional", "deep"]] = "deep"
    practical: ClassVar[tuple[str, ...]] = PRACTICAL
    advice: ClassVar[str] = "change learning_rate, or lower weight_decay"
    """What to do about representations that are all alike."""

    learning_rate: Annotated[float | str, Number(0, open_ends=True), SearchRange(1e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of the optimiser."""
    weight_decay: Annotated[float | str, Number(0), SearchRange(1e-6, 1e-2, log=True)] = 1e-4
    """Strength with which the optimiser draws weights, but not biases, towards 0: what it adds to the
    gradient, per unit of weight.
    """
    batch_size: Annotated[int, Count(2)] = 64
    """Training pairs in a batch, cut to their number. The incomplete last batch of an epoch is left out."""
    epochs: Annotated[int, Count(1)] = 100
    """Passes over the training pairs, at most."""
    stopping: Annotated[str, Words("validation", "none")] = "validation"
    """Which state of the networks is kept: that with the highest mean of the two bi-modal MAPs on
    validation, or with ``"none"`` the last one, in which case validation pairs are not looked at.
    """
    eval_epochs: Annotated[int, Count(1)] = 1
    """Epochs from one look at validation to the next."""
    patience: Annotated[int, Count(1)] = 20
    """Epochs to wait for a better state on validation before the training ends."""
    preprocessing: Annotated[str, Words(*PREPROCESSING), SearchSpace("zscore", "global")] = "zscore"
    """Features as stored (``"none"``); standardised column by column by training statistics (``"zscore"``),
    which suits one learning rate to any of them; centred and divided by one number for each view
    (``"global"``), which keeps the proportions of the columns of a PCA or an LSA; or scaled to unit norm row
    by row (``"rownorm"``). In each case columns that are constant in training become 0.
    """
    device: Annotated[str, Words("auto", "cpu", "cuda")] = "auto"
    """Where networks are trained; ``"auto"`` takes a GPU if there is one."""
    threads: Annotated[int | None, Count(1, optional=True)] = None
    """CPU threads; None leaves PyTorch's setting. A different number may change the last bits."""
    checkpoint: Annotated[str | os.PathLike[str] | None, AnyFolder()] = None
    """A folder for the state of the training, from which a fit that was killed goes on; it is deleted at
    the end. It takes no part in the result.
    """
    checkpoint_seconds: Annotated[float, Number(0)] = 60.0
    """Seconds between two checkpoints, at least. They are written at the end of an epoch, and when a
    stage of the training ends.
    """
    random_state: Annotated[int, Count(0)] = 0
    """The seed of everything that is drawn at random: initial weights, batches, and so on."""

    def fit(self, train: Split, validation: Split) -> Self:
        """Train on ``train``; stop, and choose the state to keep, on ``validation``."""
        check_parameters(self)
        check_training_pairs(train)
        check_training_pairs(validation, "validation")
        with denormals_as_zeros(), cpu_threads(self.threads) as self.threads_:
            run = self._run(train, validation)
            try:
                self._learn(train, validation, run)
            except CollapseError as error:
                raise CollapseError(f"{self.name}: {error}; {self.advice}") from error
            self.resumed_at_, self.device_ = run.resumed_at, str(run.device)
            after = run.resumed_after
            self.resumed_seconds_, self.resumed_processor_seconds_ = after.clock, after.processor
            self._move_networks_to_cpu()
            self._judge(validation)
            run.complete()
        del run
        self._clear_away()
        return self

    @abstractmethod
    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        """Train the stages of ``run`` and set the maps, ``curves_``, and what else is to be kept."""

    def _run(self, train: Split, validation: Split) -> Run:
        device = device_called(self.device, raising=MethodError)
        return Run(
            self.name,
            int(self.random_state),
            device,
            mixed=is_mixed(getattr(self, "precision", "float32"), device),
            checkpoint=self._checkpoint_path(train, validation),
            seconds=self.checkpoint_seconds,
        )

    def _move_networks_to_cpu(self) -> None:
        for network in self._networks():
            network.cpu()

    def _networks(self) -> list[nn.Module]:
        steps = (*steps_of(self.image_map_), *steps_of(self.text_map_))
        return [step.network for step in steps if isinstance(step, NetworkMap)]

    def _clear_away(self) -> None:
        """Free what a fit with large networks has left.

        Networks and their trainings refer to each other, and Python, which counts objects and not their size,
        may let those of many fits pile up: 4 GB after seven of Corr-AE.
        """
        if sum(weights.numel() for network in self._networks() for weights in network.parameters()) > LARGE:
            gc.collect()

    def _checkpoint_path(self, train: Split, validation: Split) -> Path | None:
        if self.checkpoint is None:
            return None
        parameters = self.get_params(deep=False)
        values = {name: value for name, value in parameters.items() if name not in self.practical}
        values["version"] = self.version
        return checkpoint_path(self.checkpoint, self.name, values, (train, validation))

    def _record(self, trainings: Sequence[Training[Any]], kept: Training[Any]) -> None:
        """Set curves and counts of trainings one after another, and the best step of the one that is kept."""
        self.curves_ = in_sequence(trainings)
        self.iterations_ = sum(training.iteration for training in trainings)
        before = trainings[: trainings.index(kept)]
        self.best_iteration_ = sum(training.iteration for training in before) + kept.best_iteration

    def _represented(self, split: Split) -> tuple[Representations, Representations]:
        """Return the representations of both views of a split."""
        return self.transform_images(split.images), self.transform_texts(split.texts)

    def _judge(self, validation: Split) -> None:
        """Record the MAP on validation, and warn of representations that are all alike."""
        mapped = self._represented(validation)
        watched = self.stopping != "none"
        self.validation_map_ = bimodal_map(*mapped, validation.targets) if watched else None
        spreads = [Spread.of(rows) for rows in mapped]
        self.spread_ = min(spread.deviation for spread in spreads)
        self.mean_cosine_ = max(spread.cosine for spread in spreads)
        self.collapsed_ = any(spread.collapsed for spread in spreads)
        if self.collapsed_:
            warn(
                f"{self.name}: representations of different items are nearly equal (mean deviation "
                f"{self.spread_:.2g}, mean cosine {self.mean_cosine_:.4f}); {self.advice}"
            )


def in_sequence(trainings: Sequence[Training[Any]]) -> Curves:
    """Return the curves of stages one after another; ``iteration`` counts on through all of them.

    A curve that a stage does not have is NaN there.
    """
    points, before = [], 0
    for training in trainings:
        points += [{**point, "iteration": before + point["iteration"]} for point in training.curves.points]
        before += training.iteration
    return curves_of(points)
