"""The command that a record stands for.

A record of ``cmbench run`` holds its ``configuration``; what earlier records hold is enough for most of it,
but for the place of a dataset that is not built in.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmbench.choices import chosen_on_each_split
from cmbench.datasets.draft import before_limit
from cmbench.evaluation.protocol import PAPER
from cmbench.records import Record, base_dataset, is_trial, parameters_of, split_of
from cmbench.schema import RANDOM_STATE, VALIDATION


def command(
    records: Sequence[Record], *, store: str | None = None, defaults: Mapping[str, Any] | None = None
) -> str:
    """Return the ``cmbench run`` that gives these records, which differ in seed and split at most.

    ``defaults`` are those that the method has today, where they are known: a default of then that is none now
    has to be given.

    Of the trial of a search it is the command of the search, and of records whose parameters differ by split,
    which options cannot say, that which made the first of them.
    """
    if is_trial(records[0]) or (chosen_on_each_split(records[0]) and any(map(split_of, records))):
        return shlex.join(records[0]["provenance"].get("command", ()))
    return shlex.join(["cmbench", "run", *_options(records, store, defaults or {})])


def _options(records: Sequence[Record], store: str | None, defaults: Mapping[str, Any]) -> Iterator[str]:
    first = records[0]
    method, configuration = first["method"], first.get("configuration", {})
    name, limit = whole_dataset(first)
    yield from ("--dataset", configuration.get("dataset") or name)
    if limit is not None:
        yield from ("--limit", str(limit))
    yield from ("--methods", method["name"])
    if configuration.get("plugin"):
        yield from ("--plugin", configuration["plugin"])
    given = {**changed_parameters(first), **moved_defaults(first, defaults)}
    if RANDOM_STATE in parameters_of(first):  # a cell without a seed
        given[RANDOM_STATE] = None
    for name, value in given.items():
        yield from ("--set", f"{method['name']}.{name}={_json(value)}")
    seeds = sorted({record["seed"] for record in records if record["seed"] is not None})
    if seeds and seeds != [0]:
        yield from ("--seeds", ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else ""))
    splits = max(split_of(record) for record in records)
    if splits:
        yield from ("--splits", str(splits + 1))
    if first["protocol"]["name"] != PAPER.name:
        yield from ("--protocol", first["protocol"]["name"])
    if first.get("measures"):
        yield from ("--measures", ",".join(first["measures"]))
    if "--allow-repeated" in first["provenance"].get("command", ()):
        yield "--allow-repeated"
    yield from ("--threads", str(first["threads"]))
    if store is not None:
        yield from ("--store", store)


def _json(value: Any) -> str:
    return value if isinstance(value, str) and not _is_json(value) else json.dumps(value)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def whole_dataset(record: Record) -> tuple[str, int | None]:
    """Return the name of the dataset before it was limited to a number of pairs, and that number or None."""
    return before_limit(str(base_dataset(record)["name"]).removesuffix(VALIDATION))


def changed_parameters(record: Record) -> dict[str, Any]:
    """Return the parameters that differ from the defaults, without the seed and those of no effect.

    Earlier records do not say which these are; then all are returned.
    """
    chosen = parameters_of(record)
    defaults = record["method"].get("defaults", chosen)
    return {name: value for name, value in chosen.items() if name in defaults}


def moved_defaults(record: Record, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that were at the default of their time, which is another today."""
    then = {name: value for name, value in parameters_of(record).items() if name in defaults}
    others = {*changed_parameters(record), RANDOM_STATE}
    return {name: value for name, value in then.items() if name not in others and value != defaults[name]}
