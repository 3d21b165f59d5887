"""What records keep beside their numbers, and how to fill it where it is not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from numpy.typing import NDArray

from cmbench.errors import ReportError, StoreError
from cmbench.records import Record, split_of
from cmbench.report.settings import Setting
from cmbench.store import Store

T = TypeVar("T")


class NotKeptError(ReportError):
    """A record does not keep the arrays that a figure is made of."""


@dataclass(frozen=True)
class Kept:
    """Finished runs of a setting, with the store that holds their arrays."""

    store: Store
    setting: Setting

    def arrays(self, record: Record, *names: str, called: str) -> Mapping[str, NDArray[Any]]:
        """Return the arrays of a record, these among them; ``NotKeptError`` where one is missing."""
        arrays = self.store.arrays(record)
        if any(name not in arrays for name in names):
            raise NotKeptError(
                f"{self.setting.label} on {record['dataset']['name']}: its record has no {called}; an "
                "earlier cmbench made it, or it was left out when it was shared. 'cmbench show "
                f"{record['key']} --store {self.store.folder}' says how to run it again; do it with --force"
            )
        return arrays


def of_all(kept: Sequence[Kept], read: Callable[[Kept], T]) -> list[T]:
    """Return what ``read`` gives of each.

    Where a record keeps nothing of it, the error names the methods whose records do.
    """
    found, lacking, errors = [], set(), []
    for each in kept:
        try:
            found.append(read(each))
        except (NotKeptError, StoreError) as error:
            lacking.add(each.setting.method["name"])
            errors.append(error)
    if not errors:
        return found
    others = dict.fromkeys(each.setting.method["name"] for each in kept)
    named = ",".join(name for name in others if name not in lacking)
    if not named:
        raise errors[0]
    raise ReportError(f"{errors[0]}. --methods {named} draws those that have it") from errors[0]


def on_one_split(kept: Sequence[Kept]) -> list[Kept]:
    """Return the settings with their runs on the first split that all of them have finished.

    What is shown of single pairs is comparable on the same test pairs alone. Raises ``ReportError`` where
    there is no such split.
    """
    shown = settings_on_one_split([each.setting for each in kept])
    return [replace(each, setting=setting) for each, setting in zip(kept, shown, strict=True)]


def settings_on_one_split(settings: Sequence[Setting]) -> list[Setting]:
    """Return settings with their runs on the first split that all of them have finished.

    Raises ``ReportError`` where there is no such split.
    """
    if not settings:
        return []
    common = set(settings[0].splits).intersection(*(each.splits for each in settings[1:]))
    if not common:
        has = "; ".join(f"{each.label}: {', '.join(map(str, each.splits))}" for each in settings)
        raise ReportError(
            f"no split is finished for all methods, and test pairs of several do not compare ({has}); run "
            "what is missing, or choose others with --methods"
        )
    return [_on_split(each, min(common)) for each in settings]


def _on_split(setting: Setting, split: int) -> Setting:
    records = tuple(record for record in setting.finished if split_of(record) == split)
    return replace(setting, records=records)
