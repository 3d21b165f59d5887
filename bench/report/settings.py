"""The settings of methods on one dataset and protocol, which are the rows of tables, and their scores."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from statistics import fmean, stdev
from typing import Any, Literal, TypeAlias

from cmbench.choices import chosen_on_each_split
from cmbench.errors import ReportError
from cmbench.limits import duration_text
from cmbench.records import Record, parameters_of, split_of
from cmbench.report.records import measured, run_name, run_names
from cmbench.report.rows import rows_of, run_of, traits_of
from cmbench.schema import LEFT_OUT, OK, PRUNED, has_failed

Spread: TypeAlias = Literal["seeds", "queries"]
PAPER_ORDER = (
    "CM-GANs",
    "CCL",
    "CMDN",
    "Deep-SM",
    "LGCFL",
    "JRL",
    "DCCA",
    "Corr-AE",
    "KCCA",
    "CFA",
    "CCA",
)
"""The rows of Tables I to III (arXiv 1710.05106), from the top."""
MOST_NAMED = 3
"""Parameters in which settings of a method differ that each label names."""
UNLEARNED = ("random", "majority")
"""Controls that make nothing of the features: they show what chance gives, and compete with no method."""


@dataclass(frozen=True)
class Score:
    """A measure over ``count`` seeds: its mean, and its deviation if there is one to show."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Setting:
    """The records of one method, one version of it and one set of parameters; one per seed and split.

    Where a search chose the parameters on each split by itself, those are one set.

    ``spread`` says what its deviations are: ``seeds``, the sample standard deviation over seeds and splits,
    if there are two records or more; ``queries``, the standard error over the queries of the test set,
    averaged over records. ``choice`` is a digest of what was chosen on the splits, where the same profile has
    other settings too. ``full_label`` names all parameters that differ between the settings of the method,
    where ``label`` leaves some out.
    """

    label: str
    records: tuple[Record, ...]
    spread: Spread = "seeds"
    choice: str = ""
    full_label: str = ""

    @property
    def method(self) -> Mapping[str, Any]:
        """The method as its first record describes it."""
        return self.records[0]["method"]  # type: ignore[no-any-return]

    @cached_property
    def finished(self) -> tuple[Record, ...]:
        """The records that hold numbers."""
        return tuple(record for record in self.records if record["status"] == OK)

    @cached_property
    def unfinished(self) -> tuple[Record, ...]:
        """The records that hold no numbers though the method can run: failures, and trials given up."""
        return tuple(record for record in self.records if has_failed(record) or record["status"] == PRUNED)

    @property
    def seeds(self) -> int:
        """Over how many seeds the finished records are."""
        return len({record["seed"] for record in self.finished})

    @property
    def splits(self) -> tuple[int, ...]:
        """The splits that the finished records are of: 0 for the dataset's own, seeds of those drawn anew."""
        return tuple(sorted({split_of(record) for record in self.finished}))

    @property
    def left_out(self) -> str:
        """Why the method cannot run on the dataset; empty where it can."""
        reasons = [record["error"]["message"] for record in self.records if record["status"] == LEFT_OUT]
        return str(reasons[0]) if reasons else ""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that all seeds share: all but the seed and those that do not change a result.

        One that was chosen on each split by itself is a mapping of splits to values, unless all are the same.
        """
        if not self.is_chosen_on_each_split:
            return parameters_of(self.records[0])
        by_split = {f"split {split_of(record)}": parameters_of(record) for record in self.records}
        return {
            name: value
            if all(parameters.get(name) == value for parameters in by_split.values())
            else {split: parameters.get(name) for split, parameters in by_split.items()}
            for name, value in parameters_of(self.records[0]).items()
        }

    @property
    def defaults(self) -> dict[str, Any] | None:
        """The defaults of the parameters that have other values; None where a record does not say."""
        records = self.records if self.is_chosen_on_each_split else self.records[:1]
        known = [record["method"].get("defaults") for record in records]
        return None if None in known else {name: value for each in known for name, value in each.items()}

    @property
    def is_chosen_on_each_split(self) -> bool:
        """Whether a search chose the parameters on each split by itself, and there are several."""
        return vary_by_split(self.records)

    @property
    def traits(self) -> dict[str, Any]:
        """What tells settings apart: the parameters, and as ``code`` the version of the method's code."""
        return traits_of(self.records[0], self.choice)

    @property
    def is_random(self) -> bool:
        """Whether the method depends on a seed."""
        return self.records[0]["seed"] is not None

    def score(self, column: str) -> Score | None:
        """Return what is in that column over the finished seeds, None where there is none."""
        if column not in self._scores:
            self._scores[column] = self._score(column)
        return self._scores[column]

    @cached_property
    def _scores(self) -> dict[str, Score | None]:
        return {}

    def _score(self, column: str) -> Score | None:
        found = [measured(record, column) for record in self.finished]
        values = [value for value in found if value is not None]
        if not values or len(values) < len(found):
            return None
        return Score(fmean(values), self._deviation(column, values), len(values))

    def _deviation(self, column: str, values: Sequence[float]) -> float | None:
        if self.spread == "seeds":
            return stdev(values) if len(values) > 1 else None
        if not all(record.get("standard_error") for record in self.finished):
            raise ReportError(
                f"{self.label}: a record has no standard errors; run it again with --force, or show the "
                "spread over seeds"
            )
        return self.standard_error(column)

    def standard_error(self, column: str) -> float | None:
        """Return the standard error over queries, the mean over records; None where one lacks it."""
        errors = [
            measured(record, column, maps="standard_error", others="measure_errors")
            for record in self.finished
            if record.get("standard_error")
        ]
        known = [error for error in errors if error is not None]
        return fmean(known) if known and len(known) == len(self.finished) else None


