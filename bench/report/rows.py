"""Records of one method on one dataset sorted into rows of a table, by what tells its settings apart."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

from cmbench.choices import choices_of, chosen_on_each_split, joint_choice
from cmbench.current import code_of
from cmbench.records import Record, parameters_of, split_of
from cmbench.schema import finished_at


def rows_of(records: Sequence[Record]) -> list[list[Record]]:
    """Return the records of one method sorted into the rows of a table, of which some share records.

    A record stands in the row of each choice that it tells of. One whose parameters were chosen on its split
    stands in the row of these parameters as well, if there is one without it. A row that is part of another
    is left out.
    """
    latest_first = chain.from_iterable(zip_longest(*map(_by_choice, records)))
    rows: dict[str, list[Record]] = {}
    for record in filter(None, latest_first):
        rows.setdefault(_row_name(record), []).append(record)
    chosen = [name for name, row in rows.items() if chosen_on_each_split(row[0])]
    for name in chosen:
        rows[name], superseded = _last_of_each_seed(rows[name])
        for record in superseded:
            rows.setdefault(_row_name(_with_tuning(record, None)), [])
            _join(rows, record)
    for record in chain.from_iterable(rows[name] for name in chosen):
        _join(rows, record)
    return _without_parts(list(rows.values()))


def traits_of(record: Record, choice: str = "") -> dict[str, Any]:
    """Return what tells settings of a method apart: its parameters and the version of its code.

    In place of parameters that were chosen on each split it is the profile that they come from, and
    ``choice`` if there is one.
    """
    code = {"code": code_of(record)}
    if chosen_on_each_split(record):
        tuning = record["method"]["tuning"]
        like = f", for {tuning['like']}" if "like" in tuning else ""
        which = f", choice {choice}" if choice else ""
        return {"chosen": f"on each split, profile {tuning['profile']}{like}{which}", **code}
    return {**parameters_of(record), **code}


def run_of(record: Record) -> tuple[int, int | None]:
    """Return the split and the seed of a record, of which a row has one each."""
    return split_of(record), record["seed"]


def _by_choice(record: Record) -> list[Record]:
    """Return a record once for each choice that it tells of, as one that tells of this alone."""
    choices = choices_of(record["method"].get("tuning"))
    return [record] if len(choices) == 1 else [_with_tuning(record, choice or None) for choice in choices]


def _with_tuning(record: Record, tuning: Mapping[str, Any] | None) -> Record:
    return {**record, "method": {**record["method"], "tuning": tuning}}


def _row_name(record: Record) -> str:
    """Return what records of one row have in common, as text."""
    choice = joint_choice(record["method"].get("tuning") or {})
    return json.dumps([choice or parameters_of(record), code_of(record)], sort_keys=True)


def _join(rows: Mapping[str, list[Record]], record: Record) -> None:
    """Add a record to the row of its parameters where there is one that has not its split and seed."""
    row = rows.get(_row_name(_with_tuning(record, None)))
    if row is not None and run_of(record) not in map(run_of, row):
        row.append(_with_tuning(record, row[0]["method"].get("tuning") if row else None))


def _last_of_each_seed(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Return the records that finished last of each split and seed, and the others."""
    ordered = sorted(records, key=finished_at)
    last = {run_of(record): record["key"] for record in ordered}
    kept = [record for record in records if last[run_of(record)] == record["key"]]
    return kept, [record for record in records if last[run_of(record)] != record["key"]]


def _without_parts(rows: Sequence[list[Record]]) -> list[list[Record]]:
    """Return the rows but for those whose records all stand in another one; of equal ones the first stays."""
    cells = [{(record["key"], code_of(record)) for record in row} for row in rows]
    if len(set().union(*cells)) == sum(map(len, cells)):
        return list(rows)
    return [
        row
        for at, row in enumerate(rows)
        if not any(
            cells[at] <= others and (cells[at] != others or before < at)
            for before, others in enumerate(cells)
        )
    ]
