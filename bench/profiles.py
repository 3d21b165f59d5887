"""Which profile a run takes: that of a file, or what was tuned before.

A search leaves its profiles beside its trials too, one for each dataset by the fingerprint, where
``run --profile tuned`` finds them. Next it looks among those that come with the package.
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cmbench.datasets.draft import before_limit
from cmbench.errors import CmbenchError, CmbenchWarning
from cmbench.methods.parameters import parameters_of
from cmbench.profile_files import TUNED, Profile, profile_name, profile_path, read_profile

if TYPE_CHECKING:
    from cmbench.methods.contract import Method
    from cmbench.plan import Cell


PUBLISHED = "paper"
"""The name of the profile of what was published, where a method has it as a preset."""
PACKAGED = Path(__file__).parent / "tuned"


def tuned_profile(
    datasets: Mapping[str, str],
    store: str | Path,
    *,
    drawn: Mapping[str, str] = MappingProxyType({}),
    places: Mapping[str, str | None] = MappingProxyType({}),
) -> Profile:
    """Return what was tuned before for datasets, given as names by fingerprint.

    ``drawn`` are the fingerprints of splits of them that were drawn anew, with that of the dataset of each;
    these may have a search of their own. ``places`` say where datasets were read from. The folder ``tuning``
    beside the store of results is looked into, then that within it, then the package; each method has what is
    found first. Raises ``CmbenchError`` for a dataset that nothing was tuned for.
    """
    folders = [Path(store).absolute().parent / "tuning", Path(store) / "tuning"]
    tables = {fingerprint: _tuned_before(fingerprint, folders) for fingerprint in (*datasets, *drawn)}
    for fingerprint, name in datasets.items():
        if not tables[fingerprint]:
            looked = ", ".join(map(str, [*(profile_path(folder, "").parent for folder in folders), PACKAGED]))
            raise CmbenchError(
                f"no profile was tuned for dataset {name!r} ({fingerprint[:12]}); looked in {looked}. "
                f"'cmbench tune {_given(name, places.get(fingerprint))} --store {folders[0]}' makes one, or "
                "give a file"
            )
    found = {fingerprint: table for fingerprint, table in tables.items() if table}
    return Profile(TUNED, found, {split: of for split, of in drawn.items() if split in found})


def _tuned_before(fingerprint: str, folders: Sequence[Path]) -> dict[str, Any]:
    """Return the table of the methods of a dataset, from the stores of searches and the package."""
    files = [*(profile_path(folder, fingerprint) for folder in folders), packaged_profile(fingerprint)]
    return {
        method: entry
        for file in reversed(files)
        if file.exists()
        for method, entry in read_profile(file).datasets.get(fingerprint, {}).items()
    }


def packaged_profile(fingerprint: str) -> Path:
    """Return where the package has the profile of a dataset, if it has one."""
    return PACKAGED / profile_name(fingerprint)


def _given(name: str, place: str | None) -> str:
    """Return the options of a command that name a dataset.

    >>> _given("scenes-limit-200", None), _given("toy", "/data/my pairs.npz")
    ('--dataset scenes --limit 200', "--dataset '/data/my pairs.npz'")
    """
    whole, limit = before_limit(name)
    options = ["--dataset", place or whole, *(["--limit", str(limit)] if limit else [])]
    return shlex.join(options)


def named_profile(
    profile: str | Path | Profile | None,
    datasets: Mapping[str, str],
    store: str | Path,
    *,
    drawn: Mapping[str, str] = MappingProxyType({}),
    places: Mapping[str, str | None] = MappingProxyType({}),
) -> Profile | None:
    """Return the profile in a file, or what was tuned before for these datasets, or the one that is given.

    ``datasets``, ``drawn`` and ``places`` are as ``tuned_profile`` has them.
    """
    if profile == TUNED:
        return tuned_profile(datasets, store, drawn=drawn, places=places)
    return read_profile(profile) if isinstance(profile, str | Path) else profile


def warn_of_other_versions(cells: Sequence[Cell]) -> None:
    """Warn where a profile chose the parameters of a method with other code than it has now."""
    others = {
        cell.method.name: (cell.tuning["version"], cell.code_version)
        for cell in cells
        if cell.tuning and cell.tuning.get("version", cell.code_version) != cell.code_version
    }
    if others:
        told = ", ".join(f"{name} (with {then}, now {now})" for name, (then, now) in others.items())
        warnings.warn(
            f"the profile chose parameters with another version of the method: {told}. They may not be the "
            "best for this one; 'cmbench tune' chooses anew",
            CmbenchWarning,
            stacklevel=4,
        )


def check_reach(profile: Profile | None, cells: Sequence[Cell], datasets: Mapping[str, str]) -> None:
    """Warn of methods that a profile says nothing of, and of choices under another protocol.

    ``datasets`` are names by fingerprint. Raises ``CmbenchError`` where the profile has none of them.
    """
    if profile is None or not cells:
        return
    if not any(fingerprint in profile.datasets for fingerprint in datasets):
        named = ", ".join(f"{name!r} ({fingerprint[:12]})" for fingerprint, name in datasets.items())
        raise CmbenchError(
            f"profile {profile.name!r} has nothing for {named}; 'cmbench tune' makes one for these arrays"
        )
    untold = [cell for cell in cells if not _entries(profile, cell) and cell.method.tuning_space]
    lacking = dict.fromkeys(f"{cell.method.name} on {cell.dataset.name}" for cell in untold)
    if lacking:
        _warn(
            f"profile {profile.name!r} has nothing for {', '.join(lacking)}, which run with their defaults "
            "or what is given; tables mark them"
        )
    protocols = {_protocol_of(profile, cell) for cell in cells} - {None, cells[0].protocol.name}
    if protocols:
        _warn(
            f"profile {profile.name!r} was chosen under protocol {', '.join(map(str, protocols))}, and may "
            f"not be the best for {cells[0].protocol.name}"
        )


def _warn(text: str) -> None:
    warnings.warn(text, CmbenchWarning, stacklevel=5)


def _protocol_of(profile: Profile, cell: Cell) -> str | None:
    """Return under which protocol the parameters of a cell were chosen; None where that is not known."""
    return next((entry["protocol"] for entry in _entries(profile, cell) if "protocol" in entry), None)


def _entries(profile: Profile, cell: Cell) -> list[Mapping[str, Any]]:
    """Return what a profile has for the method of a cell, on its split and on the whole dataset."""
    fingerprints = (cell.dataset.fingerprint, cell.dataset.card.split_of)
    entries = (profile.datasets.get(each, {}).get(cell.method.name) for each in fingerprints)
    return [entry for entry in entries if entry is not None]


def shared_profile(
    profile: Profile | None,
    parent: type[Method],
    methods: Iterable[type[Method]],
    datasets: Mapping[str, str],
) -> Profile:
    """Return a profile in which the variants of a method have the parameters that were chosen for it.

    Variants are those of ``methods`` that are derived from it. What one of them fixes stays as it is; other
    methods keep their own parameters. ``datasets`` are names by fingerprint.

    Raises ``CmbenchError`` where there is no profile, none of the methods is a variant, or nothing was chosen
    for the method on one of the datasets.
    """
    if profile is None:
        raise CmbenchError(
            f"parameters like those of {parent.name!r} come from a profile; give one with --profile, such as "
            "that which 'cmbench tune' wrote"
        )
    variants = [method for method in methods if issubclass(method, parent) and method is not parent]
    if not variants:
        raise CmbenchError(
            f"none of the methods is a variant of {parent.name!r}, whose parameters they are to have; name "
            "some with --methods"
        )
    lacking = [name for fingerprint, name in datasets.items() if not profile.tuning(fingerprint, parent.name)]
    if lacking:
        raise CmbenchError(
            f"profile {profile.name!r} has no parameters for {parent.name!r} on {', '.join(lacking)}; tune "
            f"it there with 'cmbench tune --methods {parent.name}'"
        )
    splits = [
        split
        for split, of in profile.splits.items()
        if of in datasets and parent.name in profile.datasets[split]
    ]
    tables = {
        fingerprint: {
            **profile.datasets[fingerprint],
            **{variant.name: _lent(profile.datasets[fingerprint], parent, variant) for variant in variants},
        }
        for fingerprint in (*datasets, *splits)
    }
    return replace(profile, datasets={**profile.datasets, **tables})


def _lent(table: Mapping[str, Any], parent: type[Method], variant: type[Method]) -> dict[str, Any]:
    """Return the entry of a method as that of a variant, without what the variant fixes.

    It has the version of the method that it was chosen for where that is another today.
    """
    free = {parameter.name for parameter in parameters_of(variant) if not parameter.fixed}
    entry = table[parent.name]
    parameters = {name: value for name, value in entry["parameters"].items() if name in free}
    unset = [name for name in entry.get("unset", ()) if name in free]
    version = str(entry.get("version", parent.version))
    is_of_today = version == str(parent.version) or version.startswith(f"{parent.version}-")  # of a plugin
    spent = ("trials", "failed", "exhausted", "budget", "protocol", *(() if is_of_today else ("version",)))
    kept = {name: entry[name] for name in spent if name in entry}
    return {**kept, "parameters": parameters, "unset": unset, "like": parent.name}
