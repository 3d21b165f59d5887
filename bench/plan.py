"""The plan of a run: its cells, each with a key that follows from everything its result depends on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import LARGEST_SEED
from cmbench.errors import DatasetError, MethodError
from cmbench.evaluation.measures import Measure, get_measures
from cmbench.evaluation.protocol import Protocol
from cmbench.methods.parameters import added_later, arguments_of, check_parameters, defaults_of
from cmbench.methods.registry import MethodEntry, Registry, new_method, registry
from cmbench.schema import RANDOM_STATE

if TYPE_CHECKING:
    from pathlib import Path

    from cmbench.choices import Tuning
    from cmbench.methods.contract import Method
    from cmbench.profile_files import Profile
    from cmbench.pruning import PruningRule


@dataclass(frozen=True, eq=False)
class Cell:
    """One (dataset, method, parameters, seed, protocol): what is run, evaluated and stored as one.

    ``parameters`` are all of the method's, defaults included; ``seed`` is None for a method
    without ``random_state``; ``measures`` are what is measured beside MAP, ``tuning`` says which profile
    the parameters come from, ``rule`` when to give a training up, ``given`` how the dataset was named,
    if it was: a name, or the place of its files, and ``shared`` is a folder in which fits of the method leave
    the ends of stages for each other. The key depends on none of them.
    """

    dataset: Dataset
    entry: MethodEntry
    method: type[Method]
    parameters: Mapping[str, Any]
    seed: int | None
    protocol: Protocol
    code_version: str
    measures: tuple[str, ...] = ()
    tuning: Tuning | None = None
    rule: PruningRule | None = None
    given: str | None = None
    shared: Path | None = None

    @property
    def left_out(self) -> str:
        """Why the method cannot run on the dataset; empty where it can."""
        return unfit(self.method, self.dataset)

    @cached_property
    def key(self) -> str:
        """SHA-256 (hexadecimal, 16 digits) over everything the result depends on."""
        return cell_key(
            fingerprint=self.dataset.fingerprint,
            method=self.method.name,
            code_version=self.code_version,
            parameters=deciding(self.method, self.parameters),
            protocol=self.protocol.as_dict(),
        )

    @property
    def label(self) -> str:
        """A short text for people."""
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{self.dataset.name} {self.method.name}{seed}"


def unfit(method: type[Method], dataset: Dataset) -> str:
    """Return why a method cannot run on a dataset; empty where it can."""
    images, texts = dataset.train.images.shape[1], dataset.train.texts.shape[1]
    if method.equal_widths and images != texts:
        return f"it needs as many features of images as of texts, and here are {images} and {texts}"
    if method.shared_space and not dataset.card.shared_space:
        return (
            "it compares features as they are, and nothing says that those of images and texts lie in one "
            "space; if they do, name their encoder under the key shared_space of the dataset"
        )
    if not method.uses_labels:
        return ""
    if not dataset.class_names:
        return "it learns from categories, and these pairs have none"
    if dataset.is_multi_label and not method.multi_label:
        return "it learns from one category a pair, and these pairs may have several"
    return ""


def deciding(method: type[Method], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a key is made of.

    Those without effect on results are left out, and those that came later where they change nothing.
    """
    neutral = added_later(method)
    return {
        name: value
        for name, value in parameters.items()
        if name not in method.practical and not (name in neutral and neutral[name] == value)
    }


