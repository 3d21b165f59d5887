"""How the parameters of a record were chosen, as its ``tuning`` tells, and how one choice joins another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from cmbench.schema import OK

if TYPE_CHECKING:
    from cmbench.plan import Cell
    from cmbench.records import Record
    from cmbench.store import Store

Tuning: TypeAlias = Mapping[str, Any]
"""How a profile chose the parameters, as ``cmbench.profile_files.Profile.tuning`` says it."""


def chosen_on_each_split(record: Record) -> bool:
    """Return whether the parameters were chosen on the record's split, and on others for themselves."""
    return bool((record["method"].get("tuning") or {}).get("each_split"))


def choices_of(tuning: Tuning | None) -> list[Tuning]:
    """Return all choices that came to the parameters of a record, as its ``tuning`` tells of them.

    The latest is first. An empty one stands for parameters that no search has chosen.
    """
    told = tuning or {}
    latest = {name: value for name, value in told.items() if name != "earlier"}
    return [latest, *told.get("earlier", ())]


def joint_choice(tuning: Tuning) -> tuple[str, str | None] | None:
    """Return by what a choice is known that was made on each split by itself; None for any other.

    That is a digest of what was chosen on all splits, or the profile where an earlier version of cmbench
    wrote the record, and the method that it was chosen for, if that is another one.
    """
    digest = tuning.get("each_split")
    if not digest:
        return None
    return (digest if isinstance(digest, str) else tuning["profile"]), tuning.get("like")


def says_more(tuning: Tuning, known: Tuning | None) -> bool:
    """Return whether ``tuning`` tells of a choice that a record which says ``known`` is to tell of too."""
    before = choices_of(known)
    return any(choice not in before for choice in choices_of(united_choices(tuning, known)))


def united_choices(tuning: Tuning, known: Tuning | None) -> dict[str, Any]:
    """Return what a record says that said ``known``, now that ``tuning`` came to the same parameters.

    A record stands in a row of tables for each choice that was made on several splits by themselves, and in
    that of its parameters. Of each row it tells the latest choice. Parameters that a search chose for the
    method itself stay so named where they are also those of the method that it is a variant of.
    """
    rows: dict[tuple[str, str | None] | None, Tuning] = {}
    for choice in (*choices_of(tuning), *choices_of(known)):
        row = joint_choice(choice)
        if row not in rows or _distance(choice) < _distance(rows[row]):
            rows[row] = choice
    latest, *earlier = sorted(rows.values(), key=_distance)
    return {**latest, "earlier": earlier} if earlier else dict(latest)


def _distance(choice: Tuning) -> int:
    """Return 0 for a choice for the method itself, 1 for another method's, 2 where no search has chosen."""
    if not choice:
        return 2
    return 1 if "like" in choice else 0


def note_choices(store: Store, cells: Iterable[Cell], earlier: Mapping[str, Mapping[str, Any]]) -> None:
    """Write into stored records which profile the parameters of cells come from, where they do not say so.

    ``earlier`` are the summaries of the records of a store, by key.
    """
    for cell in cells:
        known = earlier.get(cell.key)
        if cell.tuning is None or known is None or _tells(known, cell.tuning):
            continue
        record = store.find(cell.key)
        if record is not None:
            arrays = store.arrays(record) if record["status"] == OK else None
            store.put(with_choice(record, cell.tuning), arrays)


def with_choice(record: Mapping[str, Any], tuning: Tuning) -> dict[str, Any]:
    """Return a record that tells of this choice of its parameters too."""
    united = united_choices(tuning, record["method"].get("tuning"))
    told = {**record, "method": {**record["method"], "tuning": united}}
    if record.get("configuration"):
        told["configuration"] = {**record["configuration"], "profile": united}
    return told


def _tells(record: Mapping[str, Any], tuning: Tuning) -> bool:
    """Return whether a record says already what it is to say after this choice."""
    known = record["method"].get("tuning")
    return known is not None and united_choices(tuning, known) == known
