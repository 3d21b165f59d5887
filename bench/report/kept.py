"""What records keep beside their numbers, and how to fill it where it is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from cmbench.errors import ReportError
from cmbench.records import Record, split_of
from cmbench.report.settings import Setting
from cmbench.store import Store


@dataclass(frozen=True)
class Kept:
    """Finished runs of a setting, with the store that holds their arrays."""

    store: Store
    setting: Setting

    def arrays(self, record: Record, *names: str, called: str) -> Mapping[str, NDArray[Any]]:
        """Return the arrays of a record, these among them; ``ReportError`` where one is missing."""
        arrays = self.store.arrays(record)
        if any(name not in arrays for name in names):
            raise ReportError(
                f"{self.setting.label} on {record['dataset']['name']}: its record has no {called}; an "
                "earlier cmbench made it, or it was left out when it was shared. 'cmbench show "
                f"{record['key']} --store {self.store.folder}' says how to run it again; do it with --force"
            )
        return arrays


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
