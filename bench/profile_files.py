"""The file of a profile: parameters chosen by tuning, and how they were chosen, as TOML."""

from __future__ import annotations

import math
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cmbench.disk import check_plain, locked, replacing, writing_to
from cmbench.errors import CmbenchError, CmbenchWarning, StoreError
from cmbench.output import output_file
from cmbench.schema import RANDOM_STATE, TEXT, Rule

if TYPE_CHECKING:
    from cmbench.search import Trial
    from cmbench.tuning import Budget, Choice, Failure, Tuned

TUNED = "tuned"
"""The name of the profile of what was tuned before."""
_TABLE: Rule = lambda value: isinstance(value, dict), "a table"
_PARAMETERS: Rule = (
    lambda value: isinstance(value, dict) and RANDOM_STATE not in value,
    "a table, and without a random_state, which --seeds sets",
)
_COUNT: Rule = lambda value: type(value) is int and value >= 0, "a whole number of 0 or more"
_AMOUNT: Rule = (
    lambda value: type(value) in (int, float) and 0 < value < math.inf,
    "a finite number above 0",
)
_TRUTH: Rule = lambda value: isinstance(value, bool), "true or false"
_NAMES: Rule = (
    lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "a list of names",
)
_FILE: Mapping[str, Rule] = {"name": TEXT, "datasets": _TABLE}
_OF_FILE: Mapping[str, Rule] = {"budget": _TABLE, "protocol": TEXT}
_DATASET: Mapping[str, Rule] = {"fingerprint": TEXT, "methods": _TABLE}
_METHOD: Mapping[str, Rule] = {"parameters": _PARAMETERS, "trials": _COUNT}
_OF_METHOD: Mapping[str, Rule] = {
    **_OF_FILE,
    "unset": _NAMES,
    "exhausted": _TRUTH,
    "failed": _COUNT,
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

        That is the name of the profile, the number of trials, whether these were all that there are, how
        many failed, the budget, the version of the method that was tuned, and as ``like`` its name where it
        is another method.
        """
        entry = self.datasets.get(fingerprint, {}).get(method)
        if entry is None:
            return None
        names = ("exhausted", "failed", "budget", "version", "like")
        said = {name: entry[name] for name in names if entry.get(name)}
        return {"profile": self.name, "trials": int(entry["trials"]), **said}


def read_profile(path: str | Path) -> Profile:
    """Return the profile in a TOML file; raises ``CmbenchError`` that names the file and its fault."""
    return _read(path)[1]


def _read(path: str | Path) -> tuple[dict[str, Any], Profile]:
    """Return the content of a file, and the profile in it."""
    try:
        check_plain(Path(path))
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        return content, _profile(content)
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

    Raises ``CmbenchError`` where something else is in its place, or it cannot be written.
    """
    kept, others = _older(Path(path), tuned) if Path(path).exists() else ({}, {})
    with output_file(Path(path)) as beside:
        text = profile_text(name, tuned, budget, protocol=protocol, kept=kept, others=others)
        beside.write_text(text, encoding="utf-8")


def _older(path: Path, tuned: Sequence[Tuned]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a profile has beside what was searched: of the same datasets, and of others.

    Each method has the budget and the protocol of the profile that it comes from.
    """
    content, profile = _read(path)
    searched = {result.fingerprint: result for result in tuned}
    names = {_dataset_name(result, tuned) for result in tuned}
    kept, others = {}, {}
    for name, table in content["datasets"].items():
        fingerprint = table["fingerprint"]
        methods = profile.datasets[fingerprint]
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
    that cannot be read, with a ``CmbenchWarning``. Raises ``StoreError`` where it cannot be written,
    unless it says all of that already.
    """
    path, work = profile_path(store, tuned.fingerprint), Path(store, ".work")
    try:
        with writing_to(path, raising=StoreError):
            for folder in (path.parent, work):
                folder.mkdir(parents=True, exist_ok=True)
            with locked(work / "profiles"), replacing(path) as beside:  # another search may be adding to it
                beside.write_text(_added(path, tuned, budget, protocol), encoding="utf-8")
    except StoreError:
        if not path.is_file() or path.read_bytes() != _added(path, tuned, budget, protocol).encode():
            raise


def _added(path: Path, tuned: Tuned, budget: Budget, protocol: str) -> str:
    """Return the text of the profile of a dataset with what was searched added to what it says."""
    kept = {
        name: entry
        for name, entry in _there(path, tuned.fingerprint).items()
        if name not in tuned.failures and entry.get("protocol") == protocol
    }
    return profile_text(TUNED, [tuned], budget, protocol=protocol, kept={tuned.fingerprint: kept})


def _there(path: Path, fingerprint: str) -> Mapping[str, Any]:
    """Return the entries of methods in a profile, none where it is not there or cannot be read."""
    try:
        return read_profile(path).datasets.get(fingerprint, {}) if path.exists() else {}
    except CmbenchError as error:
        warnings.warn(f"{error}; it is written anew", CmbenchWarning, stacklevel=4)
        return {}


def profile_path(tuning_store: str | Path, fingerprint: str) -> Path:
    """Return where the store of a search keeps the profile of a dataset."""
    return Path(tuning_store) / "profiles" / profile_name(fingerprint)


def profile_name(fingerprint: str) -> str:
    """Return the name of a file that is found by its dataset."""
    return f"{fingerprint[:32]}.toml"
