"""Profiles: parameters chosen by tuning, as a TOML file that says how they were chosen.

A search leaves its profiles beside its trials too, one for each dataset by the fingerprint, where
``run --profile tuned`` finds them. Next it looks among those that come with the package.
"""

from __future__ import annotations

import shlex
import tomllib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cmbench.disk import locked, replacing
from cmbench.errors import CmbenchError, CmbenchWarning
from cmbench.methods.parameters import parameters_of
from cmbench.schema import TEXT, Rule

if TYPE_CHECKING:
    from cmbench.methods.contract import Method
    from cmbench.plan import Cell, Tuning
    from cmbench.search import Trial
    from cmbench.store import Store
    from cmbench.tuning import Budget, Choice, Failure, Tuned


PAPER, TUNED = "paper", "tuned"
"""Names of profiles: what was published, where a method has it as a preset, and what was tuned before."""
PACKAGED = Path(__file__).parent / "tuned"

_TABLE: Rule = lambda value: isinstance(value, dict), "a table"
_COUNT: Rule = lambda value: type(value) is int and value >= 0, "a whole number of 0 or more"
_AMOUNT: Rule = lambda value: type(value) in (int, float) and value > 0, "a number above 0"
_TRUTH: Rule = lambda value: isinstance(value, bool), "true or false"
_NAMES: Rule = (
    lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "a list of names",
)
_FILE: Mapping[str, Rule] = {"name": TEXT, "datasets": _TABLE}
_OF_FILE: Mapping[str, Rule] = {"budget": _TABLE, "protocol": TEXT}
_DATASET: Mapping[str, Rule] = {"fingerprint": TEXT, "methods": _TABLE}
_METHOD: Mapping[str, Rule] = {"parameters": _TABLE, "trials": _COUNT}
_OF_METHOD: Mapping[str, Rule] = {
    **_OF_FILE,
    "unset": _NAMES,
    "exhausted": _TRUTH,
    "version": TEXT,
    "like": TEXT,
}
_BUDGET: Mapping[str, Rule] = {"trials": _COUNT, "seconds": _AMOUNT}


