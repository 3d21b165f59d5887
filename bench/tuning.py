"""Equal tuning: the same budget for every method, chosen by validation MAP alone.

A *trial* is a cell on a dataset whose test split is the validation split, so that the test pairs are out of
reach: they are not in what the cell's process is handed, nor in what its score comes from. Trials are kept in
a store of their own. What is tried next depends on the trials before it and on nothing else, so a search that
was killed, run again, finds its trials in the store and ends as if it had not been.

Many settings of a method differ in its last stages alone. What such trials have in common, RBMs say, is
trained once, kept in the store until the search ends, and taken over bit by bit.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

import numpy as np

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import base_name
from cmbench.disk import remove_folder
from cmbench.errors import CmbenchError, DatasetWarning
from cmbench.evaluation.protocol import BIMODAL_AVERAGE, Protocol, get_protocol
from cmbench.execution.checkpoints import own_checkpoints
from cmbench.execution.job import PRETRAINED
from cmbench.execution.progress import Progress, result_text
from cmbench.limits import duration_text
from cmbench.methods.registry import Registry, registry
from cmbench.methods.training.progress import Look
from cmbench.output import plural
from cmbench.plan import Cell, suitable, unfit
from cmbench.profile_files import add_to_profile
from cmbench.pruning import PruningRule
from cmbench.runner import run
from cmbench.schema import OK, PRUNED, VALIDATION, has_failed
from cmbench.search import Search, Trial
from cmbench.store import TUNING_STORE, Store

SCORE = BIMODAL_AVERAGE
REPEATED = 3  # settings that are run with further seeds before one is chosen
_LONGEST_REASON = 200  # characters


@dataclass(frozen=True)
class Budget:
    """What every method may spend on one dataset.

    At most ``trials`` settings, or as many as begin within ``seconds`` of processor time; None is no limit.
    The best few of them are run with all of ``seeds``, the others with the first.
    """

    trials: int | None = 40
    seconds: float | None = None
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        if self.trials is None and self.seconds is None:
            raise CmbenchError("a budget has neither trials nor seconds; give one of them")
        if not self.seeds or (self.trials is not None and self.trials < 1):
            raise CmbenchError(f"{self} leaves nothing to try; give one trial and one seed at least")

    def allows(self, tried: int, spent: float) -> bool:
        """Return whether one more trial may begin."""
        if self.trials is not None and tried >= self.trials:
            return False
        return self.seconds is None or spent < self.seconds


@dataclass(frozen=True)
class Choice:
    """What a search came to: the parameters with the best mean over seeds, and what was spent on it.

    ``exhausted`` says that every setting of the search space was tried, so that a larger budget would have
    found no more; ``version`` is the code version of the method that was searched.
    """

    parameters: Mapping[str, Any]
    score: float
    trials: int
    failed: int
    seconds: float
    pruned: int = 0
    tried: tuple[Trial, ...] = ()
    exhausted: bool = False
    version: str = ""


@dataclass(frozen=True)
class Failure:
    """A search all of whose trials failed, so that nothing was chosen."""

    tried: tuple[Trial, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why its trials failed, each reason once, that of most trials first."""
        return tuple(reason for reason, _ in Counter(trial.error for trial in self.tried).most_common())


def validation_only(dataset: Dataset) -> Dataset:
    """Return the dataset with its validation pairs in the place of its test pairs."""
    ids = np.array([f"validation of {name}" for name in dataset.validation.ids])
    held_out = replace(dataset.validation, ids=ids)
    card = replace(dataset.card, sizes=None, fingerprint="")
    drawn = dataset.name.removeprefix(base_name(dataset))  # stays at the end
    name = f"{base_name(dataset)}{VALIDATION}{drawn}"
    return Dataset(name, dataset.train, dataset.validation, held_out, dataset.class_names, card)


@dataclass(frozen=True)
class Tuned:
    """The choices for one dataset, by the name of the method, and the methods for which there is none."""

    dataset: str
    fingerprint: str
    choices: Mapping[str, Choice]
    failures: Mapping[str, Failure] = field(default_factory=dict)
    split_of: str = ""
    """The fingerprint of the dataset that this is a split of, drawn anew."""


