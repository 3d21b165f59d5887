"""Whether what was chosen for the tuned runs came of validation pairs alone, by what is kept of the searches.

``python results/produce.py evidence`` compares three things for each dataset and method: the profile, with
every setting that was tried; the records of these trials in ``tuned/searches``; and the records of the runs
on test pairs. It writes ``tuned/evidence.md``, and ends with status 1 where any of them contradicts another.
"""

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from equal_searches import setting_of, unpacked, validated
from tabulate import tabulate

from cmbench.datasets.registry import dataset_names, load_dataset
from cmbench.methods.contract import Method
from cmbench.methods.parameters import defaults_of
from cmbench.methods.registry import registry
from cmbench.methods.training.progress import Look
from cmbench.report.facts import MISSING
from cmbench.schema import OK, PRUNED, finished_at
from cmbench.search import Search, Trial
from cmbench.store import Store
from cmbench.tuning import REPEATED, validation_only

CLOSE = 1e-6  # MAPs of profiles are rounded
HEAD = """\
# What the searches were made of

`python results/produce.py evidence` writes this page of the profiles that come with cmbench, the records of
trials in `searches/`, and the records of the runs on test pairs, and fails where they contradict each other.
Of each dataset all records of trials are of one set of pairs, whose test pairs are the validation pairs of
the runs. For each method,

* *trials* are those that the profile tells of, and *with a record* those whose record has the same
  parameters and the same MAP, or was given up or failed as the profile says;
* *best* says that what was chosen has the highest mean over seeds of those that were run with all seeds,
  and that these were the best three by the first seed;
* *drawn again* says how many trials, from the first, are those that the search draws with the code of today
  from the outcomes of the trials before them, in which no number of a test pair has a part. A star marks
  a search space of then that is another today;
* *runs* are the records on test pairs whose parameters are the ones chosen, of all of the method;
* *log ends* and *runs begin* are the days and times (UTC) of the last trial and of the first run. Where runs
  are older than the log, the search was made again to have records, and chose the same.
"""
TIME = len("2026-11-30T12:00")


@dataclass(frozen=True)
class Row:
    """What is found of one method on one dataset.

    ``wrong`` says what contradicts what; it is empty where nothing does.
    """

    method: str
    trials: int
    logged: int
    best: bool | None
    drawn: int
    has_earlier_space: bool
    runs: int
    runs_in_all: int
    log_ends: str
    runs_begin: str
    wrong: tuple[str, ...]


def write_evidence(results: Path, profiles: Path) -> None:
    """Write the page of the evidence; ``SystemExit`` where something contradicts what a profile says."""
    page, wrong = evidence(results, profiles)
    (results / "tuned" / "evidence.md").write_text(page, encoding="utf-8")
    if wrong:
        raise SystemExit("\n".join(wrong))


def evidence(results: Path, profiles: Path) -> tuple[str, list[str]]:
    """Return the page of the evidence, and what contradicts what a profile says."""
    sections, wrong = {}, []
    runs = Store(results / "tuned").records()
    for path in profiles.glob("*.toml"):
        profile = tomllib.loads(path.read_text(encoding="utf-8"))
        for name, dataset in profile["datasets"].items():
            log = read_log(results / "tuned" / "searches" / f"{name}.tar.xz")
            of_dataset = [each for each in runs if is_of(each, dataset["fingerprint"])]
            wrong += [f"{name}: {text}" for text in wrong_pairs(name, log, of_dataset)]
            found = rows(dataset["methods"], profile["budget"]["seeds"], log, of_dataset)
            wrong += [f"{name}: {row.method}: {text}" for row in found for text in row.wrong]
            sections[name] = f"## {name}\n\n{table(found)}\n"
    return "\n".join([HEAD, *(sections[name] for name in sorted(sections))]), wrong


