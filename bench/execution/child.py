"""What runs in a cell's child process: fit, transform, and leave the representations in a folder.

Called by ``cmbench.execution.keeper`` in a process of its own. It is told nothing about test labels.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
import warnings
from bdb import BdbQuit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.formats.numpy_files import load_array, load_split
from cmbench.disk import replacing, tells_of_full_disk
from cmbench.errors import MethodError, MethodWarning
from cmbench.execution.breakpoints import REMEDY, refuse_breakpoints
from cmbench.execution.conduct import Transform, check_repetition, check_rows, check_spread
from cmbench.execution.job import (
    CHECKPOINT,
    CURVES,
    DISK_FULL,
    LOOKS,
    MODALITIES,
    OUTCOME,
    PRETRAINED,
    Job,
    handed_out_parts,
)
from cmbench.execution.memory import peak_bytes_of_this_process
from cmbench.execution.outcome import LONGEST_TEXT_LEFT, MOST_COLUMNS, MOST_WARNINGS, described, shortened
from cmbench.execution.weights import weights_of
from cmbench.methods.contract import Unlabelled
from cmbench.methods.registry import new_method
from cmbench.methods.training.progress import reporting_to

if TYPE_CHECKING:
    from cmbench.datasets.draft import Split
    from cmbench.methods.contract import Method

Features: TypeAlias = dict[str, NDArray[Any]]
"""Rows for each test item, by modality."""


def main(folder: Path) -> int:
    """Run the job in ``folder``; the outcome, good or bad, is left in it. Return the exit status."""
    job = Job.read(folder)
    refuse_breakpoints()
    try:
        outcome = {"status": "ok", **work(job, folder)}
    except BaseException as error:  # the process boundary: whatever a method raises becomes a record
        traceback.print_exc()
        peak = peak_bytes_of_this_process()
        outcome = {"status": _failure_status(error), "error": _described(error), "peak_memory_bytes": peak}
    outcome["accelerator"] = accelerator()
    with replacing(folder / OUTCOME, durable=False) as beside:
        beside.write_text(json.dumps(outcome), encoding="utf-8")
    return 0 if outcome["status"] == "ok" else 1


def work(job: Job, folder: Path) -> dict[str, Any]:
    """Fit and transform; return durations in seconds, the fitted values, and how many weights there are."""
    method = new_method(planned_method(job), job.parameters)
    features = {modality: load_array(job.features, f"{modality}_test") for modality in MODALITIES}
    with method_warnings() as told:
        start = time.perf_counter()
        with reporting_to(folder / LOOKS):
            fit(method, job, features)
        fitted = time.perf_counter()
        representations = transform(method, job, features)
        transformed, processor = time.perf_counter(), processor_seconds()
    for modality, rows in representations.items():
        np.save(folder / f"{modality}.npy", rows, allow_pickle=False)
    told += conduct(method, job, features, representations)
    repeats = _repeats_itself(method, job, features, representations, told) if job.twice else None
    curves = {f"curve_{name}": values for name, values in training_curves(method).items()}
    np.savez(folder / CURVES, allow_pickle=False, **curves)
    durations = {
        "fit": fitted - start,
        "transform": transformed - fitted,
        "processor": processor,
    }
    return {
        "durations": durations,
        "fitted": fitted_values(method),
        "warnings": list(dict.fromkeys(told))[:MOST_WARNINGS],
        "transductive": bool(method.wants_unlabelled),
        "weights": weights_of(method),
        "repeats": repeats,
        "peak_memory_bytes": peak_bytes_of_this_process(),  # here, where the features are still mapped
    }


def fit(method: Method, job: Job, features: Features) -> None:
    """Fit a method on the training and validation pairs of a job."""
    train, validation = _learnt_from(job.features)
    learn = method.fit
    if method.wants_unlabelled:  # only then, so that a plugin's ``fit`` need not know of it
        learn = partial(method.fit, unlabelled=Unlabelled(**features))  # type: ignore[call-arg]
    learn(train, validation)


@lru_cache(maxsize=1)
def _learnt_from(features: Path) -> tuple[Split, Split]:
    """Return the training and validation pairs, which stay mapped until the peak of memory is taken."""
    return load_split(features, "train"), load_split(features, "val")


def transform(method: Method, job: Job, features: Features) -> Features:
    """Return the representations of the test items, by modality."""
    return {
        modality: mapping_of(method, modality)(
            rows, handed_out_parts(job.features, modality) if method.uses_parts else None
        )
        for modality, rows in features.items()
    }


def mapping_of(method: Method, modality: str) -> Transform:
    """Return a method's transform as a function of features and parts that gives an array."""
    transform = getattr(method, f"transform_{modality}")
    if method.uses_parts:
        return lambda rows, parts: as_array(transform(rows, parts), modality)
    return lambda rows, _: as_array(transform(rows), modality)


def conduct(method: Method, job: Job, features: Features, representations: Features) -> list[str]:
    """Return warnings of what representations give away of their method; raise for what makes them void.

    What a method says it cannot keep (``nonconforming``) is a warning in place of an error.
    """
    excused, told = type(method).nonconforming, list[str]()
    for modality, rows in representations.items():
        with excusing("gives_usable_representations" in excused, told):
            check_spread(rows, features[modality], modality)
        if not method.wants_unlabelled:  # which learned from these items, and says so
            parts = handed_out_parts(job.features, modality) if method.uses_parts else None
            mapped = mapping_of(method, modality)
            with excusing("maps_row_by_row" in excused, told):
                told += check_rows(rows, mapped, features[modality], parts, modality)
    return told


