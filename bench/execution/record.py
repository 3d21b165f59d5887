"""The record of a cell: what was run, how it ended, and what came out."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmbench.current import source_folder
from cmbench.datasets.draft import base_name, category_counts
from cmbench.execution.child_process import Ended
from cmbench.execution.doubts import doubts
from cmbench.execution.outcome import LONGEST_TEXT, failure, shortened
from cmbench.execution.provenance import provenance
from cmbench.limits import Limits, duration_text, size_text
from cmbench.methods.parameters import defaults_of
from cmbench.plan import Cell
from cmbench.schema import LEFT_OUT, RANDOM_STATE, SCHEMA, VALIDATION

if TYPE_CHECKING:
    from cmbench.datasets.contract import Dataset
    from cmbench.evaluation.evaluator import Evaluation
    from cmbench.methods.training.progress import Look


MOST_FITTED = 1_000
"""Fitted values that a record keeps, the first by name."""
DEEPEST_SPLIT = 20
MOST_WARNINGS, LONGEST_WARNING = 10, 500


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a cell ended: ``child`` is what its process left, ``error`` the reason if there is no result.

    ``looks`` are those at validation, where a rule looked at them too; ``representations`` are those that
    wait for evaluation, in the order in which items were handed out.
    """

    status: str
    ended: Ended
    child: Mapping[str, Any]
    error: Mapping[str, Any] | None = None
    evaluation: Evaluation | None = None
    evaluate_seconds: float | None = None
    training_curves: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    representations: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    looks: Sequence[Look] | None = None


@dataclass(frozen=True)
class Worker:
    """The machine that a cell ran on, where it is not that of the run, and its provenance."""

    host: str
    address: str
    provenance: Mapping[str, Any]


