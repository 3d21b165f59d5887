"""How long cells will take, from the records of earlier ones."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import heapify, heapreplace
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from cmbench.plan import Cell, effective_parameters
from cmbench.records import Record, parameters_of, without_seed
from cmbench.schema import OK

SIMILAR = 4.0
"""A dataset tells of another one that has at most so many times as many training pairs, or as few."""
SAME, OTHER_PARAMETERS, OTHER_DATASET = "same settings", "other parameters", "other dataset"
OTHER_MACHINE = "other machine"
FACTORS = {SAME: 1.5, OTHER_PARAMETERS: 2.0, OTHER_DATASET: 3.0, OTHER_MACHINE: 4.0}
"""Four in five cells take between the estimate divided by its factor and the estimate times it.

So it was for the first and the third among the 221 records of ``results/``, each estimated from the others;
of other parameters on the same dataset there were too few, and the factor lies between. Of other machines
none was measured: the factor is a guess.
"""
TYPICAL = Path(__file__).parent / "typical.toml"
"""What the methods of the package took with their defaults on two processors, where it was made."""


@dataclass(frozen=True)
class Estimate:
    """Seconds that a cell will take, what records they come from, and the range that four in five keep to."""

    seconds: float
    basis: str

    @property
    def low(self) -> float:
        """The seconds that few cells stay below."""
        return self.seconds / FACTORS[self.basis]

    @property
    def high(self) -> float:
        """The seconds that few cells exceed."""
        return self.seconds * FACTORS[self.basis]


def estimates(
    cells: Iterable[Cell], records: Iterable[Record], *, deadline: float | None = None
) -> dict[str, Estimate]:
    """Return the estimate of each cell by its key; none of a cell that nothing is known of.

    It is the median of the whole time of finished cells of the same method: with the same parameters on the
    same dataset, whatever the seed; else with other parameters there; else on datasets of ``1/SIMILAR`` to
    ``SIMILAR`` times as many training pairs, their seconds multiplied by the ratio. A method of the package
    with its defaults, of which there is no such record, is estimated from ``TYPICAL`` by the same ratio. No
    cell takes longer than its deadline. Threads, and other cells at the same time, are not looked at.
    """
    wanted, found = list(cells), {}
    earlier = Earlier(records if wanted else ())  # of a store of thousands, it is not read for nothing
    for cell in wanted:
        estimate = earlier.estimate(cell) or _typical(cell)
        if estimate is not None:
            seconds = min(estimate.seconds, deadline or estimate.seconds)
            found[cell.key] = Estimate(seconds, estimate.basis)
    return found


class Earlier:
    """The seconds of finished cells, by what they have in common with another cell."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._same: dict[tuple[str, str, str], list[float]] = {}
        self._on_dataset: dict[tuple[str, str], list[float]] = {}
        self._by_size: dict[str, list[tuple[int, float]]] = {}
        for record in records:
            if record["status"] == OK:
                self._add(record)
        self._there = cache(self._estimate_there)
        self._scaled = cache(self._scaled_to)

    def _add(self, record: Record) -> None:
        method, fingerprint = record["method"]["name"], record["dataset"]["fingerprint"]
        seconds, pairs = record["durations"].get("total"), record["dataset"]["sizes"].get("train")
        if seconds is None:
            return
        settings = _as_text(parameters_of(record))
        self._same.setdefault((method, fingerprint, settings), []).append(seconds)
        self._on_dataset.setdefault((method, fingerprint), []).append(seconds)
        if pairs:
            self._by_size.setdefault(method, []).append((pairs, seconds))

    def estimate(self, cell: Cell) -> Estimate | None:
        """Return the estimate of a cell from the records that are most like it."""
        method, fingerprint = cell.method.name, cell.dataset.fingerprint
        settings = _as_text(without_seed(cell.parameters, cell.method.practical))
        there = self._there(method, fingerprint, settings)
        if there is not None:
            return there
        scaled = self._scaled(method, len(cell.dataset.train))
        return None if scaled is None else Estimate(scaled, OTHER_DATASET)

    def _estimate_there(self, method: str, fingerprint: str, settings: str) -> Estimate | None:
        """Return the estimate from records of the same dataset."""
        same = self._same.get((method, fingerprint, settings))
        if same:
            return Estimate(median(same), SAME)
        on_dataset = self._on_dataset.get((method, fingerprint))
        return Estimate(median(on_dataset), OTHER_PARAMETERS) if on_dataset else None

    def _scaled_to(self, method: str, pairs: int) -> float | None:
        """Return the median seconds on similar datasets, for so many training pairs."""
        ratios = [(pairs / known, seconds) for known, seconds in self._by_size.get(method, ())]
        scaled = [ratio * seconds for ratio, seconds in ratios if 1 / SIMILAR <= ratio <= SIMILAR]
        return median(scaled) if scaled else None


def _typical(cell: Cell) -> Estimate | None:
    """Return the estimate of a method with its defaults from what it took elsewhere."""
    pairs, seconds = typical()
    ratio = len(cell.dataset.train) / pairs
    known = cell.entry.origin == "built-in" and cell.method.name in seconds
    if not known or not 1 / SIMILAR <= ratio <= SIMILAR:
        return None
    defaults = effective_parameters(cell.method, {}, cell.seed)
    practical = cell.method.practical
    if without_seed(cell.parameters, practical) != without_seed(defaults, practical):
        return None
    return Estimate(ratio * seconds[cell.method.name], OTHER_MACHINE)


@cache
def typical() -> tuple[int, Mapping[str, float]]:
    """Return the training pairs of the dataset of ``TYPICAL``, and the seconds of each method on it."""
    held = tomllib.loads(TYPICAL.read_text(encoding="utf-8"))
    return held["pairs"], held["seconds"]


def _as_text(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, sort_keys=True)


def longest_first(cells: Iterable[Cell], expected: Mapping[str, Estimate]) -> list[Cell]:
    """Return the cells in the order in which they had better start, so that none is left alone at the end.

    Those that nothing is known of come first, and then the longest ones. Equals keep their order.
    """

    def seconds(cell: Cell) -> float:
        estimate = expected.get(cell.key)
        return inf if estimate is None else estimate.seconds

    return sorted(cells, key=seconds, reverse=True)


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """Return how long cells take that run one after another, in this order, ``jobs`` at the same time.

    >>> makespan([3.0, 1.0, 1.0, 1.0], 2), makespan([], 2)
    (3.0, 0.0)
    """
    ends = [0.0] * jobs
    heapify(ends)
    for each in seconds:
        heapreplace(ends, ends[0] + each)
    return max(ends)
