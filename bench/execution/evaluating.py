"""The evaluation of a cell, within the memory that its method had and the time that it has left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.contract import Dataset
from cmbench.errors import CmbenchError
from cmbench.evaluation.components import components
from cmbench.evaluation.evaluator import Evaluation, evaluate
from cmbench.evaluation.ranking import BETWEEN_CHUNKS
from cmbench.evaluation.tasks import Retrieval
from cmbench.execution.job import MODALITIES, HandedOut
from cmbench.limits import duration_text
from cmbench.plan import Cell

FIRST = 20
"""How many items of each ranking are kept with a record."""


def evaluated(
    cell: Cell, features: HandedOut, representations: Mapping[str, NDArray[Any]], seconds: float | None
) -> Evaluation:
    """Return the evaluation of what a child left; raises for whatever is wrong with it, or takes too long.

    ``representations`` are those of images and of texts, in the order in which the items were handed out, and
    ``seconds`` is how long the evaluation may take (None: no limit).
    """
    images, texts = (features.in_order(modality, representations[modality]) for modality in MODALITIES)
    with time_limit(seconds):
        return _evaluation(cell, images, texts)


def _evaluation(cell: Cell, images: NDArray[Any], texts: NDArray[Any]) -> Evaluation:
    """Evaluate the representations of the test split, and after them of the retrieval set if there is one."""
    dataset, test = cell.dataset, cell.dataset.test
    if cell.method.reads_test_labels:
        images = texts = _codes_of_labels(dataset)
    of_test = images[: len(test)], texts[: len(test)]
    gallery = None
    if dataset.retrieval is not None:
        gallery = Retrieval(images[len(test) :], texts[len(test) :], dataset.retrieval.labels)
    evaluation = evaluate(
        *of_test,
        test.labels if dataset.class_names else None,
        protocol=cell.protocol,
        measures=cell.measures,
        pictures=test.pictures if cell.protocol.by_pair else None,
        units=dataset.test_units,
        retrieval=gallery,
        first=FIRST,
    )
    return replace(evaluation, components=components(*of_test))


def _codes_of_labels(dataset: Dataset) -> NDArray[np.float64]:
    """Return the categories of the test items, and of those to retrieve, as vectors of 0 and 1."""
    labels = np.concatenate([split.labels for split in dataset.evaluated])
    return labels.astype(np.float64) if labels.ndim == 2 else np.eye(len(dataset.class_names))[labels]


def status_of(error: Exception) -> str:
    """Return the status of a cell whose evaluation ended in an error."""
    if isinstance(error, MemoryError):
        return "out-of-memory"
    return "timeout" if isinstance(error, TimeLimitError) else "failed"


class TimeLimitError(CmbenchError):
    """An evaluation took longer than its cell was given."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise ``TimeLimitError`` in the block between two chunks of an evaluation, once the time is over."""
    if seconds is None:
        yield
        return
    end = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > end:
            raise TimeLimitError(
                f"the evaluation did not end in the {duration_text(seconds)} that the method had left of the "
                "deadline; give a longer one, or map into a space of fewer dimensions"
            )

    before = BETWEEN_CHUNKS.set(check)
    try:
        yield
    finally:
        BETWEEN_CHUNKS.reset(before)
