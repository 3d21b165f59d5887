"""What records keep beside their numbers, and the command that fills it where an earlier cmbench did not."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from cmbench.errors import ReportError
from cmbench.report.records import Record, Setting
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
                f"{self.setting.label} on {record['dataset']['name']}: its record has no {called}, since an "
                f"earlier cmbench made it. To fill it: {filling_command(self.store, record)}"
            )
        return arrays


def filling_command(store: Store, record: Record) -> str:
    """Return the command that makes a record again, in its own setting."""
    method, protocol = record["method"], record["protocol"]
    words = ["cmbench", "run", "--dataset", record["dataset"]["name"], "--methods", method["name"]]
    words += ["--store", str(store.folder), "--force"]
    if record["seed"] is not None:
        words += ["--seeds", f"{record['seed']},"]
    if protocol["name"] != "paper":
        words += ["--protocol", protocol["name"]]
    for name, value in sorted(method["parameters"].items()):
        if name != "random_state" and name not in method.get("practical", ()):
            words += ["--set", f"{method['name']}.{name}={json.dumps(value)}"]
    return shlex.join(words)
