"""The records of a store, for reports."""

from collections.abc import Sequence
from pathlib import Path

from cmbench.errors import ReportError, StoreError
from cmbench.report.groups import Record
from cmbench.store import Store, matching


def stored_records(folder: str | Path) -> list[Record]:
    """Return all records of the store in ``folder``, in its stable order; none raise ``ReportError``."""
    records: list[Record] = [*Store(folder).records()]
    if not records:
        raise ReportError(
            f"no records in {folder}; run 'cmbench run' first, or name another folder with --store"
        )
    return records


def stored_cells(folder: str | Path, names: Sequence[str]) -> list[Record]:
    """Return the records of cells named by method, dataset/method, or the first digits of a key.

    Raises ``StoreError`` for a name that no cell has.
    """
    records = Store(folder).records()
    found: dict[str, Record] = {}
    for name in names:
        cells = {record["key"]: record for record in matching(records, name)}
        if not cells:
            known = sorted({f"{record['dataset']['name']}/{record['method']['name']}" for record in records})
            raise StoreError(f"no cell {name!r} in {folder}; it has {', '.join(known) or 'none'}")
        found |= cells
    return list(found.values())
