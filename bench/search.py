"""The search for the parameters of one method: what was tried, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from itertools import product
from math import inf, prod
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cmbench.errors import CmbenchError
from cmbench.methods.parameters import SearchRange, arguments_of
from cmbench.methods.training.progress import Look
from cmbench.pruning import Finished, PruningRule

if TYPE_CHECKING:
    import optuna

    from cmbench.methods.contract import Method

HOPELESS = 40
"""Trials that all failed, after which a search ends that has a budget of time alone."""
_ATTEMPTS = 50  # suggestions of settings that were tried already, after which the rest is tried in order
_MOST_LISTED = 10_000  # settings of a space in which one is looked for that was not tried


@dataclass(frozen=True)
class Trial:
    """One setting and what came of it.

    ``score`` is the bi-modal MAP on validation, None where the cell failed, for the reason ``error``, or was
    ``pruned``; ``seconds`` is processor time; ``looks`` are those of its training at validation.
    """

    parameters: Mapping[str, Any]
    score: float | None
    seconds: float
    looks: tuple[Look, ...] = ()
    pruned: bool = False
    error: str = ""


class Search:
    """The search for the parameters of one method: what was tried, and what to try next.

    The first setting is the defaults, so that the choice is never worse than they on validation. Further
    ones come from a tree-structured Parzen estimator (J. Bergstra et al., Algorithms for hyper-parameter
    optimization, NIPS 2011), whose random numbers depend on the method, the seed and the number of the trial
    alone.
    """

    def __init__(self, method: type[Method], *, seed: int = 0) -> None:
        optuna = _optuna()
        self.trials: list[Trial] = []
        self._space = dict(method.tuning_space)
        self._defaults = {name: argument.default for name, argument in arguments_of(method).items()}
        self._name, self._seed = method.name, seed
        self._sampler = optuna.samplers.TPESampler
        self._study = optuna.create_study(direction="maximize")
        self._distributions = {name: _distribution(values) for name, values in self._space.items()}

    @property
    def spent(self) -> float:
        """The processor time of all trials, in seconds."""
        return sum(trial.seconds for trial in self.trials)

    def next(self) -> dict[str, Any] | None:
        """Return the parameters of the next trial, or None where none is left that was not tried."""
        if not self.trials:
            return {}
        for _ in range(_ATTEMPTS if self._space else 0):
            parameters = self._suggested()
            asked = self._whole(parameters)
            earlier = next((trial for trial in self.trials if self._whole(trial.parameters) == asked), None)
            if earlier is None:
                return parameters
            self._tell(earlier)
        return self._left()

    @property
    def exhausted(self) -> bool:
        """Whether every setting of the search space was tried; never so where a parameter is continuous."""
        return self._size <= len(self.trials) and next(self._untried(), None) is None

    @property
    def hopeless(self) -> bool:
        """Whether many trials were made and all failed."""
        return len(self.trials) >= HOPELESS and not self.best(1)

    @property
    def rule(self) -> PruningRule:
        """When to give up the training of the next trial: if it falls behind those that went to their end."""
        return PruningRule(
            tuple(
                Finished(trial.looks, trial.score)
                for trial in self.trials
                if trial.score is not None and trial.looks
            )
        )

    def add(self, trial: Trial) -> None:
        """Take in the outcome of the setting that ``next`` gave last."""
        if self.trials:
            self._tell(trial)
        self.trials.append(trial)

    def best(self, count: int) -> list[Trial]:
        """Return the best trials; of equals the earlier first, and none that failed."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return sorted(scored, key=lambda trial: -(trial.score or 0.0))[:count]

    def _whole(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return a setting with the defaults of what it leaves out."""
        return {**self._defaults, **parameters}

    @property
    def _size(self) -> float:
        """How many settings the space has."""
        return prod(_count(values) for values in self._space.values())

    def _settings(self) -> Iterator[dict[str, Any]]:
        """Yield every setting of a space that has not too many."""
        lists = [_listed(values) for values in self._space.values()]
        for values in product(*lists):
            yield dict(zip(self._space, values, strict=True))

    def _untried(self) -> Iterator[dict[str, Any]]:
        """Yield every setting that no trial had."""
        tried = [self._whole(trial.parameters) for trial in self.trials]
        return (setting for setting in self._settings() if self._whole(setting) not in tried)

    def _left(self) -> dict[str, Any] | None:
        """Return the first setting that the sampler did not come upon; None where all were tried."""
        if self._size > _MOST_LISTED:
            return None
        left = next(self._untried(), None)
        if left is not None:
            numbers = {name: _drawn(self._space[name], value) for name, value in left.items()}
            self._study.enqueue_trial(numbers)
            self._asked = self._study.ask(self._distributions)
        return left

    def _suggested(self) -> dict[str, Any]:
        digest = sha256(f"{self._name} {self._seed} {len(self._study.trials)}".encode()).digest()
        self._study.sampler = self._sampler(seed=int.from_bytes(digest[:4], "big"))
        self._asked = self._study.ask(self._distributions)
        return {name: _value(self._space[name], drawn) for name, drawn in self._asked.params.items()}

    def _tell(self, trial: Trial) -> None:
        from optuna.trial import TrialState

        if trial.pruned:
            self._asked.report(trial.looks[-1].score, len(trial.looks))
            self._study.tell(self._asked, state=TrialState.PRUNED)
        elif trial.score is None:
            self._study.tell(self._asked, state=TrialState.FAIL)
        else:
            self._study.tell(self._asked, trial.score)


def _optuna() -> ModuleType:
    """Return the package Optuna; ``CmbenchError`` where it is not installed."""
    try:
        optuna = import_module("optuna")
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # lines about studies are nothing to a user
        return optuna
    except ImportError as error:
        raise CmbenchError(f"tuning needs Optuna ({error}); pip install 'cmbench[tune]'") from error


def _distribution(values: Sequence[Any] | SearchRange) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if not isinstance(values, SearchRange):
        return distributions.CategoricalDistribution(range(len(values)))
    if values.whole:
        return distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
    return distributions.FloatDistribution(values.low, values.high, log=values.log)


def _listed(values: Sequence[Any] | SearchRange) -> Sequence[Any]:
    """Return every value of a parameter that is not continuous."""
    if not isinstance(values, SearchRange):
        return values
    return range(int(values.low), int(values.high) + 1)


def _count(values: Sequence[Any] | SearchRange) -> float:
    """Return how many values a parameter has; infinity for a continuous one."""
    return inf if isinstance(values, SearchRange) and not values.whole else len(_listed(values))


def _drawn(values: Sequence[Any] | SearchRange, value: Any) -> Any:
    """Return what the sampler draws where a parameter has the value."""
    return value if isinstance(values, SearchRange) else list(values).index(value)


def _value(values: Sequence[Any] | SearchRange, drawn: Any) -> Any:
    """Return the value of a parameter: what was drawn from a range, or the choice of that number."""
    return drawn if isinstance(values, SearchRange) else values[drawn]
