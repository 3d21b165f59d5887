"""The loop that trains networks: rounds, looks at validation, patience, checkpoints, and a fit's stages."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from cmbench.datasets.draft import Split
from cmbench.disk import DAMAGE, remove_unfinished
from cmbench.errors import MethodError
from cmbench.methods.training.batches import (
    Budget,
    BudgetedBatches,
    EpochBatches,
    seeded_apart,
    stream,
)
from cmbench.methods.training.curves import CurveRecorder, check_finite
from cmbench.methods.training.device import DeviceRows
from cmbench.methods.training.plateau import Plateau
from cmbench.methods.training.progress import Look, Seconds, report
from cmbench.methods.views.inputs import row_blocks
from cmbench.neural import read_state, write_state

CPU = torch.device("cpu")
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
    """One file that holds the state of one training: replaced as a whole, and read without running any code.

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
            state: dict[str, Any] = read_state(self.path)
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
        write_state(self.path, dict(state))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the file of a training that is complete."""
        if self.path is not None:
            remove_unfinished(self.path)
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


@dataclass(frozen=True, eq=False)
class Dependence:
    """What the end of a stage depends on besides the run, its networks as they are, and its optimisers.

    Two stages that are alike in all of that end alike, bit by bit.

    Parameters
    ----------
    rows : that it learns from, and those by which it ends if there are any
    settings : everything else, whose ``repr`` tells all of it: numbers, strings, dataclasses of these
    """

    rows: tuple[DeviceRows, ...]
    settings: tuple[object, ...] = ()


def shared_file(
    folder: Path,
    stage: str,
    dependence: Dependence,
    *,
    modules: Modules,
    optimizers: Mapping[str, torch.optim.Optimizer],
    circumstances: Iterable[object],
) -> Path:
    """Return the file in ``folder`` for the end of a stage that depends on this, and of no other.

    ``circumstances`` are those of the run: seed, device, precision. Numbers of threads and versions are
    taken into account too, since either may change the last bits.
    """
    groups = [optimizer.state_dict()["param_groups"] for optimizer in optimizers.values()]
    versions = version("cmbench"), torch.__version__, torch.get_num_threads()
    digest = sha256(repr([stage, *circumstances, versions, groups, dependence.settings]).encode())
    for name, module in modules.items():
        for key, values in module.state_dict().items():
            digest.update(f"{name} {key} {tuple(values.shape)}".encode())
            digest.update(values.cpu().numpy().tobytes())
    for given in dependence.rows:
        scaling = given.scaling
        digest.update(f"{given.features.shape} {given.features.dtype} {scaling.normalise_rows}".encode())
        digest.update(scaling.mean.tobytes() + scaling.scale.tobytes())
        for rows in row_blocks(given.features):
            digest.update(rows.tobytes())
    return folder / f"{stage}-{digest.hexdigest()[:32]}.pt"


Drawn = TypeVar("Drawn")
Watched: TypeAlias = list[tuple[str, Tensor]]
"""What one round is recorded by: scalars (0-d) by the names of their curves."""


@dataclass(frozen=True, eq=False)
class Finding:
    """What a look at the validation pairs found: the score that decides, and points of curves by name.

    A state that is not to be kept, of a warm-up say, is ``keep=False``.
    """

    score: Score
    measured: Mapping[str, float]
    keep: bool = True


@dataclass(kw_only=True, eq=False)
class Training(Generic[Drawn]):
    """The training of some networks by one loop: what the loop needs, and how far it has come.

    Its attributes ``curves``, ``best``, ``iteration`` and ``resumed_at`` are the curves, the best state, the
    number of rounds made, and how many of these an earlier process had made, in ``resumed_after`` seconds;
    ``looks`` are the looks at validation, and ``epoch`` is the number of the epoch to come.

    Parameters
    ----------
    method, stage : names, for errors
    modules : every network by name, for checkpoints and the guard against NaN
    kept : those of them whose best state is kept
    optimizers : by name
    draws : gives, for the number of an epoch, what each of its rounds takes, the rows of a batch say; the
        same every time it is asked
    rounds : in an epoch; a round is one batch, and ``iteration`` counts the rounds of all epochs
    step : trains one round on what was drawn for it, and returns the scalars to record, by name; its second
        argument says whether norms of gradients are wanted among them
    epochs : at most
    look_every : rounds from one look to the next, each of which makes a point of the curves
    patience : epochs without a better validation score after which training ends
    score : the validation score, to be high: a MAP, in curves ``validation_map``, or a ``Finding``; None
        to keep the last state
    plateau : where there is no score, what ends the training before all epochs; None for nothing
    """

    method: str
    stage: str
    modules: Modules
    kept: Modules
    optimizers: Mapping[str, torch.optim.Optimizer]
    draws: Callable[[int], Iterable[Drawn]]
    rounds: int
    step: Callable[[Drawn, bool], Watched]
    epochs: int
    look_every: int
    patience: int
    score: Callable[[], float | Finding] | None
    plateau: Plateau | None = None
    best: BestState = field(default_factory=BestState)
    iteration: int = 0
    epoch: int = 0
    resumed_at: int = 0
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.curves = CurveRecorder(self.method)
        self.resumed_after = self._spent = self._began = Seconds()

    def run(self, checkpoint: Checkpoint, *, pause: int | None = None) -> None:
        """Train to the end, going on from ``checkpoint`` if it has a state, and put back the best state.

        With ``pause`` it trains that many epochs, and leaves the networks as they then are; another call goes
        on. The state at the end is saved too, so that a fit that is killed in a later stage does not train
        this one again. ``Run.complete`` removes the file.
        """
        self._began = Seconds.now()
        saved = None if self.iteration else checkpoint.load()
        if saved is not None:
            self.restore(saved)
            self.resumed_after = self._spent = Seconds(**saved.get("seconds", {}))
        last = self.epochs if pause is None else min(pause, self.epochs)
        while self.epoch < last:
            out_of_patience = self._run_epoch(self.epoch)
            self.epoch = self.epochs if out_of_patience else self.epoch + 1
            if checkpoint.is_due():
                checkpoint.save(self._state())
        # The last rounds make a point of the curves too
        if self.epoch == self.epochs and self.iteration > self._looked_at:
            self._look()
        checkpoint.save(self._state())
        self._spent += Seconds.now() - self._began
        if pause is None:
            self.best.put_back(self.kept)

    def end(self) -> dict[str, Any]:
        """Return what another training needs to be where this one has ended, without its optimisers."""
        return {**self._state(), "optimizers": {}, "seconds": {}}

    def score_at(self, epoch: int) -> float:
        """Return the validation score at the last look within so many epochs; there must have been one."""
        return [look.score for look in self.looks if look.epoch <= epoch][-1]

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
        for drawn in self.draws(epoch):
            self.iteration += 1
            due = self.iteration % self.look_every == 0
            self.curves.add(self.iteration, self.step(drawn, due))
            if due and self._look():
                return True
        return False

    def _look(self) -> bool:
        """Make a point of the curves; return whether patience with validation has run out."""
        means = self.curves.flush()
        self._check_weights()
        if self.score is None:
            return self._look_without_score(means)
        finding = self.score()
        if not isinstance(finding, Finding):
            finding = Finding(finding, {"validation_map": finding})
        self.curves.point(self.iteration, {**means, **finding.measured})
        if finding.keep:
            self.best.offer(finding.score, step=self.iteration, modules=self.kept)
        epoch, score = self.iteration / self.rounds, _numbers(finding.score)[0]
        self.looks.append(Look(self.stage, epoch, float(score), self.epochs))
        report(self.looks[-1])
        return self.best.waited(self.iteration) >= self.patience * self.rounds

    def _look_without_score(self, means: Mapping[str, float]) -> bool:
        """Make a point of the curves; return whether the error on validation rows has reached a plateau."""
        measured = self.plateau.measured() if self.plateau else {}
        self.curves.point(self.iteration, {**means, **measured})
        return self.plateau is not None and self.plateau.reached(self.curves.points)

    def _check_weights(self) -> None:
        """Raise where an update left NaN or infinity in a network, which a finite loss need not show."""
        for name, module in self.modules.items():
            total = float(sum(values.sum().float() for values in module.state_dict().values()))
            what = f"the sum of all weights of {name}" + (f" in stage {self.stage}" if self.stage else "")
            check_finite(self.method, what, self.iteration, total)

    def _state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "networks": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "curves": self.curves.state(),
            "best": self.best.state(),
            "looks": [asdict(look) for look in self.looks],
            "seconds": asdict(self._spent + (Seconds.now() - self._began)),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state of a checkpoint, or the end of another training that was alike in everything."""
        for name, module in self.modules.items():
            module.load_state_dict(state["networks"][name])
        for name, optimizer_state in state["optimizers"].items():
            self.optimizers[name].load_state_dict(optimizer_state)
        self.curves.restore(state["curves"])
        self.best.restore(state["best"])
        self.iteration = self.resumed_at = state["iteration"]
        self.looks = [Look(**look) for look in state.get("looks", ())]
        for look in self.looks:
            report(look)
        self.epoch = int(state["epoch"])


