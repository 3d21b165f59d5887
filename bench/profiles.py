"""Profiles: parameters chosen by tuning, as a TOML file that says how they were chosen."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmbench.disk import replacing
from cmbench.errors import CmbenchError

if TYPE_CHECKING:
    from cmbench.tuning import Budget, Choice, Tuned


def profile_text(name: str, tuned: Sequence[Tuned], budget: Budget) -> str:
    """Return a profile as TOML: what was chosen for every dataset and method, and from how many trials."""
    import tomli_w  # of the extra as well

    return tomli_w.dumps(
        {
            "name": name,
            "budget": _without_none(
                {"trials": budget.trials, "seconds": budget.seconds, "seeds": budget.seeds}
            ),
            "datasets": {
                result.dataset: {
                    "fingerprint": result.fingerprint,
                    "methods": {method: _entry(choice) for method, choice in result.choices.items()},
                }
                for result in tuned
            },
        }
    )


def _entry(choice: Choice) -> dict[str, Any]:
    unset = [name for name, value in choice.parameters.items() if value is None]  # TOML has no None
    return {
        "validation_map": round(choice.score, 6),
        "trials": choice.trials,
        "failed": choice.failed,
        "pruned": choice.pruned,
        "processor_seconds": round(choice.seconds, 1),
        "parameters": _without_none(choice.parameters),
        **({"unset": unset} if unset else {}),
    }


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Profile:
    """Parameters for methods on datasets, with the trials they were chosen from."""

    name: str
    datasets: Mapping[str, Mapping[str, Any]]
    """By fingerprint: the table of its methods."""

    def parameters(self, fingerprint: str, method: str) -> dict[str, Any] | None:
        """Return the parameters chosen for a method on a dataset, or None where there are none."""
        entry = self.datasets.get(fingerprint, {}).get(method)
        return None if entry is None else {**entry["parameters"], **dict.fromkeys(entry.get("unset", ()))}

    def trials(self, fingerprint: str, method: str) -> int | None:
        """Return how many trials those parameters were chosen from."""
        entry = self.datasets.get(fingerprint, {}).get(method)
        return None if entry is None else int(entry["trials"])


def read_profile(path: str | Path) -> Profile:
    """Return the profile in a TOML file; raises ``CmbenchError`` that names the file and its fault."""
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        datasets = {
            table["fingerprint"]: _methods(table["methods"]) for table in content["datasets"].values()
        }
        return Profile(str(content["name"]), datasets)
    except FileNotFoundError as error:
        raise CmbenchError(f"{path}: no such profile; make one with 'cmbench tune -o {path}'") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CmbenchError(
            f"{path}: no profile that 'cmbench tune' wrote ({type(error).__name__}: {error})"
        ) from error


def _methods(table: Mapping[str, Any]) -> dict[str, Any]:
    for name, entry in table.items():
        if not isinstance(entry["parameters"], dict) or not isinstance(entry["trials"], int):
            raise TypeError(f"method {name!r} has no table of parameters, or no number of trials")
    return dict(table)


def write_profile(path: str | Path, name: str, tuned: Sequence[Tuned], budget: Budget) -> None:
    """Write a profile; an older file is replaced as a whole."""
    with replacing(Path(path)) as beside:
        beside.write_text(profile_text(name, tuned, budget), encoding="utf-8")
