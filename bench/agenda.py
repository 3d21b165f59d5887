"""The agenda of a run: the cells that it is about, and which of them it is to run."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmbench.choices import united_choices
from cmbench.choosing import as_list, chosen_methods, published
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import base_name
from cmbench.datasets.limiting import limited
from cmbench.datasets.registry import BUILT_IN, load_dataset
from cmbench.datasets.soundness import refuse_unsound
from cmbench.datasets.splits import redrawn
from cmbench.errors import CmbenchError, DatasetWarning
from cmbench.evaluation.protocol import Protocol, get_protocol
from cmbench.execution.fence import built_in_files
from cmbench.methods.registry import Registry, registry
from cmbench.plan import Cell, plan
from cmbench.profile_files import Profile
from cmbench.profiles import (
    PUBLISHED,
    check_reach,
    named_profile,
    shared_profile,
    warn_of_other_versions,
)
from cmbench.pruning import PruningRule
from cmbench.schema import LEFT_OUT, Problem
from cmbench.store import DEFAULT_STORE, Contents, Store

if TYPE_CHECKING:
    from cmbench.methods.contract import Method

DEFAULT_DATASETS = ("emoji",)


@dataclass(frozen=True, eq=False)
class Agenda:
    """The cells of a run: all, and those that it is to run, without those that cannot be.

    ``before`` is what the store has, ``earlier`` the summaries of its records by key, and ``hidden`` are the
    files and folders that datasets were given by.
    """

    store: Store
    cells: list[Cell]
    pending: list[Cell]
    left_out: list[Cell]
    before: Contents
    earlier: dict[str, dict[str, Any]]
    hidden: list[Path]


def planned(
    datasets: Sequence[str | Path | Dataset] | str | Path | Dataset = DEFAULT_DATASETS,
    methods: Sequence[str | Method] | str | Method | None = None,
    *,
    seeds: int | Sequence[int] = (0,),
    splits: int = 1,
    store: str | Path = DEFAULT_STORE,
    protocol: str | Protocol = "paper",
    measures: Sequence[str] | str | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    presets: Mapping[str, str] | None = None,
    profile: str | Path | Profile | None = None,
    like: str | None = None,
    plugins: Sequence[str | Path] | Registry = (),
    force: bool = False,
    retry_failed: bool = False,
    allow_repeated: bool = False,
    check_determinism: bool = False,
    pruning: Mapping[str, PruningRule] | None = None,
    shared: Mapping[str, Path] | None = None,
    limit: int | None = None,
) -> Agenda:
    """Return the cells of a run with these arguments of ``run``, and which of them it would run.

    Nothing is written. Raises ``CmbenchError`` as ``run`` does before anything runs.
    """
    seeds = range(at_least_one("seeds", seeds)) if isinstance(seeds, int) else seeds
    available = plugins if isinstance(plugins, Registry) else _registry(as_list(plugins))
    if profile == PUBLISHED:
        profile, presets = None, {**published(methods, available), **(presets or {})}
    chosen = chosen_methods(methods, available, parameters or {}, presets or {})
    given, rules = as_list(datasets), get_protocol(protocol)
    loaded = sound_datasets(given, rules, splits=splits, limit=limit, allow_repeated=allow_repeated)
    places = {own_fingerprint(dataset): _place(item) for dataset, item in zip(loaded, given, strict=False)}
    own = {own_fingerprint(dataset): base_name(dataset) for dataset in loaded}
    drawn = {dataset.fingerprint: dataset.card.split_of for dataset in loaded if dataset.card.split_of}
    tuned = named_profile(profile, own, store, drawn=drawn, places=places)
    if like is not None:
        tuned = shared_profile(tuned, available[like].load(), [entry.load() for entry, _ in chosen], own)
    cells = plan(
        loaded,
        chosen,
        seeds=seeds,
        protocol=rules,
        available=available,
        measures=None if measures is None else as_list(measures),
        profile=tuned,
    )
    warn_of_other_versions(cells)
    check_reach(tuned, cells, own)
    rule_of, shared_by = dict(pruning or {}).get, dict(shared or {}).get
    cells = [
        replace(
            cell,
            given=places.get(own_fingerprint(cell.dataset)),
            rule=rule_of(cell.method.name),
            shared=shared_by(cell.method.name),
        )
        for cell in cells
    ]
    results = Store(Path(store).absolute())  # a method may change the current folder
    return _compared(
        cells, results, _files(given), force=force, retry_failed=retry_failed, twice=check_determinism
    )


def _compared(cells: list[Cell], store: Store, hidden: list[Path], *, force: bool, **again: bool) -> Agenda:
    """Return the agenda of cells after a look at what the store has; ``again`` is for ``is_wanted``."""
    before = store.read_summaries()
    broken, earlier = unreadable(cells, before.problems), before.by_key
    wanted = [
        with_tuning_of(with_measures_of(cell, earlier.get(cell.key)), earlier.get(cell.key))
        for cell in cells
        if (force or cell.key not in broken) and is_wanted(cell, earlier.get(cell.key), force=force, **again)
    ]
    pending = [cell for cell in wanted if not cell.left_out]
    left_out = [cell for cell in wanted if cell.left_out]
    return Agenda(store, cells, pending, left_out, before, earlier, hidden)


def sound_datasets(
    given: Iterable[str | Path | Dataset],
    rules: Protocol,
    *,
    splits: int = 1,
    limit: int | None = None,
    allow_repeated: bool = False,
) -> list[Dataset]:
    """Return datasets whose numbers mean something, then those with their pairs divided anew.

    These are of the split seeds 1 to splits - 1. With ``limit``, that many pairs of each split are taken
    first. Raises and warns as ``sound_dataset`` does.
    """
    loaded = [sound_dataset(item, rules, allow_repeated=allow_repeated) for item in given]
    if limit is not None:
        loaded = [limited(dataset, limit) for dataset in loaded]
    drawn = [
        sound_dataset(redrawn(dataset, seed), rules, allow_repeated=allow_repeated)
        for dataset in loaded
        for seed in range(1, at_least_one("splits", splits))
    ]
    return loaded + drawn


def unreadable(cells: Sequence[Cell], problems: Sequence[Problem]) -> set[str]:
    """Return the keys of cells whose files are there and cannot be read; these are not run over them."""
    names = [problem.path.stem for problem in problems if problem.line is None]
    ends = {name.rpartition("-")[2] for name in names}
    return {cell.key for cell in cells if cell.key in ends}


def _place(given: str | Path | Dataset) -> str | None:
    """Return the name of a built-in dataset, or the whole path of another; None where neither is known."""
    if isinstance(given, Dataset):
        read = given.card.loaded_from
        return None if read is None or read in built_in_files() else str(read)
    path = Path(given).expanduser()
    return str(given) if given in BUILT_IN else str(path.absolute())


def own_fingerprint(dataset: Dataset) -> str:
    """Return the fingerprint of a dataset, or of that whose pairs were divided anew."""
    return dataset.card.split_of or dataset.fingerprint


def _files(datasets: Sequence[str | Path | Dataset]) -> list[Path]:
    """Return the files and folders that datasets were given by."""
    return [Path(given).expanduser() for given in datasets if isinstance(given, Path | str)]


def sound_dataset(item: str | Path | Dataset, rules: Protocol, *, allow_repeated: bool = False) -> Dataset:
    """Return a dataset whose numbers mean something, with a ``DatasetWarning`` for what is questionable.

    Raises ``DatasetError`` where validation pairs cannot choose, or pairs stand in two splits and
    ``allow_repeated`` does not let them pass.
    """
    if not isinstance(item, Dataset):
        item = load_dataset(item, unseen_categories=rules.unseen_categories)
    dataset = item
    refuse_unsound(dataset.name, dataset.findings, allow_repeated=allow_repeated)
    for finding in dataset.findings_under(by_pair=rules.by_pair):
        warnings.warn(f"dataset {dataset.name!r}: {finding.sentence}", DatasetWarning, stacklevel=3)
    return dataset


def is_wanted(
    cell: Cell,
    record: Mapping[str, Any] | None,
    *,
    force: bool = False,
    retry_failed: bool = False,
    twice: bool = False,
) -> bool:
    """Return whether a cell is to be run although it has that record, which is None where it has none.

    ``twice`` asks for one that tells of two fits.
    """
    if force or record is None:
        return True
    if cell.left_out:  # by an earlier version it failed
        return record["status"] not in ("ok", LEFT_OUT)
    if record["status"] == "ok":
        lacks_measures = not set(cell.measures) <= set(record.get("measures", ()))
        return lacks_measures or (twice and "repeats" not in record)
    if record["status"] == "pruned":  # and is so again, or to be trained to its end
        return cell.rule is None
    return retry_failed or record["status"] == LEFT_OUT  # of a card that said less


def with_measures_of(cell: Cell, record: Mapping[str, Any] | None) -> Cell:
    """Return the cell with the measures of its earlier record added, so that none is lost."""
    earlier = (record or {}).get("measures", ())
    measures = tuple(dict.fromkeys((*cell.measures, *earlier)))
    return cell if measures == cell.measures else replace(cell, measures=measures)


def with_tuning_of(cell: Cell, record: Mapping[str, Any] | None) -> Cell:
    """Return the cell with the choices that its earlier record tells of beside that of its profile."""
    known = None if record is None else record["method"].get("tuning")
    return cell if known is None else replace(cell, tuning=united_choices(cell.tuning or {}, known))


def _registry(plugins: Sequence[str | Path]) -> Registry:
    available = registry(plugins)
    for problem in available.problems:
        warnings.warn(problem, stacklevel=3)
    return available


def at_least_one(name: str, count: int) -> int:
    """Return the count; ``CmbenchError`` where it is 0 or negative."""
    if count < 1:
        raise CmbenchError(f"{name} is {count}; use 1 or more")
    return count
