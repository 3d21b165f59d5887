"""Records sorted into groups whose numbers may be compared: one dataset, one protocol."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cmbench.errors import ReportError

Record: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """The records of one dataset fingerprint under one protocol; at least one."""

    records: tuple[Record, ...]

    @property
    def dataset(self) -> Mapping[str, Any]:
        """The dataset as the first record describes it."""
        return self.records[0]["dataset"]  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """The dataset's name; all of them where the same arrays were evaluated under several."""
        return " = ".join(sorted({record["dataset"]["name"] for record in self.records}))

    @property
    def protocol(self) -> Mapping[str, Any]:
        """Every field of the protocol."""
        return self.records[0]["protocol"]  # type: ignore[no-any-return]

    @property
    def finished(self) -> tuple[Record, ...]:
        """The records that hold numbers."""
        return tuple(record for record in self.records if record["status"] == "ok")

    @property
    def title(self) -> str:
        """Dataset, start of its fingerprint, and protocol: ``wikipedia (0c1d2e3f), protocol paper 1``."""
        protocol = f"protocol {self.protocol['name']} {self.protocol['version']}"
        return f"{self.name} ({self.dataset['fingerprint'][:8]}), {protocol}"


def groups(records: Iterable[Record]) -> list[Group]:
    """Return one group per (dataset fingerprint, protocol), by dataset name and protocol.

    All fields of a protocol count, not its name alone: a changed cut-off is another protocol.
    """
    members: dict[str, list[Record]] = {}
    for record in records:
        members.setdefault(_group_key(record), []).append(record)
    found = [Group(tuple(member)) for member in members.values()]
    return sorted(found, key=lambda group: (group.title, _group_key(group.records[0])))


def only_group(records: Iterable[Record]) -> Group:
    """Return the one group all records belong to.

    Raises ``ReportError`` when there is none, or more than one: numbers of two protocols or of two
    datasets do not belong into one table or figure.
    """
    found = groups(records)
    if not found:
        raise ReportError("there are no records to report; run some cells first")
    if len(found) > 1:
        titles = "; ".join(group.title for group in found)
        raise ReportError(
            f"these records belong to {len(found)} tables ({titles}); "
            "choose one dataset and one protocol, their numbers cannot be compared"
        )
    return found[0]


def select(
    records: Sequence[Record],
    *,
    datasets: Sequence[str] = (),
    methods: Sequence[str] = (),
    protocol: str | None = None,
) -> list[Record]:
    """Return the records of these datasets, methods and protocol; an empty filter keeps all.

    A dataset is chosen by its name or by the first 8 or more characters of its fingerprint, a
    method by its name or its paper name in either case, a protocol by its name or ``name:version``.
    A value that no record has raises ``ReportError``.
    """
    chosen = _kept(records, "dataset", datasets, _dataset_names)
    chosen = _kept(chosen, "method", methods, _method_names)
    return _kept(chosen, "protocol", () if protocol is None else (protocol,), _protocol_names)


def _group_key(record: Record) -> str:
    return json.dumps([record["dataset"]["fingerprint"], dict(record["protocol"])], sort_keys=True)


def _kept(records: Sequence[Record], kind: str, wanted: Sequence[str], names: Any) -> list[Record]:
    if not wanted:
        return list(records)
    for value in wanted:
        if not any(_matches(value, names(record)) for record in records):
            known = ", ".join(sorted({names(record)[0] for record in records})) or "none"
            raise ReportError(f"no record of {kind} {value!r}; {kind}s in these records: {known}")
    return [record for record in records if any(_matches(value, names(record)) for value in wanted)]


def _matches(value: str, names: Sequence[str]) -> bool:
    return value.casefold() in (name.casefold() for name in names)


def _dataset_names(record: Record) -> Sequence[str]:
    name, fingerprint = record["dataset"]["name"], record["dataset"]["fingerprint"]
    return [name, *(fingerprint[:length] for length in range(8, len(fingerprint) + 1))]


def _method_names(record: Record) -> Sequence[str]:
    return record["method"]["name"], record["method"]["paper_name"]


def _protocol_names(record: Record) -> Sequence[str]:
    name, version = record["protocol"]["name"], record["protocol"]["version"]
    return name, f"{name}:{version}"
