"""Records with the curves of their training, as a store has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import ReportError, StoreError
from cmbench.report.failures import failure_text
from cmbench.report.groups import Group, Record, groups
from cmbench.report.settings import Setting, settings
from cmbench.store import Store

Curves: TypeAlias = Mapping[str, NDArray[np.float64]]

ITERATION = "iteration"
_PREFIX = "curve_"  # of the names of curves among the arrays of a record


@dataclass(frozen=True, eq=False)
class Training:
    """A record with the curves (points,) of its training by name, ``iteration`` one of them; maybe none."""

    record: Record
    curves: Curves

    @property
    def steps(self) -> NDArray[np.float64]:
        """The iteration of each point, or its number if the method did not say."""
        points = max(map(len, self.curves.values()))
        return self.curves.get(ITERATION, np.arange(1.0, points + 1))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the curves that have a value to draw."""
        own = [name for name in self.curves if name != ITERATION]
        return tuple(name for name in own if np.isfinite(self.curves[name]).any())

    @property
    def kept(self) -> float | None:
        """The iteration whose state was kept, if the method says so."""
        kept = self.record["fitted"].get("best_iteration_")
        return None if kept is None or ITERATION not in self.curves else float(kept)


def trainings(folder: str | Path, records: Sequence[Record]) -> list[Training]:
    """Return the records with their curves, as the store in ``folder`` has them.

    Records of more than one setting, none with curves, or curves that differ in length raise ``ReportError``.
    """
    setting, group = one_setting(records)
    store = Store(folder)
    found = [Training(record, _stored_curves(store, record)) for record in setting.records]
    if not any(training.names for training in found):
        known = ", ".join(_methods_with_curves(store)) or "none"
        raise ReportError(
            f"{setting.label} on {group.name} has no training curves ({fates(found)}); methods that have "
            f"some in this store: {known}"
        )
    return found


def one_setting(records: Sequence[Record]) -> tuple[Setting, Group]:
    """Return the one setting all records belong to; others raise ``ReportError`` with the keys of each."""
    found = [(setting, group) for group in groups(records) for setting in settings(group.records)]
    if not found:
        raise ReportError("there are no records of a training; run some cells first")
    if len(found) > 1:
        listed = [
            f"{setting.label} on {group.title}: {' '.join(record['key'] for record in setting.records)}"
            for setting, group in found
        ]
        raise ReportError(
            f"these records are of {len(found)} settings, and a figure shows the training of one; choose it "
            f"by its keys: {'; '.join(listed)}"
        )
    return found[0]


def fates(trainings: Sequence[Training]) -> str:
    """Return why records have no curves, with their seeds if they have some."""
    found = []
    for training in trainings:
        record = training.record
        fate = "none stored" if record["status"] == "ok" else failure_text(record)
        found.append(fate if record["seed"] is None else f"seed {record['seed']}: {fate}")
    return "; ".join(found)


def _stored_curves(store: Store, record: Record) -> dict[str, NDArray[np.float64]]:
    """Return the curves of a record's training, by name; none of a failed cell, which has no arrays."""
    if record["status"] != "ok":
        return {}
    arrays = store.arrays(record)
    curves = {name.removeprefix(_PREFIX): values for name, values in arrays.items() if _is_curve(name)}
    if len({values.shape for values in curves.values()}) > 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in curves.items())
        raise ReportError(
            f"the training curves of {record['key']} are not of one length ({shapes}); run it "
            "again with --force"
        )
    return curves


def _methods_with_curves(store: Store) -> list[str]:
    return sorted({record["method"]["name"] for record in store.records() if _has_curves(store, record)})


def _has_curves(store: Store, record: Record) -> bool:
    try:
        return record["status"] == "ok" and any(map(_is_curve, store.arrays(record)))
    except StoreError:  # a file that is gone holds none, and it is not the one that was asked for
        return False


def _is_curve(name: str) -> bool:
    return name.startswith(_PREFIX)
