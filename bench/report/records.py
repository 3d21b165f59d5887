"""Records sorted into groups: those of one dataset under one protocol, whose numbers may be compared."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from cmbench.command import whole_dataset
from cmbench.errors import ReportError, listed
from cmbench.records import Record, base_dataset, split_of
from cmbench.schema import OK

T = TypeVar("T")
STAND_INS = {"ccl": "ccl-coarse"}
"""What runs in the place of a method on datasets without parts, as its ``without_parts`` says."""


@dataclass(frozen=True)
class Group:
    """The records of one dataset under one protocol, those of splits drawn anew among them; at least one."""

    records: tuple[Record, ...]

    @property
    def dataset(self) -> Mapping[str, Any]:
        """The dataset as the first record of its own split describes it, or else one of another split."""
        described = (record["dataset"] for record in self.records if not record["dataset"].get("split_of"))
        return next(described, None) or base_dataset(self.records[0])

    @property
    def name(self) -> str:
        """The dataset's name; all of them where the same arrays were evaluated under several."""
        return " = ".join(sorted({base_dataset(record)["name"] for record in self.records}))

    @property
    def protocol(self) -> Mapping[str, Any]:
        """Every field of the protocol."""
        return self.records[0]["protocol"]  # type: ignore[no-any-return]

    @cached_property
    def finished(self) -> tuple[Record, ...]:
        """The records that hold numbers."""
        return tuple(record for record in self.records if record["status"] == OK)

    @property
    def is_limited(self) -> bool:
        """Whether the dataset is a part of the pairs of another one, as ``--limit`` makes it."""
        return whole_dataset(self.records[0])[1] is not None

    @property
    def title(self) -> str:
        """Dataset, start of its fingerprint, and protocol: ``wikipedia (0c1d2e3f), protocol paper 1``."""
        protocol = f"protocol {self.protocol['name']} {self.protocol['version']}"
        return f"{self.name} ({self.dataset['fingerprint'][:8]}), {protocol}"


def groups(records: Iterable[Record]) -> list[Group]:
    """Return one group per (dataset fingerprint, protocol), by dataset name and protocol.

    Splits of a dataset that were drawn anew belong to the group of the dataset.
    All fields of a protocol count, not its name alone: a changed cut-off is another protocol.
    """
    members: dict[str, list[Record]] = {}
    for record in records:
        members.setdefault(_group_key(record), []).append(record)
    unordered = (Group(tuple(member)) for member in members.values())
    return sorted(unordered, key=lambda group: (group.title, _group_key(group.records[0])))


def over_datasets(items: Iterable[T], group: Callable[[T], Group]) -> list[tuple[T, ...]]:
    """Return by protocol the items whose groups have finished cells, where these are of several datasets.

    First tries on a part of the pairs are left out, as by ``of_all_pairs``.
    """
    by_protocol: dict[str, list[T]] = {}
    for item in items:
        if group(item).finished:
            by_protocol.setdefault(json.dumps(group(item).protocol, sort_keys=True), []).append(item)
    kept = (of_all_pairs(found, group) for found in by_protocol.values())
    return [tuple(found) for found in kept if len(found) > 1]


def of_all_pairs(items: Sequence[T], group: Callable[[T], Group]) -> list[T]:
    """Return the items whose datasets have all their pairs, if there are two or more; else all items.

    A first try with ``--limit`` is a dataset of its own, on which few methods were run and numbers mean
    little: averages over datasets are not to be made of it because it happens to lie in the same store.
    """
    whole = [item for item in items if not group(item).is_limited]
    return whole if len(whole) > 1 else list(items)


def limited_note(groups: Iterable[Group], shown: Sequence[Group]) -> str:
    """Return the sentence that names the groups that ``of_all_pairs`` left out; empty for none."""
    titles = {group.title for group in shown}
    names = [group.name for group in groups if group.title not in titles]
    return f"Left out, since of a part of the pairs alone (--limit): {', '.join(names)}." if names else ""


def only_group(records: Iterable[Record]) -> Group:
    """Return the one group all records belong to.

    Raises ``ReportError`` when there is none, or more than one: numbers of two protocols, or of two
    datasets, do not belong in one table or figure.
    """
    all_groups = groups(records)
    if not all_groups:
        raise ReportError("there are no records to report; run some cells first")
    if len(all_groups) > 1:
        titles = "; ".join(group.title for group in all_groups)
        raise ReportError(
            f"these records belong to {len(all_groups)} tables ({titles}); "
            "choose one dataset and one protocol (--dataset, --protocol), because numbers of different ones "
            "cannot be compared"
        )
    return all_groups[0]


def refuse_nothing(shown: Sequence[object], title: str = "") -> None:
    """Raise ``ReportError``, which says what to do, where a figure has nothing to show of a group."""
    if not shown:
        whose = f" of {title}" if title else ""
        raise ReportError(
            f"no cell{whose} finished, so there is nothing to draw; 'cmbench show METHOD' tells why, and "
            "'cmbench run --retry-failed' runs again what failed"
        )


def refuse_several_protocols(groups: Iterable[Group]) -> None:
    """Raise ``ReportError``, which says what to do, where these are not all of one protocol."""
    protocols = {json.dumps(group.protocol, sort_keys=True) for group in groups}
    if len(protocols) > 1:
        raise ReportError(
            f"these records are of {len(protocols)} protocols, whose numbers cannot be compared; choose one "
            "with --protocol"
        )