def cell_key(
    *,
    fingerprint: str,
    method: str,
    code_version: str,
    parameters: Mapping[str, Any],
    protocol: Mapping[str, Any],
) -> str:
    """Return the key of a cell; the seed is among the parameters, as ``random_state``."""
    content = {
        "fingerprint": fingerprint,
        "method": method,
        "code_version": code_version,
        "parameters": dict(parameters),
        "protocol": dict(protocol),
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def plan(
    datasets: Sequence[Dataset],
    methods: Iterable[tuple[MethodEntry, Mapping[str, Any]]],
    *,
    seeds: Sequence[int],
    protocol: Protocol,
    available: Registry | None = None,
    measures: Iterable[str | Measure] | None = None,
    profile: Profile | None = None,
) -> list[Cell]:
    """Return the cells of every dataset and method, one for each seed where the seed matters.

    A method that needs parts of items may name another that takes its place, with the same parameters, on
    datasets without parts; that one is looked up in ``available``, by default the built-in methods.

    ``measures`` are measured beside MAP; by default those of the protocol. What a ``profile`` has for a
    method on a dataset takes the place of the defaults; parameters that are given go before it.

    Raises ``DatasetError`` where the protocol does not fit a dataset, and ``MethodError`` for parameters that
    a method does not have, for values that it does not allow, for those that cannot be stored, and for a
    method of a plugin that says it reads test labels.
    """
    available, listed = available or registry(), list(methods)
    names = tuple(
        measure.name for measure in get_measures(protocol.measures if measures is None else measures)
    )
    for entry, _ in listed:
        _refuse_reading_labels(entry)
    for dataset in datasets:
        check_protocol(dataset, protocol)
    cells = [
        Cell(
            dataset,
            entry,
            method,
            _with_tuned(method, tuned, parameters, seed, profile),
            seed,
            protocol,
            version,
            names,
            None if tuning is None or _replaces(method, tuned, parameters) else tuning,
        )
        for dataset in datasets
        for entry, method, parameters, version in _suitable(listed, dataset, available)
        for tuned, tuning in [_tuned(profile, dataset, method)]
        for seed in _seeds(method, parameters, seeds)
    ]
    return list({cell.key: cell for cell in cells}.values())


def _refuse_reading_labels(entry: MethodEntry) -> None:
    if entry.origin != "built-in" and entry.load().reads_test_labels:
        raise MethodError(
            f"method {entry.name!r} says that it reads test labels (reads_test_labels), which no method can; "
            "only the built-in control 'oracle' stands for them. Leave it out"
        )


def _tuned(
    profile: Profile | None, dataset: Dataset, method: type[Method]
) -> tuple[dict[str, Any], Tuning | None]:
    """Return what a profile has for a method on a dataset: parameters, and how they were chosen.

    Where each split has a choice of its own, a digest of all of them says which belong together.
    """
    if profile is None:
        return {}, None
    for fingerprint in (dataset.fingerprint, dataset.card.split_of):  # that of its own split serves for all
        parameters = profile.parameters(fingerprint, method.name)
        if parameters is not None:
            tuning = profile.tuning(fingerprint, method.name) or {}
            if fingerprint == dataset.fingerprint and profile.is_of_splits(fingerprint):
                tuning["each_split"] = _digest_of_choices(profile, fingerprint, method)
            return parameters, tuning
        if fingerprint in profile.datasets and not method.tuning_space:
            return {}, {"profile": profile.name, "trials": 0, "exhausted": True}
    return {}, None


def _digest_of_choices(profile: Profile, fingerprint: str, method: type[Method]) -> str:
    """Return a digest of what a profile has for a method on all splits of a dataset."""
    own = profile.splits.get(fingerprint, fingerprint)
    splits = [own, *(split for split, of in profile.splits.items() if of == own)]
    chosen = {
        split: deciding(method, parameters)
        for split in splits
        if (parameters := profile.parameters(split, method.name)) is not None
    }
    return sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _with_tuned(
    method: type[Method],
    tuned: Mapping[str, Any],
    given: Mapping[str, Any],
    seed: int | None,
    profile: Profile | None,
) -> dict[str, Any]:
    """Return the effective parameters; what a profile has wrong is said to be the profile's."""
    try:
        return effective_parameters(method, {**tuned, **given}, seed)
    except MethodError as error:
        if profile is None or not tuned:
            raise
        effective_parameters(method, given, seed)  # raises where what is given is wrong
        raise MethodError(f"profile {profile.name!r}: {error}; 'cmbench tune' chooses anew") from error


def _replaces(method: type[Method], tuned: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether what is given changes what a profile chose, so that no search chose what is run."""
    before = {**defaults_of(method), **tuned}
    counted = {*given} - {*method.practical, RANDOM_STATE}
    return any(_listed(given[name]) != _listed(before.get(name)) for name in counted)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def check_protocol(dataset: Dataset, protocol: Protocol) -> None:
    """Raise ``DatasetError`` where a dataset cannot be evaluated under the protocol."""
    by_pair = protocol.by_pair
    if not by_pair and not dataset.class_names:
        raise DatasetError(
            f"dataset {dataset.name!r} has no categories, by which protocol {protocol.name!r} judges what is "
            "relevant; use protocol 'pairs', where a picture and its own texts are"
        )
    if by_pair and dataset.retrieval is not None:
        raise DatasetError(
            f"dataset {dataset.name!r} has a retrieval set, and in protocol {protocol.name!r} pairs are "
            "looked for among themselves; leave it out"
        )
    unseen = dataset.unseen_in(dataset.test)
    if len(unseen) and not (by_pair or protocol.unseen_categories):
        raise DatasetError(
            f"dataset {dataset.name!r} has test pairs of {len(unseen)} categories without a training pair; "
            f"use protocol 'zeroshot', not {protocol.name!r}"
        )
    if protocol.unseen_categories and not len(unseen):
        raise DatasetError(
            f"every test category of dataset {dataset.name!r} has training pairs, so that nothing in it is "
            f"zero-shot; use protocol 'paper', not {protocol.name!r}"
        )


def _suitable(
    methods: Collection[tuple[MethodEntry, Mapping[str, Any]]], dataset: Dataset, available: Registry
) -> Iterator[tuple[MethodEntry, type[Method], Mapping[str, Any], str]]:
    for wanted, parameters in methods:
        entry = suitable(wanted, dataset, available)
        yield entry, entry.load(), parameters, entry.code_version()


def suitable(wanted: MethodEntry, dataset: Dataset, available: Registry) -> MethodEntry:
    """Return a method, or what takes its place where it needs parts of items and the dataset has none."""
    stand_in = wanted.load().without_parts
    return available[stand_in] if stand_in and not dataset.train.has_parts else wanted


def effective_parameters(
    method: type[Method], parameters: Mapping[str, Any], seed: int | None
) -> dict[str, Any]:
    """Return all parameters of the method, defaults included, as plain JSON values."""
    chosen = dict(parameters) if seed is None else {**parameters, RANDOM_STATE: seed}
    instance = new_method(method, chosen)
    try:
        effective = instance.get_params(deep=False)
    except AttributeError as error:
        raise MethodError(
            f"method {method.name!r}: {error}; its constructor must store each argument under its own name"
        ) from error
    check_parameters(instance)
    try:
        plain: dict[str, Any] = json.loads(json.dumps(effective, sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise MethodError(
            f"method {method.name!r}: parameters {effective} cannot be stored as JSON ({error}); "
            "use numbers, strings, booleans, None, lists and dictionaries"
        ) from error
    return plain


def _seeds(method: type[Method], parameters: Mapping[str, Any], seeds: Sequence[int]) -> Sequence[int | None]:
    if RANDOM_STATE not in arguments_of(method):
        return (None,)
    if RANDOM_STATE in parameters:
        return (parameters[RANDOM_STATE],)
    unusable = [seed for seed in seeds if not 0 <= seed <= LARGEST_SEED]
    if unusable:
        raise MethodError(
            f"seed {unusable[0]} is not between 0 and {LARGEST_SEED}, the seeds that NumPy and torch accept"
        )
    return tuple(seeds)
