"""Stored cells as text: how to run them again, what is special about them, and all else that is known."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cmbench.command import changed_parameters, command, moved_defaults
from cmbench.current import code_of
from cmbench.limits import duration_text
from cmbench.output import plural
from cmbench.records import Record, base_dataset, commit_text, is_trial, split_of, without_seed
from cmbench.report.cells import error_of, measures_of
from cmbench.report.records import groups, run_name
from cmbench.report.settings import settings, vary_by_split
from cmbench.schema import OK, has_failed
from cmbench.store import DEFAULT_STORE

_REPETITION: Mapping[bool | None, str] = {
    True: "two fits gave the same representations",
    False: "two fits gave other representations, which the method says it cannot help",
}
_PACKAGES = ("cmbench", "numpy", "scipy", "scikit-learn", "torch")


def described(
    records: Iterable[Record],
    *,
    store: str | None = None,
    defaults: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> str:
    """Return cells as text: those that differ in seed or split alone are told together.

    Of each there is the command that runs it again, the parameters that are not the defaults, its results,
    and what else is known. ``defaults`` are those that methods have today, by name of the method.
    """
    cells = (
        setting.records for group in groups(records) for setting in settings(group.records) if setting.records
    )
    return "\n\n".join(
        describe(*together, store=store, defaults=defaults.get(together[0]["method"]["name"], {}))
        for together in cells
    )


def describe(
    *records: Mapping[str, Any],
    store: str | None = None,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return what is known of the cells of one setting: one fact a line, errors with their traceback.

    What is the same in all of them is told once, and all else by seed. ``defaults`` are those that the method
    has today.
    """
    statuses = ", ".join(dict.fromkeys(record["status"] for record in records))
    first = records[0]
    lines = [f"{base_dataset(first)['name']} / {first['method']['paper_name']}  ({statuses})"]
    told = [*_heading(records, store, defaults), *_together(records, store)]
    told = [(name, value) for name, value in told if value not in (None, "")]
    width = max(len(name) for name, _ in told)
    lines += [f"  {name:<{width}} {value}" for name, value in told]
    for record in records:
        if record["error"] and record["error"]["traceback"]:
            whose = [f"  {run_name(record)}"] if len(records) > 1 else []
            lines += ["", *whose]
            lines += ["  " + line for line in record["error"]["traceback"].rstrip().splitlines()]
    return "\n".join(lines)


