"""The loop that trains: rounds, looks at validation, patience, the best state, checkpoints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from cmbench.datasets.draft import Split
from cmbench.disk import DAMAGE, replacing
from cmbench.errors import MethodError
from cmbench.methods.training.curves import CurveRecorder, check_finite
from cmbench.methods.views.inputs import row_blocks

Modules: TypeAlias = Mapping[str, nn.Module]
Score: TypeAlias = float | tuple[float, ...]
"""The higher, the better. Of a tuple the first number counts, and each further one breaks a tie."""


class BestState:
    """Keeps a copy of parameters and running statistics at the highest score; the first of equals.

    >>> from torch.nn import Linear
    >>> best = BestState()
    >>> network = {"net": Linear(2, 1)}
    >>> best.offer(0.4, step=10, modules=network), best.offer(0.3, step=20, modules=network)
    (True, False)
    >>> best.score, best.step, best.waited(30)
    ((0.4,), 10, 20)
    """

    def __init__(self) -> None:
        self.score: tuple[float, ...] = (float("-inf"),)
        self.step = 0
        self._copies: dict[str, dict[str, Tensor]] = {}

    def offer(self, score: Score, *, step: int, modules: Modules) -> bool:
        """Copy the modules if ``score`` is the best so far, and return whether it is; NaN never is."""
        numbers = _numbers(score)
        if not numbers > self.score:
            return False
        self.score, self.step = numbers, step
        self._copies = {
            name: {key: value.detach().clone() for key, value in module.state_dict().items()}
            for name, module in modules.items()
        }
        return True

    def waited(self, step: int) -> int:
        """Return how many steps ago the best was."""
        return step - self.step

    def put_back(self, modules: Modules) -> None:
        """Return the modules to their best state, in place, if there is one."""
        for name, copy in self._copies.items():
            modules[name].load_state_dict(copy)

    def state(self) -> dict[str, Any]:
        """Return all of it for a checkpoint."""
        return {"score": self.score, "step": self.step, "copies": self._copies}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``."""
        self.score, self.step, self._copies = _numbers(state["score"]), state["step"], state["copies"]


def _numbers(score: Score) -> tuple[float, ...]:
    return score if isinstance(score, tuple) else (score,)


class Checkpoint:
    """One file that holds the state of one training, replaced as a whole and never unpickled freely.

    Parameters
    ----------
    path : the file, or None to keep no checkpoint
    seconds : the least time between two of them; writing takes about 1 s for full-size networks
    """

    def __init__(self, path: Path | None, *, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state last saved, on the CPU, or None."""
        if self.path is None or not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except DAMAGE as error:
            raise MethodError(
                f"{self.path} is not a readable checkpoint ({type(error).__name__}); delete it to start anew"
            ) from error
        return state

    def is_due(self) -> bool:
        """Return whether it is time to save again."""
        return self.path is not None and time.monotonic() - self._written >= self.seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state`` beside the file and move it into place, so that a kill leaves one or the other."""
        if self.path is None:
            return
        with replacing(self.path) as beside, beside.open("wb") as file:
            torch.save(dict(state), file)  # of a path, PyTorch would write the name into the file
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the file of a training that is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def checkpoint_path(
    folder: str | os.PathLike[str], name: str, settings: Mapping[str, Any], splits: tuple[Split, ...]
) -> Path:
    """Return the file of the training of ``name`` with these settings on these pairs, and of no other."""
    digest = sha256(repr(sorted(settings.items())).encode())
    for split in splits:
        digest.update(split.labels.tobytes())
        for features in (split.images, split.texts):
            digest.update(f"{features.shape} {features.dtype}".encode())
            for rows in row_blocks(features):
                digest.update(rows.tobytes())
    return Path(folder) / f"{name}-{digest.hexdigest()[:16]}.pt"


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