def tune(
    dataset: Dataset,
    methods: Sequence[str],
    *,
    budget: Budget,
    store: str | Path = TUNING_STORE,
    plugins: Registry | None = None,
    seed: int = 0,
    protocol: str | Protocol = "paper",
    pruning: bool = True,
    told: Callable[[str], None] = lambda line: None,
    **limits: Any,
) -> Tuned:
    """Search the parameters of each method with the same budget, on training and validation pairs alone.

    A training that falls behind those of earlier trials of its method is given up, as
    ``cmbench.pruning.PruningRule`` says, and counts as a trial. How a method's trials end depends on its
    earlier trials alone, however many cells run at a time, and however often the search is killed.

    Parameters
    ----------
    dataset : whose test pairs take no part
    methods : names; a method that gives way to another on a dataset without parts does so here too, and one
        that cannot run on the dataset is left out
    budget : of each method
    store : folder of the trials, which are run only if they are not in it
    plugins : where further methods come from
    seed : of the search
    protocol : by which validation pairs are ranked; one about unseen categories, which validation pairs
        have none of, ranks as ``paper`` does
    pruning : whether trainings that fall behind are given up
    told : is given a line when a trial ends, and one after every round
    **limits : ``jobs``, ``threads``, ``deadline``, ``memory``, ``executor`` and ``scheduler``, as of
        ``cmbench.run``, and ``retry_failed``, which runs trials again that failed

    Returns
    -------
    Tuned
        The choices. A method of which every trial failed has none and stands among the ``failures``. The
        same is in the profile that is left beside the trials.
    """
    available = plugins or registry()
    searches = _searches(methods, dataset, available, seed=seed, told=told)
    rules = get_protocol(protocol)
    rules = get_protocol("paper") if rules.unseen_categories else rules
    options = {"progress": _Told(told), **limits, "protocol": rules}
    # Workers of a scheduler need not have a drive in common.
    sharing = () if limits.get("scheduler") else _sharing(searches, available)
    with _shared_folders(Path(store, ".work", "pretrained", dataset.fingerprint[:16]), sharing) as shared:
        trials = _Trials(validation_only(dataset), store, available, options, shared)
        while asked := _asked(searches, budget):
            pruned_by = {name: searches[name].rule for name in asked if pruning}
            for name, trial in trials.run(asked, budget.seeds[:1], pruned_by).items():
                searches[name].add(trial)
            told(_line(dataset, searches, asked))
        failures = {name: Failure(tuple(each.trials)) for name, each in searches.items() if not each.best(1)}
        found = {name: search for name, search in searches.items() if name not in failures}
        repeated = _repeated({name: search.best(REPEATED) for name, search in found.items()}, trials, budget)
    choices = {
        name: _choice(search, repeated[name], version=available[name].code_version())
        for name, search in found.items()
    }
    for name, choice in choices.items():
        told(f"{dataset.name}: {name} {_chosen(choice)}")
    for name, failure in failures.items():
        told(f"{dataset.name}: {name} {_failed(name, failure, store)}")
    tuned = Tuned(dataset.name, dataset.fingerprint, choices, failures, dataset.card.split_of or "")
    if choices:
        add_to_profile(store, tuned, budget, protocol=get_protocol(protocol).name)
    return tuned


def _sharing(names: Iterable[str], available: Registry) -> list[str]:
    """Return the methods whose trials can share stages."""
    return [name for name in names if PRETRAINED in available[name].load().practical]


@contextmanager
def _shared_folders(place: Path, methods: Iterable[str]) -> Iterator[dict[str, Path]]:
    """Yield a folder for each method in which its trials share the ends of stages, until the search ends.

    Each search has its own, since another may be at the same methods; what a killed one has left is in it.
    Where none can be made, nothing is shared.
    """
    with ExitStack() as stack:
        folders = {}
        for name in methods:
            with suppress(OSError):
                folders[name] = stack.enter_context(own_checkpoints(place.absolute() / name, "search"))
        yield folders
        for folder in folders.values():
            remove_folder(folder)


def _searches(
    methods: Sequence[str],
    dataset: Dataset,
    available: Registry,
    *,
    seed: int,
    told: Callable[[str], None],
) -> dict[str, Search]:
    """Return a search for each method that can run on the dataset; of the others it is told why."""
    names = dict.fromkeys(suitable(available[name], dataset, available).name for name in methods)
    reasons = {name: unfit(available[name].load(), dataset) for name in names}
    for name in filter(reasons.get, names):
        told(f"{dataset.name}: left out {name}: {reasons[name]}")
    return {name: Search(available[name].load(), seed=seed) for name in names if not reasons[name]}


def _asked(searches: Mapping[str, Search], budget: Budget) -> dict[str, dict[str, Any]]:
    """Return the next setting of each method that may still try one."""
    within = {
        name: search.next()
        for name, search in searches.items()
        if budget.allows(len(search.trials), search.spent) and not search.exhausted
        if budget.trials is not None or not search.hopeless  # which fails so quickly that time has no end
    }
    return {name: parameters for name, parameters in within.items() if parameters is not None}


def _line(dataset: Dataset, searches: Mapping[str, Search], asked: Iterable[str]) -> str:
    best = {name: searches[name].best(1) for name in asked}
    scores = [
        f"{name} {trials[0].score:.3f}" if trials else f"{name} failed" for name, trials in best.items()
    ]
    given_up = sum(trial.pruned for search in searches.values() for trial in search.trials)
    pruned = f"; {given_up} trainings given up" if given_up else ""
    round_ = max(len(searches[name].trials) for name in asked)
    return f"{dataset.name}, trial {round_}: best on validation so far {', '.join(scores)}{pruned}"


