"""The records of a store, for reports."""

from pathlib import Path

from cmbench.errors import ReportError
from cmbench.report.groups import Record
from cmbench.store import Store


def stored_records(folder: str | Path) -> list[Record]:
    """Return all records of the store in ``folder``, in its stable order; none raise ``ReportError``."""
    records: list[Record] = [*Store(folder).records()]
    if not records:
        raise ReportError(
            f"no records in {folder}; run 'cmbench run' first, or name another folder with --store"
        )
    return records
