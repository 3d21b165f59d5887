"""The loop that trains: rounds, looks at validation, patience, the best state, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from cmbench.methods.best_state import BestState, Score
from cmbench.methods.training_checkpoint import Checkpoint
from cmbench.methods.training_curves import CurveRecorder
from cmbench.methods.training_guards import check_finite

Item = TypeVar("Item")
Watched: TypeAlias = list[tuple[str, Tensor]]


@dataclass(frozen=True)
class Length:
    """How long to train, and how often to look.

    Parameters
    ----------
    epochs : int, at most
    eval_every : int, rounds from one look to the next
    patience : int, epochs without a better validation score after which training ends
    """

    epochs: int
    eval_every: int
    patience: int


@dataclass(frozen=True, eq=False)
class Finding:
    """What a look at the validation pairs found: the score that decides, and points of curves by name."""

    score: Score
    measured: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Task(Generic[Item]):
    """What is trained, told in the words of a method.

    Parameters
    ----------
    name : of the method, for errors
    modules : every network by name, for checkpoints and the guard against NaN
    kept : those of them whose best state is kept
    optimizers : by name
    items : gives, for the number of an epoch, what each of its rounds takes; the same every time
    rounds : of an epoch
    step : trains one round on an item and returns what was watched; its second argument says
        whether gradient norms are wanted
    score : the validation score, to be high: a MAP, in curves ``validation_map``, or a ``Finding``; None
        to train all epochs and keep the last state
    """

    name: str
    modules: Mapping[str, nn.Module]
    kept: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    items: Callable[[int], Iterable[Item]]
    rounds: int
    step: Callable[[Item, bool], Watched]
    score: Callable[[], float | Finding] | None


class Training(Generic[Item]):
    """A task under way; ``stage`` names it in errors where it is one of several."""

    def __init__(self, task: Task[Item], length: Length, stage: str = "") -> None:
        self.task, self.length, self.stage = task, length, stage
        self.curves, self.best = CurveRecorder(task.name), BestState()
        self.iteration = self.resumed_at = 0

    def run(self, checkpoint: Checkpoint) -> None:
        """Train to the end, going on from ``checkpoint`` if there is one, and keep the best state.

        The end is saved too, for the trainings that follow; whoever runs them removes the checkpoint.
        """
        saved = checkpoint.load()
        first = 0 if saved is None else self._restore(saved)
        for epoch in range(first, self.length.epochs):
            if self._run_epoch(epoch):
                break
            if checkpoint.is_due():
                checkpoint.save(self._state(epoch + 1))
        if self.iteration > self._looked_at:
            self._look()
        checkpoint.save(self._state(self.length.epochs))
        self.best.put_back(self.task.kept)

    @property
    def best_iteration(self) -> int:
        """The iteration whose state is kept: the best on validation, or else the last."""
        return self.best.step or self.iteration

    @property
    def _looked_at(self) -> int:
        """The iteration of the last look."""
        return int(self.curves.points[-1]["iteration"]) if self.curves.points else 0

    def _run_epoch(self, epoch: int) -> bool:
        """Train one epoch, looking at the validation pairs now and then; return whether to stop."""
        for item in self.task.items(epoch):
            self.iteration += 1
            due = self.iteration % self.length.eval_every == 0
            self.curves.add(self.iteration, self.task.step(item, due))
            if due and self._look():
                return True
        return False

    def _look(self) -> bool:
        """Make a point of the curves; return whether patience with the validation score has run out."""
        means = self.curves.flush()
        self._check_weights()
        if self.task.score is None:
            self.curves.point(self.iteration, means)
            return False
        found = self.task.score()
        if not isinstance(found, Finding):
            found = Finding(found, {"validation_map": found})
        self.curves.point(self.iteration, {**means, **found.measured})
        self.best.offer(found.score, step=self.iteration, modules=self.task.kept)
        return self.best.waited(self.iteration) >= self.length.patience * self.task.rounds

    def _check_weights(self) -> None:
        """Raise where an update of finite losses left a network with NaN or infinity."""
        for name, module in self.task.modules.items():
            sums = [values.sum().float() for values in module.state_dict().values()]
            total = float(torch.stack(sums).sum())
            what = f"the sum of all weights of {name}" + (f" in stage {self.stage}" if self.stage else "")
            check_finite(self.task.name, what, self.iteration, total)

    def _state(self, epoch: int) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "iteration": self.iteration,
            "networks": {name: module.state_dict() for name, module in self.task.modules.items()},
            "optimizers": {name: each.state_dict() for name, each in self.task.optimizers.items()},
            "curves": self.curves.state(),
            "best": self.best.state(),
        }

    def _restore(self, state: dict[str, Any]) -> int:
        for name, module in self.task.modules.items():
            module.load_state_dict(state["networks"][name])
        for name, optimizer in self.task.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.curves.restore(state["curves"])
        self.best.restore(state["best"])
        self.iteration = self.resumed_at = state["iteration"]
        return int(state["epoch"])