def _chosen(choice: Choice) -> str:
    """Return what was chosen for a method, and from how many trials."""
    parameters = ", ".join(f"{name}={value!r}" for name, value in choice.parameters.items())
    trials = f"{choice.trials} {plural('trial', choice.trials)}"
    ended = ", all its settings" if choice.exhausted else ""
    failed = f", {choice.failed} failed" if choice.failed else ""
    return f"gets {parameters or 'its defaults'} ({choice.score:.3f} on validation; {trials}{ended}{failed})"


def _failed(name: str, failure: Failure, store: str | Path) -> str:
    """Return why nothing was chosen for a method, and what helps."""
    count, (reason, *others) = len(failure.tried), failure.reasons
    more = f" and {len(others)} other reason(s)" if others else ""
    which = f"all {count} trials" if count > 1 else "its only trial"
    return (
        f"gets nothing: {which} failed ({reason}{more}). 'cmbench show {name} --store {store}' tells all; "
        "mend the method, leave it out, or give it more time or memory and --retry-failed"
    )


class _Told(Progress):
    """Tells how each trial ended when it does."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def finished(self, cell: Cell, record: Mapping[str, Any], log: Path) -> None:
        seconds = duration_text(record["durations"]["total"])
        ended = result_text(record, log)
        if record["status"] == PRUNED:
            ended = f"given up after {seconds}: {record['error']['message']}"
        self._told(f"  {cell.label}: {ended}")


@dataclass(frozen=True, eq=False)
class _Trials:
    """Runs settings on one dataset, or finds them in the store.

    Trials of a method share the ends of stages that their settings have in common, in the folder that
    ``shared`` has for it: a method of another name cannot reach it.
    """

    dataset: Dataset
    store: str | Path
    available: Registry
    limits: Mapping[str, Any]
    shared: Mapping[str, Path]

    def run(
        self,
        settings: Mapping[str, Mapping[str, Any]],
        seeds: Sequence[int],
        rules: Mapping[str, PruningRule] = MappingProxyType({}),
    ) -> dict[str, Trial]:
        """Run one setting of each method; the score is the mean over seeds, None if any of them failed.

        Trainings are given up by the rule of their method, if there is one.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DatasetWarning)  # here the validation pairs are the test pairs
            frame = run(
                self.dataset,
                list(settings),
                parameters=settings,
                seeds=seeds,
                store=self.store,
                plugins=self.available,
                allow_repeated=True,
                pruning=rules,
                shared=self.shared,
                **self.limits,
            )
        results = Store(self.store)
        records: dict[str, list[Mapping[str, Any]]] = {name: [] for name in settings}
        for record in (results.find(key) for key in frame["key"]):
            if record is not None:
                records[record["method"]["name"]].append(record)
        return {name: _trial(settings[name], of_method) for name, of_method in records.items()}


def _trial(parameters: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> Trial:
    scores = [record["map"][SCORE] for record in records if record["status"] == OK]
    seconds = sum(_processor_seconds(record) for record in records)
    complete = bool(records) and len(scores) == len(records)
    looks = tuple(Look(*look) for record in records[:1] for look in record.get("looks", ()))
    pruned = any(record["status"] == PRUNED for record in records)
    error = next((_reason(record) for record in records if has_failed(record)), "")
    return Trial(parameters, fmean(scores) if complete else None, seconds, looks, pruned, error)


def _reason(record: Mapping[str, Any]) -> str:
    """Return in a short line why a cell failed."""
    line = f"{record['error']['type']}: {record['error']['message']}".partition("\n")[0]
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]} ..."


def _processor_seconds(record: Mapping[str, Any]) -> float:
    """Return the processor time of a cell; of one that left none, the time it took."""
    durations = record["durations"]
    return float(durations.get("processor") or durations["total"])


def _repeated(
    finalists: Mapping[str, Sequence[Trial]], trials: _Trials, budget: Budget
) -> dict[str, list[Trial]]:
    """Run the finalists of each method with the other seeds too: the best of all methods, then the next."""
    repeated: dict[str, list[Trial]] = {name: [] for name in finalists}
    for place in range(max(map(len, finalists.values()), default=0)):
        settings = {name: best[place].parameters for name, best in finalists.items() if place < len(best)}
        for name, trial in trials.run(settings, budget.seeds).items():
            repeated[name].append(trial)
    return repeated


def _choice(search: Search, repeated: Sequence[Trial], *, version: str) -> Choice:
    """Choose among the finalists, run with all seeds, by the mean over these."""
    survivors = [trial for trial in repeated if trial.score is not None] or search.best(1)
    best = max(survivors, key=lambda trial: trial.score or 0.0)
    known = search.best(len(repeated))  # whose first seed is in what the search has spent
    return Choice(
        parameters=best.parameters,
        score=best.score or 0.0,
        trials=len(search.trials),
        failed=sum(trial.score is None and not trial.pruned for trial in search.trials),
        pruned=sum(trial.pruned for trial in search.trials),
        tried=tuple(search.trials),
        exhausted=search.exhausted,
        version=version,
        seconds=search.spent + sum(trial.seconds for trial in repeated) - sum(each.seconds for each in known),
    )