Trainings: TypeAlias = list[Training[Any]]
"""Trainings of one fit, in the order in which they were run."""


@dataclass(frozen=True, eq=False)
class Run:
    """One fit: where it computes, where its random numbers come from, and the stages it consists of.

    A stage is one call of ``train``: one ``Training`` under a name of its own. (What a paper calls a stage of
    its method may consist of several.) Each stage has a checkpoint file of its own, written at its end
    whatever ``seconds`` says, so that a fit that was killed does not train a finished stage again. A fit that
    goes on must train the same stages in the same order.

    Parameters
    ----------
    method : its name, for errors
    seed : int, from which all random numbers come
    device : where networks are trained
    mixed : whether matrix products are computed in bfloat16
    checkpoint : a file name from which those of the stages are made, or None to keep no checkpoint
    seconds : the least time between two checkpoints within a stage
    pretrained : a folder in which stages that have a ``Dependence`` leave their ends, and find those of
        other fits; None to share none
    prefix : put before the names of stages and before the purposes of random numbers
    stages : trained so far, with the checkpoint of each
    """

    method: str
    seed: int
    device: torch.device = CPU
    mixed: bool = False
    checkpoint: Path | None = None
    seconds: float = 60.0
    pretrained: Path | None = None
    prefix: str = ""
    stages: list[tuple[Training[Any], Checkpoint]] = field(default_factory=list)

    @property
    def resumed_at(self) -> int:
        """How many rounds, of all stages together, checkpoints and stages of other fits have spared."""
        return sum(training.resumed_at for training, _ in self.stages)

    @property
    def resumed_after(self) -> Seconds:
        """How long earlier processes of this fit took for what checkpoints have spared."""
        return sum((training.resumed_after for training, _ in self.stages), Seconds())

    def part(self, name: str) -> Run:
        """Return the same run with ``name`` put before stages and purposes, for a part of the method.

        Two parts may then have stages of one name, and draw different random numbers.
        """
        return replace(self, prefix=f"{self.prefix}{name}_")

    def stream(self, purpose: str) -> torch.Generator:
        """Return a generator of the random numbers that are kept for ``purpose``."""
        return stream(self.seed, self.prefix + purpose)

    def order(self, n_rows: int, batch: int, purpose: str) -> EpochBatches:
        """Return batches of all rows in a new random order each epoch, one that is kept for ``purpose``."""
        return EpochBatches(n_rows, batch=batch, seed=self.seed, purpose=self.prefix + purpose)

    def batches(self, n_rows: int, budget: Budget, stage: str) -> BudgetedBatches:
        """Return batches of rows for a stage that ends after the epochs or the steps of ``budget``."""
        return BudgetedBatches(n_rows, budget, seed=self.seed, purpose=self.prefix + stage)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which matrix products run in the chosen precision.

        bfloat16 has the range of float32, so gradients need no scaling.
        """
        return torch.autocast(self.device.type, torch.bfloat16) if self.mixed else nullcontext()

    def train(
        self,
        stage: str,
        step: Callable[[Drawn, bool], Watched],
        *,
        modules: Modules,
        optimizers: Mapping[str, torch.optim.Optimizer],
        draws: Callable[[int], Iterable[Drawn]],
        rounds: int,
        epochs: int,
        look_every: int | None = None,
        patience: int | None = None,
        kept: Modules | None = None,
        score: Callable[[], float | Finding] | None = None,
        plateau: Plateau | None = None,
        pause: int | None = None,
        dependence: Dependence | None = None,
        purpose: str | None = None,
    ) -> Training[Drawn]:
        """Train networks as the stage of that name, and return the training with its curves and best score.

        See ``Training`` for the meaning of the arguments. By default there is a look after each epoch,
        patience never runs out, and the state of all ``modules`` is kept. With ``pause`` it trains so many
        epochs at first, and ``go_on`` the rest. PyTorch's own random numbers, which dropout takes, depend on
        the seed, the ``purpose`` (by default the name of the stage) and the epoch alone. A stage without a
        score of which ``dependence`` tells all that it depends on may be taken over from another fit.
        """

        def seeded(epoch: int) -> Iterable[Drawn]:
            torch.manual_seed(self.stream(f"{purpose or stage} dropout {epoch}").initial_seed())
            return draws(epoch)

        training = Training(
            method=self.method,
            stage=self.prefix + stage,
            modules=modules,
            kept=modules if kept is None else kept,
            optimizers=optimizers,
            draws=seeded,
            rounds=rounds,
            step=step,
            epochs=epochs,
            look_every=look_every or rounds,
            patience=patience or epochs,
            score=score,
            plateau=plateau,
        )
        checkpoint = Checkpoint(self._file(training.stage), seconds=self.seconds)
        self.stages.append((training, checkpoint))
        shared = self._shared(training, dependence)
        end = shared.load()
        if end is not None:
            training.restore(end)
            return training
        with seeded_apart(self.device):
            training.run(checkpoint, pause=pause)
        shared.save(training.end())
        return training

    def go_on(self, training: Training[Drawn], *, pause: int | None = None) -> None:
        """Train a training of this run that had a ``pause`` to its end, or to a later ``pause``."""
        (checkpoint,) = (each for other, each in self.stages if other is training)
        with seeded_apart(self.device):
            training.run(checkpoint, pause=pause)

    def complete(self) -> None:
        """Delete the checkpoints of all stages."""
        for _, checkpoint in self.stages:
            checkpoint.remove()

    def _shared(self, training: Training[Any], dependence: Dependence | None) -> Checkpoint:
        """Return the file of the end of a stage that other fits may have, or take over, if there is one."""
        if self.pretrained is None or dependence is None:
            return Checkpoint(None, seconds=math.inf)
        file = shared_file(
            self.pretrained,
            training.stage,
            dependence,
            modules=training.modules,
            optimizers=training.optimizers,
            circumstances=(self.seed, self.device, self.mixed, training.epochs, training.rounds),
        )
        return Checkpoint(file, seconds=math.inf)

    def _file(self, stage: str) -> Path | None:
        return self.checkpoint and self.checkpoint.with_stem(f"{self.checkpoint.stem}-{stage}")
