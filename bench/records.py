"""What a record says of its cell, whoever asks: its dataset and split, its parameters, its source."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from cmbench.schema import RANDOM_STATE, VALIDATION

Record: TypeAlias = Mapping[str, Any]


def base_dataset(record: Record) -> Mapping[str, Any]:
    """Return the dataset with the name and fingerprint that it has before its pairs are divided anew."""
    dataset: Mapping[str, Any] = record["dataset"]
    drawn = dataset.get("split_of")
    return {**dataset, "name": drawn["name"], "fingerprint": drawn["fingerprint"]} if drawn else dataset


def split_of(record: Record) -> int:
    """Return the seed of the split that the record is of, 0 for the dataset's own."""
    drawn = record["dataset"].get("split_of")
    return int(drawn["seed"]) if drawn else 0


def is_trial(record: Record) -> bool:
    """Return whether a cell is a trial of a search, in which validation pairs were the test pairs."""
    return str(base_dataset(record)["name"]).endswith(VALIDATION)


def cell_name(record: Record) -> str:
    """Return by what a cell is known: its dataset, method and seed, and its key."""
    seed = "" if record["seed"] is None else f" seed {record['seed']}"
    return f"{record['dataset']['name']}/{record['method']['name']}{seed} ({record['key']})"


def is_by_pair(protocol: Mapping[str, Any]) -> bool:
    """Return whether the pair itself is relevant under the protocol of a record."""
    return protocol.get("relevance") == "pair"


def parameters_of(record: Record) -> dict[str, Any]:
    """Return the parameters that seeds share: without the seed and those that do not change a result."""
    method = record["method"]
    return without_seed(method["parameters"], method.get("practical", ()))


def without_seed(parameters: Mapping[str, Any], left_out: Collection[str] = ()) -> dict[str, Any]:
    """Return the parameters without the seed and those of ``left_out``.

    A ``random_state`` of None is no seed, but a parameter like others: such a cell has no seed.

    >>> without_seed({"width": 8, "random_state": 0, "device": "cpu"}, ["device"])
    {'width': 8}
    >>> without_seed({"width": 8, "random_state": None})
    {'width': 8, 'random_state': None}
    """
    return {
        name: value
        for name, value in parameters.items()
        if name not in left_out and (name != RANDOM_STATE or value is None)
    }


def commit_text(provenance: Mapping[str, Any]) -> str:
    """Return the commit of the source that a cell ran with; empty where a record does not say.

    >>> commit_text({"git": {"commit": "0123456789abcdef", "dirty": True}})
    '0123456789ab with local changes'
    """
    git = provenance.get("git")
    return f"{git['commit'][:12]}{' with local changes' if git['dirty'] else ''}" if git else ""