def _repeats_itself(
    method: Method, job: Job, features: Features, representations: Features, told: list[str]
) -> bool:
    """Return whether a second fit gives the same; if not, ``told`` gets why, or ``MethodError`` is raised."""
    # Not from what the first fit has left, or it would end where that did
    anew = dict.fromkeys({CHECKPOINT, PRETRAINED} & {*type(method).practical})
    again = new_method(type(method), {**job.parameters, **anew})
    fit(again, job, features)
    before = len(told)
    with excusing("repeats_itself" in type(method).nonconforming, told):
        for modality, rows in transform(again, job, features).items():
            check_repetition(representations[modality], rows, modality, exact=accelerator() is None)
    return len(told) == before


@contextmanager
def excusing(is_excused: bool, told: list[str]) -> Iterator[None]:
    """Make a ``MethodError`` of the block a warning, if it is excused."""
    try:
        yield
    except MethodError as error:
        if not is_excused:
            raise
        told.append(str(error))


@contextmanager
def method_warnings() -> Iterator[list[str]]:
    """Yield a list that gets the message of each ``MethodWarning``; the log gets the warnings as before."""
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", MethodWarning)
        show = warnings.showwarning

        def showing(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
            if issubclass(category, MethodWarning):
                told.append(shortened(str(message), LONGEST_TEXT_LEFT))
            show(message, category, *place, **options)

        warnings.showwarning = showing
        yield told


def planned_method(job: Job) -> type[Method]:
    """Return the method's class; raises ``MethodError`` if its code is no longer what was planned."""
    beside_plugin = [str(job.entry.folder)] if job.entry.origin == "file" else []
    sys.path += [entry for entry in (*job.import_path, *beside_plugin) if entry not in sys.path]
    version = job.entry.code_version()
    if version != job.code_version:
        raise MethodError(
            f"the code of method {job.entry.name!r} changed during the run (from version "
            f"{job.code_version} to {version}); run the same command again"
        )
    return job.entry.load()


def as_array(representations: object, modality: str) -> NDArray[Any]:
    """Return representations as a NumPy array of real numbers, copied from the GPU if they are there."""
    if hasattr(representations, "detach"):
        representations = representations.detach().cpu().numpy()
    if isinstance(representations, np.ma.MaskedArray):
        raise MethodError(
            f"transform_{modality} returned a masked array; fill what is masked (.filled(0), say)"
        )
    array = np.asarray(representations)
    if array.dtype.kind not in "fiu":
        is_object = array.dtype.kind == "O" and array.ndim == 0
        what = f"a {type(representations).__name__}" if is_object else f"{array.dtype} values"
        dense = "; make it dense with .toarray()" if hasattr(representations, "toarray") else ""
        raise MethodError(
            f"transform_{modality} returned {'None' if representations is None else what}; it must return "
            f"an array of real numbers{dense}"
        )
    if array.ndim == 2 and array.shape[1] > MOST_COLUMNS:  # before it is written: it may be a broadcast
        raise MethodError(
            f"transform_{modality} returned {array.shape[1]} columns; at most {MOST_COLUMNS} are evaluated, "
            "so map into a space of fewer"
        )
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def fitted_values(method: object) -> dict[str, Any]:
    """Return the scalars that ``fit`` left in attributes ending in ``_``; None for NaN and infinity."""
    values = {name: value for name, value in vars(method).items() if name.endswith("_") and name[0] != "_"}
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    scalars = {name: value for name, value in plain.items() if isinstance(value, bool | int | float | str)}
    return {name: _as_json(value) for name, value in scalars.items()}


def training_curves(method: object) -> dict[str, NDArray[np.float64]]:
    """Return the curves of training that ``fit`` left, if any; ``MethodError`` if they are not arrays."""
    curves = getattr(method, "curves_", {})
    try:
        arrays = {str(name): np.asarray(values, dtype=np.float64) for name, values in curves.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise MethodError(f"curves_ must be a dictionary of arrays of numbers: {error}") from error
    uneven = {name: values.shape for name, values in arrays.items() if values.ndim != 1}
    if uneven or len({len(values) for values in arrays.values()}) > 1:
        shapes = uneven or {name: values.shape for name, values in arrays.items()}
        raise MethodError(f"curves_ must be arrays (points,) of one length, not {shapes}")
    return arrays


def _as_json(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return shortened(value, LONGEST_TEXT_LEFT) if isinstance(value, str) else value


def processor_seconds() -> float:
    """Return the processor time of this process and of those it started and waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def accelerator() -> dict[str, Any] | None:
    """Return the GPU's name and the peak memory used on it, if torch was loaded and used one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.max_memory_allocated():
        return None
    return {"name": torch.cuda.get_device_name(), "peak_memory_bytes": torch.cuda.max_memory_allocated()}


def _failure_status(error: BaseException) -> str:
    if tells_of_full_disk(error):
        return DISK_FULL
    names = {type(error).__name__, *(base.__name__ for base in type(error).__mro__)}
    return "out-of-memory" if names & {"MemoryError", "OutOfMemoryError"} else "failed"


def _described(error: BaseException) -> dict[str, Any]:
    if isinstance(error, BdbQuit):  # pdb.set_trace(), which reads the end of an empty standard input
        return {**described(error), "message": f"a debugger was started: {REMEDY}"}
    return described(error)