def profile_text(
    name: str,
    tuned: Sequence[Tuned],
    budget: Budget,
    *,
    protocol: str = "paper",
    kept: Mapping[str, Any] = MappingProxyType({}),
    others: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return a profile as TOML: for every dataset and method what was tried, and what was chosen.

    A method of which every trial failed stands under ``failed`` of the dataset. ``kept`` are entries of other
    methods, by fingerprint and name, and ``others`` the tables of other datasets, by name.
    """
    import tomli_w  # of the extra as well

    return tomli_w.dumps(
        {
            "name": name,
            "cmbench": version("cmbench"),
            "protocol": protocol,
            "budget": _without_none(
                {"trials": budget.trials, "seconds": budget.seconds, "seeds": budget.seeds}
            ),
            "datasets": {
                **others,
                **{
                    _dataset_name(result, tuned): {
                        "fingerprint": result.fingerprint,
                        **({"split_of": result.split_of} if result.split_of else {}),
                        "methods": {
                            **kept.get(result.fingerprint, {}),
                            **{method: _entry(choice) for method, choice in result.choices.items()},
                        },
                        **_failures(result.failures),
                    }
                    for result in tuned
                },
            },
        }
    )


def _dataset_name(result: Tuned, tuned: Sequence[Tuned]) -> str:
    """Return the name of a dataset, with the beginning of its fingerprint where others are called so too."""
    alike = {other.fingerprint for other in tuned if other.dataset == result.dataset}
    return result.dataset if len(alike) == 1 else f"{result.dataset} ({result.fingerprint[:8]})"


def _entry(choice: Choice) -> dict[str, Any]:
    return {
        "validation_map": round(choice.score, 6),
        "trials": choice.trials,
        "failed": choice.failed,
        "pruned": choice.pruned,
        **({"exhausted": True} if choice.exhausted else {}),
        **({"version": choice.version} if choice.version else {}),
        "processor_seconds": round(choice.seconds, 1),
        **_parameters(choice.parameters),
        "tried": [_tried(trial) for trial in choice.tried],
    }


def _tried(trial: Trial) -> dict[str, Any]:
    return {
        **({} if trial.score is None else {"validation_map": round(trial.score, 6)}),
        **({"pruned": True} if trial.pruned else {}),
        **({"error": trial.error} if trial.error else {}),
        **_parameters(trial.parameters),
    }


def _failures(failures: Mapping[str, Failure]) -> dict[str, Any]:
    if not failures:
        return {}
    tables = {
        method: {"trials": len(failure.tried), "tried": [_tried(trial) for trial in failure.tried]}
        for method, failure in failures.items()
    }
    return {"failed": tables}


def _parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    unset = [name for name, value in parameters.items() if value is None]  # TOML has no None
    return {"parameters": _without_none(parameters), **({"unset": unset} if unset else {})}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Profile:
    """Parameters for methods on datasets, with the trials they were chosen from.

    The files of earlier versions have no ``version``, ``exhausted`` or ``budget`` for a method.
    """

    name: str
    datasets: Mapping[str, Mapping[str, Any]]
    """By fingerprint: the table of its methods."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """By the fingerprint of a split drawn anew: that of its dataset."""

    def is_of_splits(self, fingerprint: str) -> bool:
        """Return whether this is one of several splits of a dataset that each have a search of their own."""
        return fingerprint in self.splits or fingerprint in self.splits.values()

    def parameters(self, fingerprint: str, method: str) -> dict[str, Any] | None:
        """Return the parameters chosen for a method on a dataset, or None where there are none."""
        entry = self.datasets.get(fingerprint, {}).get(method)
        return None if entry is None else {**entry["parameters"], **dict.fromkeys(entry.get("unset", ()))}

    def tuning(self, fingerprint: str, method: str) -> dict[str, Any] | None:
        """Return what a record says of the choice of those parameters, or None where there is none.

        That is the name of the profile, the number of trials, whether these were all that there are, the
        budget, the version of the method that was tuned, and as ``like`` its name where it is another method.
        """
        entry = self.datasets.get(fingerprint, {}).get(method)
        if entry is None:
            return None
        said = {name: entry[name] for name in ("exhausted", "budget", "version", "like") if entry.get(name)}
        return {"profile": self.name, "trials": int(entry["trials"]), **said}


def read_profile(path: str | Path) -> Profile:
    """Return the profile in a TOML file; raises ``CmbenchError`` that names the file and its fault."""
    try:
        return _profile(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise CmbenchError(f"{path}: no such profile; make one with 'cmbench tune -o {path}'") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CmbenchError(f"{path}: no profile that 'cmbench tune' wrote ({error})") from error


def _profile(content: Mapping[str, Any]) -> Profile:
    """Return the profile in the content of a file; ``ValueError`` says what is wrong with it."""
    _check(content, "the profile", _FILE, _OF_FILE)
    names: dict[str, str] = {}
    for name, table in content["datasets"].items():
        _check(table, f"dataset {name!r}", _DATASET, {"split_of": TEXT})
        if table["fingerprint"] in names:
            raise ValueError(f"datasets {names[table['fingerprint']]!r} and {name!r} have one fingerprint")
        names[table["fingerprint"]] = name
    tables = content["datasets"].values()
    datasets = {table["fingerprint"]: _methods(table["methods"], content) for table in tables}
    splits = {table["fingerprint"]: table["split_of"] for table in tables if "split_of" in table}
    return Profile(content["name"], datasets, splits)


def _methods(table: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of methods, each with the budget and the protocol of the profile."""
    budget = content.get("budget", {})
    spent = {name: budget[name] for name in _BUDGET if name in budget}
    said = {"budget": spent, **({"protocol": content["protocol"]} if "protocol" in content else {})}
    for name, entry in table.items():
        _check(entry, f"method {name!r}", _METHOD, _OF_METHOD)
    return {name: {**said, **entry} for name, entry in table.items()}


def _check(
    table: object, what: str, needed: Mapping[str, Rule], others: Mapping[str, Rule] = MappingProxyType({})
) -> None:
    """Raise ``ValueError`` for what a table lacks, or for a value in it that is of a wrong kind."""
    if not isinstance(table, dict):
        raise ValueError(f"{what} is no table")
    for name, (is_right, words) in {**needed, **others}.items():
        if name in needed and name not in table:
            raise ValueError(f"{what} has no {name}")
        if name in table and not is_right(table[name]):
            raise ValueError(f"{name} of {what} is {table[name]!r}; it must be {words}")
    if "budget" in table:
        _check(table["budget"], f"the budget of {what}", {}, _BUDGET)


def write_profile(
    path: str | Path, name: str, tuned: Sequence[Tuned], budget: Budget, *, protocol: str = "paper"
) -> None:
    """Write a profile; what an older one in its place says of other datasets and methods stays.

    Raises ``CmbenchError`` where something else is in its place.
    """
    kept, others = _older(Path(path), tuned) if Path(path).exists() else ({}, {})
    with replacing(Path(path)) as beside:
        text = profile_text(name, tuned, budget, protocol=protocol, kept=kept, others=others)
        beside.write_text(text, encoding="utf-8")


def _older(path: Path, tuned: Sequence[Tuned]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a profile has beside what was searched: of the same datasets, and of others.

    Each method has the budget and the protocol of the profile that it comes from.
    """
    read_profile(path)
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    searched = {result.fingerprint: result for result in tuned}
    names = {_dataset_name(result, tuned) for result in tuned}
    kept, others = {}, {}
    for name, table in content["datasets"].items():
        methods, fingerprint = _methods(table["methods"], content), table["fingerprint"]
        if fingerprint in searched:
            failed = searched[fingerprint].failures
            kept[fingerprint] = {method: entry for method, entry in methods.items() if method not in failed}
        else:
            alone = f"{name} ({fingerprint[:8]})" if name in names else name
            others[alone] = {**table, "methods": methods}
    return kept, others


def add_to_profile(store: str | Path, tuned: Tuned, budget: Budget, *, protocol: str) -> None:
    """Write the profile of a dataset that a store of trials has; what it says of other methods stays.

    These keep the budget that they had. What was chosen under another protocol goes, and so does a profile
    that cannot be read, with a ``CmbenchWarning``.
    """
    path, work = profile_path(store, tuned.fingerprint), Path(store, ".work")
    for folder in (path.parent, work):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(work / "profiles"), replacing(path) as beside:  # another search may be adding to it
        kept = {
            name: entry
            for name, entry in _there(path, tuned.fingerprint).items()
            if name not in tuned.failures and entry.get("protocol") == protocol
        }
        text = profile_text(TUNED, [tuned], budget, protocol=protocol, kept={tuned.fingerprint: kept})
        beside.write_text(text, encoding="utf-8")


def _there(path: Path, fingerprint: str) -> Mapping[str, Any]:
    """Return the entries of methods in a profile, none where it is not there or cannot be read."""
    try:
        return read_profile(path).datasets.get(fingerprint, {}) if path.exists() else {}
    except CmbenchError as error:
        warnings.warn(f"{error}; it is written anew", CmbenchWarning, stacklevel=4)
        return {}


def profile_path(tuning_store: str | Path, fingerprint: str) -> Path:
    """Return where the store of a search keeps the profile of a dataset."""
    return Path(tuning_store) / "profiles" / f"{fingerprint[:32]}.toml"


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
    files = [
        *(profile_path(folder, fingerprint) for folder in folders),
        PACKAGED / f"{fingerprint[:32]}.toml",
    ]
    return {
        method: entry
        for file in reversed(files)
        if file.exists()
        for method, entry in read_profile(file).datasets.get(fingerprint, {}).items()
    }


def _given(name: str, place: str | None) -> str:
    """Return the options of a command that name a dataset.

    >>> _given("scenes-limit-200", None), _given("toy", "/data/my pairs.npz")
    ('--dataset scenes --limit 200', "--dataset '/data/my pairs.npz'")
    """
    whole, _, limit = name.rpartition("-limit-")
    options = ["--dataset", place or whole or name, *(["--limit", limit] if whole else [])]
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
    untold = [cell for cell in cells if cell.tuning is None and cell.method.tuning_space]
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
    fingerprints = (cell.dataset.fingerprint, cell.dataset.card.split_of)
    entries = (profile.datasets.get(each, {}).get(cell.method.name, {}) for each in fingerprints)
    return next((entry["protocol"] for entry in entries if "protocol" in entry), None)


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
    """Return the entry of a method as that of a variant, without what the variant fixes."""
    free = {parameter.name for parameter in parameters_of(variant) if not parameter.fixed}
    entry = table[parent.name]
    parameters = {name: value for name, value in entry["parameters"].items() if name in free}
    unset = [name for name in entry.get("unset", ()) if name in free]
    spent = {name: entry[name] for name in ("trials", "exhausted", "budget") if name in entry}
    return {**spent, "parameters": parameters, "unset": unset, "like": parent.name}


def says_more(tuning: Tuning, known: Tuning | None) -> bool:
    """Return whether a record that says ``known`` is to say ``tuning`` instead.

    Parameters that a search chose for the method itself stay so named where they are also those of the method
    that it is a variant of.
    """
    return tuning != known and (known is None or "like" not in tuning or "like" in known)


def note_choices(store: Store, cells: Iterable[Cell], earlier: Mapping[str, Mapping[str, Any]]) -> None:
    """Write into stored records which profile the parameters of cells come from, where they do not say so.

    ``earlier`` are the summaries of the records of a store, by key.
    """
    for cell in cells:
        known = earlier.get(cell.key)
        if cell.tuning is None or known is None or not says_more(cell.tuning, known["method"].get("tuning")):
            continue
        record = store.find(cell.key)
        if record is not None:
            arrays = store.arrays(record) if record["status"] == "ok" else None
            store.put({**record, "method": {**record["method"], "tuning": dict(cell.tuning)}}, arrays)