def knows_test_labels(setting: Setting) -> bool:
    """Return whether a setting is a bound, made from the labels of the test items, and no method."""
    return bool(setting.method.get("reads_test_labels"))


def competes(setting: Setting) -> bool:
    """Return whether a setting is a method that is ranked: no bound, and no control that learns nothing."""
    return not knows_test_labels(setting) and setting.method["name"] not in UNLEARNED


def vary_by_split(records: Sequence[Record]) -> bool:
    """Return whether parameters of a setting were chosen on each of several splits by itself."""
    return chosen_on_each_split(records[0]) and len({split_of(record) for record in records}) > 1


def settings(records: Iterable[Record], *, spread: Spread = "seeds") -> list[Setting]:
    """Return the settings as tables list them: the paper's methods in its order, then others by name.

    Settings of one method are ordered by their parameters, smaller numbers first, and are
    labelled by the parameters in which they differ: ``CCA (n_components=10)``; where these are more than
    ``MOST_NAMED``, by the first that tell them apart: ``CCA (n_components=10, …)``. A record may stand in
    several.
    The records must be of one dataset and one protocol; two records of one cell raise ``ReportError``.
    """
    members: dict[str, list[Record]] = {}
    for record in records:
        members.setdefault(record["method"]["name"], []).append(record)
    shared = _shared_paper_names(members)
    by_method = [_settings_of(rows_of(records_of_method), shared) for records_of_method in members.values()]
    ordered = sorted(chain.from_iterable(by_method), key=rank_in_paper)
    return [replace(setting, spread=spread) for setting in ordered]


def failure_text(record: Record) -> str:
    """Return how a cell failed, in a few words: ``crashed (signal 11)``.

    A timeout names the deadline, or the time measured where the record has none.
    """
    match record["status"]:
        case "timeout":
            return _timeout(record)
        case "crashed":
            return _crash(record)
        case "out-of-memory":
            return "out of memory"
        case "left-out":
            return f"left out: {record['error']['message']}"
        case "failed":
            return _with_detail("failed: ", (record["error"] or {}).get("type"), "failed")
        case other:
            return str(other)


def failures_text(setting: Setting) -> str:
    """Return how the cells of a setting failed, runs that failed in the same way together.

    The runs are named where the setting has several: ``seeds 0, 2: out of memory; seed 1: timeout``.
    """
    fates: dict[str, list[str]] = {}
    for record in setting.unfinished:
        fates.setdefault(failure_text(record), []).append(run_name(record))
    if len(setting.records) == 1:
        return next(iter(fates))
    return "; ".join(f"{run_names(runs)}: {fate}" for fate, runs in fates.items())


def _settings_of(cells: Sequence[Sequence[Record]], shared: set[str]) -> list[Setting]:
    """Return the settings of one method; ``cells`` holds the records of each."""
    choices = _told_choices(cells)
    traits = [traits_of(records[0], choice) for records, choice in zip(cells, choices, strict=True)]
    names = dict.fromkeys(chain.from_iterable(traits))
    differing = [name for name in names if _differs(name, traits)]
    order = sorted(range(len(cells)), key=lambda at: [_rank(traits[at], name) for name in differing])
    told = {name: _told([values[name] for values in traits if name in values]) for name in differing}
    parts = [_parts(each, told) for each in traits]
    telling = _telling(parts)
    short, full = (
        [_label(records[0], each, count, shared) for records, each in zip(cells, parts, strict=True)]
        for count in (telling, len(differing))
    )
    return [
        Setting(short[at], _one_per_seed(cells[at]), choice=choices[at], full_label=full[at]) for at in order
    ]