def select(
    records: Sequence[Record],
    *,
    datasets: Sequence[str] = (),
    methods: Sequence[str] = (),
    protocol: str | None = None,
) -> list[Record]:
    """Return the records of these datasets, methods and protocol; an empty filter keeps all.

    A dataset is chosen by its name or by the first characters of its fingerprint, as many as no other
    dataset of the records begins with, a method by its name or its paper name in either case, a protocol by
    its name or ``name:version``. A value that no record has raises ``ReportError``. The name of a method that
    has no record on a dataset stands there for what runs in its place where items have no parts.
    """
    chosen = _kept(records, "dataset", _in_full(records, datasets), _dataset_names)
    chosen = _kept(chosen, "method", _with_stand_ins(chosen, methods), _method_names)
    return _kept(chosen, "protocol", () if protocol is None else (protocol,), _protocol_names)


def to_draw(records: Sequence[Record], methods: Sequence[str] = ()) -> list[Record]:
    """Return the records of these methods; where none is named, of all but bounds, which hide the rest."""
    if methods:
        return select(records, methods=methods)
    return [record for record in records if not record["method"].get("reads_test_labels")] or list(records)


def run_name(record: Record) -> str:
    """Return by what a run differs from others of its setting: ``seed 0``, ``seed 0 on split 1``.

    Where the method has no seeds that is ``split 1``, or ``own split`` for that of the dataset.
    """
    seed = "" if record["seed"] is None else f"seed {record['seed']}"
    split = f"split {split_of(record)}" if split_of(record) else ""
    return " on ".join(filter(None, [seed, split])) or "own split"


def run_names(names: Sequence[str]) -> str:
    """Return the names of several runs together, those with seeds by split.

    >>> run_names(["seed 0", "seed 2", "seed 2 on split 1"]), run_names(["own split", "split 2"])
    ('seeds 0, 2 and seed 2 on split 1', 'own split, split 2')
    """
    if not all(name.startswith("seed ") for name in names):
        return ", ".join(names)
    seeds: dict[str, list[str]] = {}
    for name in names:
        seed, on, split = name.removeprefix("seed ").partition(" on ")
        seeds.setdefault(f"{on}{split}", []).append(seed)
    return " and ".join(
        f"seed{'s' if len(found) > 1 else ''} {', '.join(found)}{where}" for where, found in seeds.items()
    )


def measured(record: Record, column: str, *, maps: str = "map", others: str = "measures") -> float | None:
    """Return a number of a record by the key of its column: ``image_to_text``, or ``r@1_image_to_text``."""
    by_task = record[maps] or {}
    if column in by_task:
        return by_task[column]  # type: ignore[no-any-return]
    measure, _, task = column.partition("_")
    return record.get(others, {}).get(measure, {}).get(task)  # type: ignore[no-any-return]


def _group_key(record: Record) -> str:
    fingerprint = base_dataset(record)["fingerprint"]
    return json.dumps([fingerprint, dict(record["protocol"])], sort_keys=True)


def _kept(records: Sequence[Record], kind: str, wanted: Sequence[str], names: Any) -> list[Record]:
    if not wanted:
        return list(records)
    for value in wanted:
        if not any(_matches(value, names(record)) for record in records):
            available = ", ".join(sorted({names(record)[0] for record in records})) or "none"
            told = "; 'cmbench datasets info FILE' prints the name of a file" if kind == "dataset" else ""
            raise ReportError(f"no record of {kind} {value!r}; {kind}s in these records: {available}{told}")
    return [record for record in records if any(_matches(value, names(record)) for value in wanted)]


def _in_full(records: Sequence[Record], wanted: Sequence[str]) -> list[str]:
    """Return names of datasets as they are, and in the place of a start of a fingerprint the whole of it."""
    names = {name.casefold() for record in records for name in _dataset_names(record)}
    fingerprints = sorted({record["dataset"]["fingerprint"] for record in records})
    in_full = []
    for value in wanted:
        fitting = [whole for whole in fingerprints if value and whole.startswith(value.casefold())]
        if value.casefold() in names or not fitting:
            in_full.append(value)
        elif len(fitting) == 1:
            in_full += fitting
        else:
            raise ReportError(
                f"{value!r} is no name of a dataset in these records, and the fingerprints of {len(fitting)} "
                f"begin with it: {listed([whole[:12] for whole in fitting])}; give more of one"
            )
    return in_full


def _with_stand_ins(records: Sequence[Record], methods: Sequence[str]) -> list[str]:
    """Return names of methods, and in the place of one without records on a dataset that of its stand-in."""
    on_each: dict[str, set[str]] = {}
    for record in records:
        on_each.setdefault(_group_key(record), set()).add(record["method"]["name"])
    every = set().union(*on_each.values())
    names: list[str] = []
    for method in methods:
        name, stand_in = method.casefold(), STAND_INS.get(method.casefold())
        stands_in = any(stand_in in there and name not in there for there in on_each.values())
        names += [method] if name in every or not stands_in else []
        names += [stand_in] if stand_in is not None and stands_in else []
    return names


def _matches(value: str, names: Sequence[str]) -> bool:
    return value.casefold() in (name.casefold() for name in names)


def _dataset_names(record: Record) -> Sequence[str]:
    """Return what the dataset may be called; all splits of it by its name, each by its fingerprint."""
    dataset = record["dataset"]
    return base_dataset(record)["name"], dataset["name"], dataset["fingerprint"]


def _method_names(record: Record) -> Sequence[str]:
    return record["method"]["name"], record["method"]["paper_name"]


def _protocol_names(record: Record) -> Sequence[str]:
    name, version = record["protocol"]["name"], record["protocol"]["version"]
    return name, f"{name}:{version}"
