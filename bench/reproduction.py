"""A cell is run again, and what comes out compared with its record."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.command import command, whole_dataset
from cmbench.current import code_of, source_folder
from cmbench.datasets.contract import Dataset
from cmbench.datasets.limiting import limited
from cmbench.datasets.registry import load_dataset
from cmbench.datasets.splits import redrawn
from cmbench.errors import (
    CmbenchError,
    DamagedArraysError,
    DatasetError,
    DatasetWarning,
    MethodError,
    StoreError,
)
from cmbench.evaluation.protocol import PROTOCOLS, Protocol
from cmbench.execution.provenance import provenance
from cmbench.methods.parameters import added_later
from cmbench.methods.registry import Registry, registry
from cmbench.records import Record, base_dataset, commit_text, is_trial, parameters_of, split_of
from cmbench.runner import finished
from cmbench.schema import LEFT_OUT, OK, PRUNED
from cmbench.store import DEFAULT_STORE, Store
from cmbench.tuning import validation_only


@dataclass(frozen=True)
class Reproduction:
    """What came of running a cell again.

    ``maps`` holds for each task and average what was recorded and what came out, ``largest`` is the largest
    difference of the AP of one query (None where the store has no APs), and ``notes`` say what was not the
    same beforehand.
    """

    record: Record
    again: Record
    maps: Mapping[str, tuple[float, float]]
    largest: float | None
    notes: tuple[str, ...]

    @property
    def difference(self) -> float:
        """The largest difference of a MAP or of the AP of a query; infinite where the cell failed."""
        if self.again["status"] != OK:
            return float("inf")
        return max([abs(new - old) for old, new in self.maps.values()] + [self.largest or 0.0])

    def __str__(self) -> str:
        record = self.record
        lines = [f"{record['dataset']['name']}/{record['method']['name']} ({record['key']})"]
        lines += [f"  note: {note}" for note in self.notes]
        if self.again["status"] != OK:
            error = self.again["error"]
            return "\n".join([*lines, f"  {self.again['status']}: {error['type']}: {error['message']}"])
        lines += [
            f"  {task:<16} {old:.6f} {new:.6f} {_told(old, new)}" for task, (old, new) in self.maps.items()
        ]
        return "\n".join([*lines, f"  {self._verdict()}"])

    def _verdict(self) -> str:
        of_queries = (
            "; the store has no APs of single queries that can be compared" if self.largest is None else ""
        )
        if self.difference == 0:
            aps = "" if self.largest is None else ", and so is the AP of every query"
            return f"MAPs are equal to the last bit{aps}{of_queries}"
        queries = "" if self.largest is None else f", APs of single queries by {self.largest:.2g} at most"
        if self.largest == float("inf"):
            queries = ", and some queries have an AP in one of the runs alone"
        most = max(abs(new - old) for old, new in self.maps.values())
        return f"MAPs differ by {most:.2g} at most{queries}{of_queries}"


def _told(old: float, new: float) -> str:
    return "equal" if old == new else f"{new - old:+.2g}"


def reproduced(
    record: Record,
    store: Store,
    *,
    dataset: str | Path | None = None,
    plugin: str | Path | None = None,
    deadline: str | None = "none",
) -> Reproduction:
    """Run the cell of a record again, in a store that is thrown away, and compare.

    Parameters
    ----------
    record : a good one
    store : which it is from, and which may hold the APs of its queries and the code of its plugin
    dataset, plugin : where they are now; by default where the record says
    deadline : the longest time it may take

    Raises
    ------
    CmbenchError
        Where the dataset or the method cannot be found, or is another one: the message says what to give.
    """
    if record["status"] != OK:
        raise StoreError(
            f"cell {record['key']} has no result to compare ({record['status']}); {_remedy(record, store)}"
        )
    data = _dataset(record, dataset)
    available = _available(record, store, plugin)
    notes = list(_differences(record, available))
    with TemporaryDirectory(prefix="cmbench-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DatasetWarning)  # the first run told
        again = _again(record, data, available, folder, deadline)
        maps = {task: (value, (again["map"] or {}).get(task, value)) for task, value in record["map"].items()}
        recorded = _recorded(record, store, notes)
        largest = None
        if again["status"] == OK and recorded is not None:
            largest = _largest(recorded, Store(folder).arrays(again))
    return Reproduction(record, again, maps, largest, tuple(notes))


def _remedy(record: Record, store: Store) -> str:
    """Return what gives a result to a cell that has none."""
    if record["status"] == LEFT_OUT:
        return f"its method cannot run on its dataset: {record['error']['message']}"
    place = None if store.folder == Path(DEFAULT_STORE) else str(store.folder)
    again = command([record], store=place)
    option, argument = "--retry-failed", "retry_failed=True"
    if record["status"] == PRUNED:
        option, argument = "--no-pruning", "pruning=False"
    if again.startswith("cmbench "):
        return f"run it: {again} {option}"
    return f"run again what made it, with {argument}: {again}"


def _again(
    record: Record, dataset: Dataset, available: Registry, store: str, deadline: str | None
) -> dict[str, Any]:
    """Run the cell and return its record."""
    name = record["method"]["name"]
    parameters = parameters_of(record)
    if record["method"].get("origin") == "built-in":
        parameters = then_and_since(name, parameters)
    try:
        (summary,) = finished(
            dataset,
            [name],
            parameters={name: parameters},
            seeds=[record["seed"] or 0],
            protocol=_protocol(record),
            measures=list(record.get("measures", ())),
            plugins=available,
            store=store,
            jobs=1,
            threads=record["threads"],
            deadline=deadline,
            allow_repeated=True,
        )
    except MethodError as error:
        commit = commit_text(record["provenance"])
        raise MethodError(
            f"cell {record['key']} cannot be run with today's code ({error}); it is of version "
            f"{code_of(record)} of {name!r}{commit and f', of commit {commit}'}"
        ) from error
    return Store(store).find(summary["key"]) or summary


def then_and_since(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a record of a built-in method, with those that came later.

    The latter have the values at which they change nothing, which need not be the defaults.
    """
    entry = registry().entries.get(name)
    return {**(added_later(entry.load()) if entry else {}), **parameters}