def _parts(traits: Mapping[str, Any], told: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what a label says of each parameter that differs, nothing of one that the setting lacks."""
    return [f"{key}={texts[str(traits[key])]}" if key in traits else "" for key, texts in told.items()]


def _telling(parts: Sequence[Sequence[str]]) -> int:
    """Return how many of the parameters that differ labels name: all of a few, or those that tell all apart.

    Settings that two searches chose differ in ten parameters, which nobody reads in a row of a table.
    """
    differing = len(parts[0])
    if differing <= MOST_NAMED:
        return differing
    counts = range(1, differing + 1)
    return next((n for n in counts if len({tuple(each[:n]) for each in parts}) == len(parts)), differing)


def _told_choices(cells: Sequence[Sequence[Record]]) -> list[str]:
    """Return a digest of the choice of each row that has all else in common with another; none for others."""
    traits = [traits_of(records[0]) for records in cells]
    digests = [(records[0]["method"].get("tuning") or {}).get("each_split") for records in cells]
    return [
        digest if isinstance(digest, str) and traits.count(same) > 1 else ""
        for digest, same in zip(digests, traits, strict=True)
    ]


def _told(values: Sequence[Any]) -> dict[str, str]:
    """Return what a label says of each value, by its text: numbers in four digits, if that tells them apart.

    >>> _told([0.018408328664605844, 2.0, "validation"])
    {'0.018408328664605844': '0.01841', '2.0': '2.0', 'validation': 'validation'}
    """
    full = [str(value) for value in values]
    short = [str(float(f"{value:.4g}")) if isinstance(value, float) else str(value) for value in values]
    return dict(zip(full, short if len(set(short)) == len(set(full)) else full, strict=True))


def _differs(name: str, traits: Sequence[Mapping[str, Any]]) -> bool:
    return len({json.dumps(values[name]) if name in values else None for values in traits}) > 1


def _rank(traits: Mapping[str, Any], name: str) -> tuple[int, float, str]:
    """Return where a value sorts: numbers by size, then words, then missing ones."""
    if name not in traits:
        return (2, 0.0, "")
    value = traits[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, float(value), str(value)) if is_number else (1, 0.0, str(value))


def _label(record: Record, parts: Sequence[str], telling: int, shared: set[str]) -> str:
    method = record["method"]
    label: str = method["paper_name"]
    if label in shared:
        label += f" [{method['name']}]"
    named = [part for part in parts if part]
    if len(named) > MOST_NAMED and telling < len(parts):
        named = [*([part for part in parts[:telling] if part] or named[:1]), "…"]
    return f"{label} ({', '.join(named)})" if named else label


def _shared_paper_names(members: Mapping[str, Sequence[Record]]) -> set[str]:
    """Return the paper names that two methods claim; their labels carry the method's own name too."""
    papers = [records[0]["method"]["paper_name"] for records in members.values()]
    return {name for name in papers if papers.count(name) > 1}


def _one_per_seed(records: Sequence[Record]) -> tuple[Record, ...]:
    by_seed: dict[tuple[int, int | None], Record] = {}
    for record in records:
        seed = run_of(record)
        if seed in by_seed:
            raise ReportError(
                f"two records of one cell: {record['method']['name']} with seed {record['seed']} has the "
                f"keys {by_seed[seed]['key']} and {record['key']}; remove one of them, or they would count "
                "as two seeds"
            )
        by_seed[seed] = record
    return tuple(sorted(by_seed.values(), key=lambda record: (split_of(record), record["seed"] or 0)))


def rank_in_paper(setting: Setting) -> tuple[int, str, str]:
    """Return where a method stands in a table; settings of one method keep their order.

    A method named "CCL (coarse only)" comes after CCL, or where CCL would be.
    """
    name = setting.method["paper_name"]
    in_paper = name.partition(" (")[0]
    rank = PAPER_ORDER.index(in_paper) if in_paper in PAPER_ORDER else len(PAPER_ORDER)
    return rank, name.casefold(), setting.method["name"]


def _timeout(record: Record) -> str:
    seconds = (record.get("limits") or {}).get("deadline") or (record["durations"] or {}).get("total")
    return "timeout" if seconds is None else f"timeout after {duration_text(seconds)}"


def _crash(record: Record) -> str:
    status = (record["error"] or {}).get("exit_status")
    if status is not None and status < 0:
        return f"crashed (signal {-status})"
    return _with_detail("crashed (exit status ", status, "crashed", end=")")


def _with_detail(start: str, detail: object, otherwise: str, *, end: str = "") -> str:
    return otherwise if detail is None else f"{start}{detail}{end}"