def _heading(
    records: Sequence[Record], store: str | None, defaults: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield what a reader wants first: the command, and which parameters are not the defaults."""
    first = records[0]
    finished = next((record for record in records if record["status"] == OK), None)
    if is_trial(first):
        alone = "; 'cmbench reproduce' runs it alone" if finished else ""
        yield "trial", f"of the search below{alone}"
    failed = any(map(has_failed, records))
    retrying = " --retry-failed" if failed and not is_trial(first) else ""
    yield "run again", f"{command(records, store=store, defaults=defaults)}{retrying}"
    if finished and not is_trial(first):
        place = [] if store is None else ["--store", store]
        exactly = shlex.join(["cmbench", "reproduce", finished["key"], *place])
        which = f"{run_name(finished)} alone, " if len(records) > 1 else ""
        yield "or", f"{exactly}, {which}with its parameters whatever the defaults are by then"
    differing = {split_of(record): record for record in reversed(records)} if vary_by_split(records) else {}
    for split, record in sorted(differing.items()):
        yield from (("changed", f"split {split}: {text}") for text in _changes(record))
    if not differing:
        yield from (("changed", text) for text in _changes(first))
    moved = moved_defaults(first, defaults)
    told = (
        f"{name}={json.dumps(moved[name])} ({json.dumps(defaults[name])} today)" for name in sorted(moved)
    )
    yield "default then", ", ".join(told)


def _changes(record: Record) -> Iterator[str]:
    """Yield which parameters were not the defaults; nothing where the record does not say."""
    defaults = record["method"].get("defaults")
    if defaults is not None:
        changes = changes_text(changed_parameters(record), defaults)
        yield changes or "nothing: all parameters are the defaults"


def _together(records: Sequence[Record], store: str | None) -> Iterator[tuple[str, Any]]:
    """Yield the facts of all records in the order of those of the first, equal ones once."""
    facts = [list(_facts(record, store or DEFAULT_STORE)) for record in records]
    names = list(dict.fromkeys(name for told in facts for name, _ in told))
    for name in names:
        by_record = [[value for other, value in told if other == name] for told in facts]
        if all(values == by_record[0] for values in by_record):
            yield from ((name, value) for value in by_record[0])
        else:
            yield from (
                (name, f"{run_name(record)}: {value}")
                for record, values in zip(records, by_record, strict=True)
                for value in values
                if value not in (None, "")
            )


def _facts(record: Mapping[str, Any], store: str) -> list[tuple[str, Any]]:
    dataset, provenance = record["dataset"], record["provenance"]
    sizes, packages, commit = dataset["sizes"], provenance.get("packages", {}), commit_text(provenance)
    accelerator = provenance.get("accelerator")
    return [
        ("key", record["key"]),
        ("error", error_of(record)),
        *((task, f"{value:.4f}") for task, value in (record["map"] or {}).items()),
        *((name, f"{value:.4f}") for name, value in measures_of(record).items()),
        ("code", _code(record["method"])),
        ("preset", record["method"].get("preset")),
        ("chosen", tuning_text(record["method"].get("tuning"))),
        ("parameters", values_text(without_seed(record["method"]["parameters"]))),
        ("fitted", values_text(record["fitted"])),
        ("seed", record["seed"]),
        ("protocol", f"{record['protocol']['name']} version {record['protocol']['version']}"),
        (
            "dataset",
            f"{sizes['train']}/{sizes['validation']}/{sizes['test']} pairs, {dataset['fingerprint'][:16]}",
        ),
        *(("warning", sentence) for sentence in (*record.get("warnings", ()), *dataset.get("warnings", ()))),
        ("repeats", _REPETITION.get(record.get("repeats"))),
        *(("note", sentence) for sentence in dataset.get("notes", ())),
        ("images", f"{dataset['image_dimension']}-d, {dataset['image_feature']}"),
        ("texts", f"{dataset['text_dimension']}-d, {dataset['text_feature']}"),
        ("durations", durations_text(record)),
        ("memory", f"{record['peak_memory_bytes'] / 1e6:.0f} MB at most, {record['threads']} thread(s)"),
        ("fence", _fence(record.get("fence"), record["method"].get("source"))),
        ("log", _log(record, store)),
        ("packages", ", ".join(f"{name} {packages.get(name)}" for name in _PACKAGES if packages)),
        ("machine", _machine(provenance)),
        ("LD_PRELOAD", provenance.get("preloaded")),
        ("accelerator", accelerator and accelerator["name"]),
        ("source", commit and f"commit {commit}"),
        ("finished", provenance.get("finished")),
    ]


def _log(record: Record, store: str) -> str:
    """Return where the output of a cell is kept; empty where it is not, as in a store that was given away."""
    log = Path(store, record["log"] or ".")
    return str(log) if log.is_file() else ""


def _code(method: Mapping[str, Any]) -> str:
    source = method.get("source")
    return f"version {code_of({'method': method})}{f', kept in {source}' if source else ''}"


def tuning_text(tuning: Mapping[str, Any] | None) -> str:
    """Return by which search the parameters were chosen; empty where they were not.

    >>> tuning_text({"profile": "mine", "trials": 5, "exhausted": True, "like": "cmgans"})
    'on validation pairs, profile mine, for cmgans, from 5 trials, all that there are'
    >>> tuning_text({"profile": "mine", "trials": 0, "exhausted": True})
    'nothing to choose, profile mine'
    """
    if not tuning:
        return ""
    like = f", for {tuning['like']}" if "like" in tuning else ""
    profile = f"profile {tuning['profile']}{like}"
    if tuning.get("exhausted") and not tuning["trials"]:
        return f"nothing to choose, {profile}"
    ended = ", all that there are" if tuning.get("exhausted") else ""
    failed = f", of which {tuning['failed']} failed" if tuning.get("failed") else ""
    trials = f"{tuning['trials']} {plural('trial', tuning['trials'])}"
    return f"on validation pairs, {profile}, from {trials}{ended}{failed}"


def _fence(fence: Mapping[str, str | None] | None, source: str | None = None) -> str | None:
    """Return by which means files and processes were closed to the method; None where a record does not say.

    ``source`` is where the code of a plugin is kept: what runs as it is imported runs in the run itself.

    >>> _fence({"files": "Landlock 7", "processes": None})
    'files: Landlock 7, processes: open to the method'
    """
    if fence is None:
        return None
    means = ", ".join(f"{what}: {means or 'open to the method'}" for what, means in fence.items())
    return f"{means}; a plugin's module is imported outside it, read {source}" if source else means


def _machine(provenance: Mapping[str, Any]) -> str:
    """Return where a cell ran, as far as its record says.

    >>> _machine({"processor": "Intel", "python": "3.11.7"})
    'Intel, Python 3.11.7'
    """
    python = f"Python {provenance['python']}" if "python" in provenance else None
    known = (provenance.get("processor"), python, provenance.get("platform"))
    return ", ".join(str(each) for each in known if each)


def packages_text(provenance: Mapping[str, Any]) -> str:
    """Return the packages that a cell ran with; empty where a record does not say.

    >>> packages_text({"packages": {"torch": None, "scipy": "1.15", "numpy": "2.2"}})
    'numpy 2.2, scipy 1.15'
    """
    versions = provenance.get("packages") or {}
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()) if version)


def durations_text(record: Record) -> str:
    """Return how long each step of a cell took, as far as its record says."""
    durations = (record["durations"] or {}).items()
    return ", ".join(f"{step} {duration_text(seconds)}" for step, seconds in durations if seconds is not None)


def values_text(values: Mapping[str, Any]) -> str:
    """Return values by name, as JSON.

    >>> values_text({"width": 8, "solver": "exact"})
    'solver="exact", width=8'
    """
    return ", ".join(f"{name}={_value(value)}" for name, value in sorted(values.items()))


def changes_text(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return values that are not the defaults, with these.

    >>> changes_text({"width": 8}, {"width": 4, "depth": 2})
    'width=8 (default 4)'
    """
    changes = sorted(values.items())
    return ", ".join(f"{name}={_value(value)} (default {_value(defaults[name])})" for name, value in changes)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