def _dataset(record: Record, given: str | Path | None) -> Dataset:
    """Return the dataset of a record, which has its fingerprint."""
    base = base_dataset(record)
    name, limit = whole_dataset(record)
    place = given or record.get("configuration", {}).get("dataset") or name
    remedy = "give the place of the dataset with --dataset NAME_OR_PATH"
    try:
        unseen = bool(record["protocol"].get("unseen_categories"))
        found = load_dataset(place, unseen_categories=unseen)
    except DatasetError as error:
        raise DatasetError(
            f"cell {record['key']} is of dataset {base['name']!r}: {error}; {remedy}"
        ) from error
    if limit is not None:
        found = limited(found, limit)
    split, fingerprint = split_of(record), base["fingerprint"]
    own = validation_only(found) if is_trial(record) and not split else found
    if own.fingerprint != fingerprint:
        raise DatasetError(
            f"cell {record['key']} is of dataset {base['name']!r} with fingerprint "
            f"{fingerprint[:12]}, and {place} has {own.fingerprint[:12]}: other arrays; {remedy}"
        )
    if not split:
        return own
    drawn = redrawn(found, split)
    return validation_only(drawn) if is_trial(record) else drawn


def _available(record: Record, store: Store, plugin: str | Path | None) -> Registry:
    """Return the methods, with that of the record, whose code the store may have kept."""
    method = record["method"]
    files = [plugin] if plugin is not None else _kept(record, store)
    available = registry(files)
    if method["name"] not in available.entries:
        problems = f" ({'; '.join(available.problems)})" if available.problems else ""
        raise MethodError(
            f"method {method['name']!r} of cell {record['key']} is not installed{problems}; give the file "
            "that defines it with --plugin FILE.py"
        )
    return available


def _kept(record: Record, store: Store) -> list[Path]:
    """Return the file of a plugin: as the store keeps it, or where the record says."""
    configured = record.get("configuration", {}).get("plugin")
    if record["method"].get("origin") != "file":
        return []
    kept = source_folder(store.folder, code_of(record))
    places = [kept / Path(configured).name] if configured else sorted(kept.glob("*.py"))
    return [place for place in places if place.exists()] or [Path(configured)] * bool(configured)


def _differences(record: Record, available: Registry) -> Iterator[str]:
    """Yield what is not as it was: code, versions of packages, the processor, libraries loaded first."""
    now = available[record["method"]["name"]].code_version()
    if now != code_of(record):
        yield f"the code of the method is version {now}, and the record is of version {code_of(record)}"
    there, here = record["provenance"], provenance()
    packages = there.get("packages", {})
    changed = [
        f"{name} {packages[name]} then, {version} now"
        for name, version in here["packages"].items()
        if packages.get(name) and packages[name] != version
    ]
    if changed:
        yield f"packages: {'; '.join(changed)}"
    if there.get("processor") != here["processor"]:
        yield f"processor: {there.get('processor')} then, {here['processor']} now"
    first_then, first_now = (origin.get("preloaded", "none") for origin in (there, here))
    if first_then != first_now:
        yield f"LD_PRELOAD: {first_then} then, {first_now} now"


def _protocol(record: Record) -> Protocol:
    fields = record["protocol"]
    known = PROTOCOLS.get(fields["name"])
    if known is not None and known.as_dict() == dict(fields):
        return known
    try:
        return Protocol(**fields)
    except TypeError as error:
        raise CmbenchError(
            f"cell {record['key']} was evaluated under protocol {fields['name']!r}, version "
            f"{fields['version']}, which this cmbench does not have ({error})"
        ) from error


def _recorded(record: Record, store: Store, notes: list[str]) -> dict[str, NDArray[Any]] | None:
    """Return the arrays that the store has of the record, else None, and a note on those that are damaged."""
    try:
        return store.arrays(record)
    except DamagedArraysError as error:
        notes.append(str(error))
    except StoreError:  # there are none
        pass
    return None


def _largest(recorded: Mapping[str, NDArray[Any]], again: Mapping[str, NDArray[Any]]) -> float | None:
    """Return the largest difference of the AP of a query, NaN being equal to NaN alone."""
    names = [name for name in recorded if name.startswith("ap_")]
    if any(name not in again or not _are_alike(again[name], recorded[name]) for name in names):
        return float("inf")
    gaps = [np.abs(again[name] - recorded[name]) for name in names]
    return max(float(np.nanmax(gap, initial=0.0)) for gap in gaps) if gaps else None


def _are_alike(values: NDArray[Any], others: NDArray[Any]) -> bool:
    """Return whether values are as many as others, and NaN at the same places."""
    return values.shape == others.shape and bool(np.array_equal(np.isnan(values), np.isnan(others)))