def read_log(archive: Path) -> list[dict[str, Any]]:
    """Return the records of the trials in an archive; ``SystemExit`` where one is not of validation pairs."""
    records = [json.loads(text) for text in unpacked(archive).values()] if archive.exists() else []
    for record in records:
        validated(record)
    return records


def is_of(record: Mapping[str, Any], fingerprint: str) -> bool:
    """Return whether a record is of a run on that dataset with parameters of its own search."""
    tuning = record["method"].get("tuning") or {}
    of_search = tuning and not tuning.get("like")
    return bool(of_search) and record["dataset"]["fingerprint"] == fingerprint and record["status"] == OK


def wrong_pairs(
    name: str, log: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield in what the pairs of trials are not those of the runs with validation pairs as test pairs."""
    fingerprints = {record["dataset"]["fingerprint"] for record in log}
    if len(fingerprints) > 1:
        yield f"trials are of {len(fingerprints)} sets of pairs"
    if name in dataset_names() and fingerprints != {validation_only(load_dataset(name)).fingerprint}:
        yield "trials are of other pairs than the validation pairs"
    if fingerprints & {record["dataset"]["fingerprint"] for record in runs}:
        yield "trials were ranked on test pairs"
    of_trials, of_runs = ({sizes_of(record) for record in records} for records in (log, runs))
    for train, validation, tested in of_trials:
        if validation != tested or {sizes[:2] for sizes in of_runs} != {(train, validation)}:
            yield f"trials have {train}/{validation}/{tested} pairs"


def sizes_of(record: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return how many pairs a run had for training, validation and test."""
    sizes = record["dataset"]["sizes"]
    return sizes["train"], sizes["validation"], sizes["test"]


def rows(
    methods: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    log: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
) -> list[Row]:
    """Return what is found of each method of a profile."""
    logs, tested = defaultdict(list), defaultdict(list)
    for each in log:
        logs[each["method"]["name"]].append(each)
    for each in runs:
        tested[each["method"]["name"]].append(each)
    return [row(name, entry, seeds, logs[name], tested[name]) for name, entry in sorted(methods.items())]


def row(
    name: str,
    entry: Mapping[str, Any],
    seeds: Sequence[int],
    log: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
) -> Row:
    """Return what is found of one method."""
    tried, first = entry["tried"], [record for record in log if record["seed"] in (None, seeds[0])]
    logged = with_records(tried, first)
    wrong = []
    if log and len(logged) < len(tried):
        wrong.append(f"{len(tried) - len(logged)} of {len(tried)} trials have no record")
    if others := [record["key"] for record in first if record not in logged.values()]:
        wrong.append(f"{len(others)} records are of no trial of the profile: {others[0]}")
    best = is_best(entry, seeds, log) if log else None
    if best is False:
        wrong.append("another setting has a higher mean on validation pairs")
    as_chosen = [record for record in runs if has(record, entry["parameters"])]
    if len(as_chosen) < len(runs):
        wrong.append(f"{len(runs) - len(as_chosen)} runs have other parameters than those chosen")
    ends = [finished_at(record)[:TIME] for record in log]
    begin = [finished_at(record)[:TIME] for record in runs]
    drawn = drawn_again(name, tried, logged)
    numbers = (len(tried), len(logged), best, *drawn, len(as_chosen), len(runs))
    return Row(name, *numbers, max(ends, default=""), min(begin, default=""), tuple(wrong))


def has(record: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Return whether a record has the parameters, among others."""
    held = record["method"]["parameters"]
    return all(name in held and held[name] == value for name, value in parameters.items())


def with_records(
    tried: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]
) -> dict[int, Mapping[str, Any]]:
    """Return the record of each trial that has one, by the number of the trial.

    Two trials have one record where defaults were tried again by name.
    """
    found: dict[int, Mapping[str, Any]] = {}
    by_name = sorted(enumerate(tried), key=lambda each: not each[1]["parameters"])  # what names none is last
    for number, trial in by_name:
        fitting = [each for each in records if has(each, trial["parameters"]) and ended_alike(trial, each)]
        if fitting:
            found[number] = next((each for each in fitting if each not in found.values()), fitting[0])
    return found


def ended_alike(trial: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Return whether a trial has the MAP of a record, or neither has one, for the same reason."""
    if record["status"] == OK:
        return abs(trial.get("validation_map", -1.0) - record["map"]["bimodal_average"]) < CLOSE
    return "validation_map" not in trial and bool(trial.get("pruned")) == (record["status"] == PRUNED)


def is_best(entry: Mapping[str, Any], seeds: Sequence[int], log: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether what was chosen is the best by its mean, and those with all seeds by the first seed."""
    maps: dict[str, list[float]] = defaultdict(list)
    chosen = set()
    for record in sorted(log, key=lambda record: record["seed"] or 0):
        if record["status"] == OK:
            setting = json.dumps(setting_of(record), sort_keys=True)
            maps[setting].append(record["map"]["bimodal_average"])
            if has(record, entry["parameters"]):
                chosen.add(setting)
    best_of_first = sorted(maps, key=lambda setting: -maps[setting][0])[:REPEATED]
    number = 1 if {record["seed"] for record in log} == {None} else len(seeds)
    means = {setting: fmean(values) for setting, values in maps.items() if len(values) == number}
    told = max((means.get(setting, 0.0) for setting in chosen), default=0.0)
    least = min(maps[setting][0] for setting in best_of_first)
    are_repeated = all(setting in means for setting in maps if maps[setting][0] > least)
    return abs(told - entry["validation_map"]) < CLOSE and told > max(means.values()) - CLOSE and are_repeated


EARLIER_SPACES = {"deep-sm": {"preprocessing": ("none", "zscore", "global")}}
"""Parameters whose search space had other values in the searches that chose."""


def drawn_again(
    name: str, tried: Sequence[Mapping[str, Any]], logged: Mapping[int, Mapping[str, Any]]
) -> tuple[int, bool]:
    """Return how many trials, from the first, the search draws, and whether with a space of then."""
    method = registry()[name].load()
    drawn = drawn_with(method, tried, logged)
    if drawn == len(tried) or name not in EARLIER_SPACES:
        return drawn, False
    space = {**method.tuning_space, **EARLIER_SPACES[name]}
    then = drawn_with(type(name, (method,), {"tuning_space": space}), tried, logged)
    return (then, True) if then > drawn else (drawn, False)


def drawn_with(
    method: type[Method], tried: Sequence[Mapping[str, Any]], logged: Mapping[int, Mapping[str, Any]]
) -> int:
    """Return how many trials, from the first, a search draws from what came of those before."""
    search, defaults, earlier = Search(method), defaults_of(method), []
    for number, trial in enumerate(tried):
        whole = {**defaults, **trial["parameters"]}
        if whole in earlier:  # the defaults by name, of which a search of today takes what it knows
            continue
        earlier.append(whole)
        if number not in logged or search.next() != trial["parameters"]:
            return number
        record = logged[number]
        score = record["map"]["bimodal_average"] if record["status"] == OK else None
        looks = tuple(Look(*look) for look in record.get("looks", ()))
        search.add(Trial(trial["parameters"], score, 0.0, looks, record["status"] == PRUNED))
    return len(tried)


def table(found: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    marks = {True: "yes", False: "no", None: MISSING}
    lines = [
        (
            row.method,
            row.trials,
            row.logged or MISSING,
            marks[row.best],
            f"{row.drawn}{'*' * row.has_earlier_space}" if row.logged else MISSING,
            f"{row.runs} of {row.runs_in_all}",
            row.log_ends.replace("T", " ") or MISSING,
            row.runs_begin.replace("T", " ") or MISSING,
        )
        for row in found
    ]
    heads = ("method", "trials", "with a record", "best", "drawn again", "runs", "log ends", "runs begin")
    return tabulate(lines, heads, "pipe", disable_numparse=True)