def cell_record(
    cell: Cell, outcome: Outcome, *, limits: Limits, log: str, worker: Worker | None = None
) -> dict[str, Any]:
    """Return the record of a finished cell, as plain JSON values; ``worker`` is None for this machine."""
    child, evaluation = outcome.child, outcome.evaluation
    peak = max(outcome.ended.peak_memory_bytes, child.get("peak_memory_bytes", 0))
    used = outcome.ended.processor_seconds
    durations = {
        **({} if used is None else {"processor": used}),
        **child.get("durations", {}),
        "evaluate": outcome.evaluate_seconds,
        "total": outcome.ended.seconds + (outcome.evaluate_seconds or 0.0),
    }
    for name, seconds in _of_earlier_processes(child.get("fitted", {})):
        durations[name] += seconds
    return {
        "schema": SCHEMA,
        "key": cell.key,
        "status": outcome.status,
        "dataset": _dataset(cell),
        "method": _method(cell),
        "configuration": _configuration(cell, limits),
        "seed": cell.seed,
        "protocol": cell.protocol.as_dict(),
        **_results(cell, evaluation),
        "fitted": _capped_values(child.get("fitted", {})),
        "transductive": child.get("transductive", False),
        **_conduct(outcome),
        **_looks(outcome),
        "durations": durations,
        "peak_memory_bytes": peak,
        "weights": child.get("weights"),
        "threads": limits.threads,
        "fence": dict(outcome.ended.fence),
        "limits": {"deadline": limits.deadline, "memory": limits.memory},
        "error": None if outcome.error is None else _capped_values(outcome.error),
        "log": log,
        "provenance": {
            **_machine(worker),
            "accelerator": child.get("accelerator"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }


def _configuration(cell: Cell, limits: Limits) -> dict[str, Any]:
    """Return what a run has to be told to give this cell again; see ``cmbench.command``."""
    file, _, _ = cell.entry.location.rpartition(":")
    return {
        "dataset": cell.given,
        "split": cell.dataset.card.split_seed or 0,
        "method": cell.method.name,
        "code_version": cell.code_version,
        "plugin": file if cell.entry.origin == "file" else None,
        "parameters": {name: cell.parameters[name] for name in _defaults(cell)},
        "seed": cell.seed,
        "protocol": cell.protocol.name,
        "measures": list(cell.measures),
        "profile": None if cell.tuning is None else dict(cell.tuning),
        "threads": limits.threads,
    }


def _looks(outcome: Outcome) -> dict[str, Any]:
    """Return what a training reported, as (stage, epoch, score), where somebody decided by it."""
    if outcome.looks is None:
        return {}
    return {"looks": [[look.stage, look.epoch, look.score] for look in outcome.looks]}


def stored_arrays(
    cell: Cell, evaluation: Evaluation, training: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[Any]]:
    """Return what stands in the ``.npz``.

    By task AP and other measures per query in test order, precision by rank and by recall, and the beginning
    of each ranking, as rows of the test split or of ``gallery_ids``; the common space as ``component_…``;
    as ``curve_NAME`` the curves of the training; and where test pairs belong together, as ``units`` for each
    the row of the first one that it belongs with.
    """
    arrays: dict[str, NDArray[Any]] = {"labels": cell.dataset.test.labels, "ids": cell.dataset.test.ids}
    arrays |= {**training, **_gallery(cell), **_components(evaluation)}
    if cell.dataset.test_units is not None:
        arrays["units"] = cell.dataset.test_units
    for task in evaluation.protocol.tasks:
        if task in evaluation.first:
            arrays[f"first_{task}"] = _compact(evaluation.first[task])
            arrays[f"query_rows_{task}"] = _compact(evaluation.query_rows[task])
        arrays[f"precision_by_recall_{task}"] = evaluation.precision_by_recall[task].astype(np.float32)
        for measure, per_query in evaluation.measures_per_query.items():
            arrays[f"{measure}_{task}"] = per_query[task]
        arrays[f"ap_{task}"] = evaluation.per_query[task]
        arrays[f"precision_{task}"] = evaluation.curves[task].precision.astype(np.float32)
        arrays[f"recall_{task}"] = evaluation.curves[task].recall.astype(np.float32)
    return arrays


def _gallery(cell: Cell) -> dict[str, NDArray[Any]]:
    """Return what else has to be known to say which items of a ranking are right."""
    found: dict[str, NDArray[Any]] = {}
    if cell.dataset.retrieval is not None:
        found = {"gallery_labels": cell.dataset.retrieval.labels, "gallery_ids": cell.dataset.retrieval.ids}
    if cell.protocol.by_pair:
        found["pictures"] = cell.dataset.test.pictures
    return found


def _components(evaluation: Evaluation) -> dict[str, NDArray[Any]]:
    kept = evaluation.components
    if kept is None:
        return {}
    return {
        "component_rows": _compact(kept.rows),
        "component_values": kept.values.astype(np.float16),  # to be looked at
        "component_share": kept.share.astype(np.float32),
    }


def _compact(rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return numbers of rows in the smallest type that holds them."""
    return rows.astype(np.min_scalar_type(int(rows.max(initial=0))))


_KILLED = -9  # by SIGKILL, which is what a system does that runs out of memory; Windows lacks the name


def failure_of(ended: Ended, limits: Limits, log_tail: str) -> tuple[str, dict[str, Any]]:
    """Return the status and error of a child that left no outcome."""
    status, kind, message = _ending(ended, limits)
    return status, failure(kind, message, traceback=log_tail, exit_status=ended.exit_status)


def _ending(ended: Ended, limits: Limits) -> tuple[str, str, str]:
    """Return the status of a child that left no outcome, and the name and the words of its error."""
    if ended.ending == "timeout":
        message = (
            f"ended after its deadline of {duration_text(limits.deadline or 0)}; a longer one is given with "
            "--deadline"
        )
        return "timeout", "Timeout", message
    if ended.ending == "out-of-memory":
        message = (
            f"ended at {size_text(ended.peak_memory_bytes)}, over its limit of "
            f"{size_text(limits.memory or 0)}; more is given with --memory"
        )
        return "out-of-memory", "OutOfMemory", message
    if ended.exit_status == _KILLED and limits.memory and ended.peak_memory_bytes > limits.memory / 2:
        return "out-of-memory", "OutOfMemory", "killed by the system, most likely because memory ran out"
    return "crashed", "Crash", _exit_text(ended.exit_status)


def card_fields(dataset: Dataset) -> dict[str, Any]:
    """Return what a record says of a dataset that its arrays do not determine."""
    card = dataset.card
    return {
        "name": dataset.name,
        "image_feature": card.image_feature,
        "text_feature": card.text_feature,
        "source": card.source,
        "licence": card.licence,
        "split": split_in(card.recipe),
        "notes": list(card.notes),
    }


def split_in(recipe: str) -> Any:
    """Return what a recipe of features says of the split; None for nothing, or what no record can hold.

    That is NaN, infinity, and what is nested too deeply or longer than ``LONGEST_TEXT``.
    """
    try:
        split = json.loads(recipe)["split"]
        text = json.dumps(split, indent=1, allow_nan=False)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    depth = max(len(line) - len(line.lstrip()) for line in text.splitlines())  # an indent is one space
    return split if len(text) <= LONGEST_TEXT and depth <= DEEPEST_SPLIT else None


def _machine(worker: Worker | None) -> dict[str, Any]:
    """Return the provenance of a cell that ran here, or there; the command is that of the run."""
    here = provenance()
    if worker is None:
        return here
    place = {"host": worker.host, "address": worker.address}
    return {**worker.provenance, "command": here["command"], "worker": place}


def _conduct(outcome: Outcome) -> dict[str, Any]:
    """Return what is said of a method's conduct and of its result only where it is so.

    See ``cmbench.execution.conduct`` and ``cmbench.execution.doubts``.
    """
    warnings = [shortened(text, LONGEST_WARNING) for text in outcome.child.get("warnings", ())]
    if outcome.evaluation is not None:
        told = doubts(outcome.evaluation, outcome.training_curves, outcome.child.get("fitted", {}))
        warnings = [*warnings[:MOST_WARNINGS], *told]
    said = {"warnings": warnings or None, "repeats": outcome.child.get("repeats")}
    return {name: value for name, value in said.items() if value is not None}


def _dataset(cell: Cell) -> dict[str, Any]:
    dataset = cell.dataset
    return {
        **card_fields(dataset),
        "fingerprint": dataset.fingerprint,
        "warnings": _warnings(cell),
        "sizes": {
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "test": len(dataset.test),
            **({} if dataset.retrieval is None else {"retrieval": len(dataset.retrieval)}),
        },
        "image_dimension": int(dataset.train.images.shape[1]),
        "text_dimension": int(dataset.train.texts.shape[1]),
        "class_names": list(dataset.class_names),
        "test_counts": category_counts(dataset.test.labels, len(dataset.class_names)),
        **_peculiarities(dataset),
    }


def _warnings(cell: Cell) -> list[str]:
    """Return what makes numbers on the pairs questionable.

    That the validation pairs are the test pairs is no fault of the trials of a search, which rank them.
    """
    told = cell.dataset.findings_under(by_pair=cell.protocol.by_pair)
    meant = ("val", "test") if base_name(cell.dataset).endswith(VALIDATION) else None
    return [finding.sentence for finding in told if finding.one_split != meant]


def _peculiarities(dataset: Dataset) -> dict[str, Any]:
    """Return what is said of a dataset only where it is so."""
    unseen = dataset.unseen_in(dataset.test)
    card = dataset.card
    said = {
        "split_of": card.split_of
        and {"name": base_name(dataset), "fingerprint": card.split_of, "seed": card.split_seed},
        "multi_label": dataset.is_multi_label,
        "unseen_categories": [dataset.class_names[label] for label in unseen],
    }
    return {name: value for name, value in said.items() if value}


def _method(cell: Cell) -> dict[str, Any]:
    method = cell.method
    return {
        "name": method.name,
        "paper_name": method.paper_name,
        "family": method.family,
        "uses_labels": method.uses_labels,
        **({"reads_test_labels": True} if method.reads_test_labels else {}),
        "citation": method.citation,
        "version": method.version,
        "code_version": cell.code_version,
        "origin": cell.entry.origin,
        "parameters": dict(cell.parameters),
        "practical": list(method.practical),
        "preset": _preset(cell),
        "defaults": _defaults(cell),
        **({} if cell.tuning is None else {"tuning": dict(cell.tuning)}),
        **_source(cell),
    }


def _source(cell: Cell) -> dict[str, str]:
    """Return where the store keeps the code of a plugin; nothing for a built-in method."""
    if cell.entry.origin == "built-in":
        return {}
    return {"source": source_folder(Path(), cell.code_version).as_posix()}


def _preset(cell: Cell) -> str | None:
    """Return the preset by which all parameters that count are as they are, if there is one."""
    parameters, given = dict(cell.parameters), {*_defaults(cell)} - {*cell.method.practical}
    held = (
        name
        for name, preset in cell.method.presets.items()
        if {**parameters, **preset} == parameters and given <= {*preset}
    )
    return next(held, None)


def _defaults(cell: Cell) -> dict[str, Any]:
    """Return the defaults of the parameters that have other values, by name."""
    return {
        name: default
        for name, default in defaults_of(cell.method).items()
        if name != RANDOM_STATE and name in cell.parameters and cell.parameters[name] != default
    }


def _of_earlier_processes(fitted: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield how long, by duration, earlier processes took for what a checkpoint spared the last one."""
    for attribute, names in (
        ("resumed_seconds_", ("fit", "total")),
        ("resumed_processor_seconds_", ("processor",)),
    ):
        seconds = fitted.get(attribute)
        if isinstance(seconds, float) and seconds > 0:
            yield from ((name, seconds) for name in names)


def _category_map(cell: Cell, evaluation: Evaluation) -> dict[str, list[float | None]]:
    classes = range(len(cell.dataset.class_names))
    by_task = evaluation.per_category
    return {task: [by_task[task].get(label) for label in classes] for task in evaluation.protocol.tasks}


def _results(cell: Cell, evaluation: Evaluation | None) -> dict[str, Any]:
    """Return what was measured; None for each of it where a cell gave no result."""
    if evaluation is None:
        names = ("map", "standard_error", "category_map", "chance", "queries", "gallery", "dimension")
        return dict.fromkeys(names)
    return {
        "map": dict(evaluation.map),
        "standard_error": dict(evaluation.standard_error),
        "category_map": _category_map(cell, evaluation),
        **_measures(evaluation),
        "queries": dict(evaluation.queries),
        "gallery": dict(evaluation.gallery),
        "dimension": evaluation.dimension,
    }


def _measures(evaluation: Evaluation) -> dict[str, Any]:
    """Return the measures beside MAP, if some were asked for, and what all of them are at chance."""
    chance = {measure: dict(by_task) for measure, by_task in evaluation.chance.items()}
    if not evaluation.measures:
        return {"chance": chance}
    return {
        "measures": {name: dict(by_task) for name, by_task in evaluation.measures.items()},
        "measure_errors": {name: dict(by_task) for name, by_task in evaluation.measure_errors.items()},
        "chance": chance,
    }


def left_out_record(cell: Cell, *, limits: Limits) -> dict[str, Any]:
    """Return the record of a cell whose method cannot run on its dataset, with the reason as its error."""
    error = failure("LeftOut", cell.left_out)
    ended = Ended("exited", 0, 0.0, 0, {})
    return cell_record(cell, Outcome(LEFT_OUT, ended, {}, error), limits=limits, log="")


def _capped_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with long texts shortened; what goes beyond ``MOST_FITTED`` is counted, not kept."""
    kept = {
        name: shortened(value) if isinstance(value, str) else value
        for name, value in islice(values.items(), MOST_FITTED)
    }
    left_out = len(values) - len(kept)
    return {**kept, "left_out": f"{left_out} more values"} if left_out else kept


def _exit_text(status: int) -> str:
    if status >= 0:
        return f"its process exited with status {status} without leaving a result"
    return f"its process was ended by signal {-status} ({signal.strsignal(-status)})"
