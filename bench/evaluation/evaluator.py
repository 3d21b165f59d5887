"""From two representation matrices and labels to AP, MAP and precision-recall: a pure function."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cmbench.errors import EvaluationError
from cmbench.evaluation.arrays import Matrix, arrays_of, is_tensor
from cmbench.evaluation.average_precision import (
    Floats,
    Integers,
    PrecisionRecall,
    Ranks,
    curve_from_hits,
    expected_average_precision,
    hits_per_rank,
)
from cmbench.evaluation.protocol import AVERAGES, PAPER, TASKS, Protocol, get_protocol
from cmbench.evaluation.ranking import Side, map_ranks


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What ``evaluate`` found; every mapping goes by task.

    Parameters
    ----------
    map : MAP of the four tasks, ``bimodal_average`` and ``allmodal_average``
    standard_error : of the same, as far as it comes from which queries happened to be in the test set
    per_query : AP of each query in the order given, float64 (n_queries,); NaN where the gallery
        has no relevant item, and such queries count in no mean
    per_category : MAP over the queries of each category, by label
    curves : precision-recall curve
    queries, gallery : how many queries were asked, and how many items each was ranked against
    protocol : the protocol used
    """

    map: Mapping[str, float]
    standard_error: Mapping[str, float]
    per_query: Mapping[str, Floats]
    per_category: Mapping[str, Mapping[int, float]]
    curves: Mapping[str, PrecisionRecall]
    queries: Mapping[str, int]
    gallery: Mapping[str, int]
    protocol: Protocol


def evaluate(
    image_representations: ArrayLike | Matrix,
    text_representations: ArrayLike | Matrix,
    labels: ArrayLike,
    *,
    text_labels: ArrayLike | None = None,
    protocol: str | Protocol = PAPER,
) -> Evaluation:
    """Evaluate image→text, text→image, image→all and text→all retrieval.

    Parameters
    ----------
    image_representations : (n_images, k), NumPy array or torch tensor
        Ranked by cosine in float64 if given so, else in float32; on the GPU if there.
    text_representations : (n_texts, k)
    labels : int (n_images,), the category of each image, and of each text when paired
    text_labels : int (n_texts,), when texts are not paired with images
    protocol : ``paper``, ``release``, or a ``Protocol``

    Raises
    ------
    EvaluationError
        Wrong shapes, NaN or infinity, labels that do not fit, no query with a relevant item.

    Examples
    --------
    >>> images = [[1.0, 0.0], [0.0, 1.0]]
    >>> result = evaluate(images, [[0.9, 0.1], [0.8, 0.2]], [0, 1])
    >>> result.per_query["image_to_text"].tolist()
    [1.0, 1.0]
    >>> result.map["text_to_image"]
    0.75
    """
    protocol = get_protocol(protocol)
    image_side = _side("image", image_representations, labels)
    text_side = _side("text", text_representations, labels if text_labels is None else text_labels)
    sides = {"image": image_side, "text": text_side}
    results = {task: _evaluate_task(task, sides, protocol) for task in TASKS}
    per_query = {task: result.per_query for task, result in results.items()}
    query_labels = {task: sides[task.split("_to_")[0]].labels for task in TASKS}
    return Evaluation(
        map=with_averages({task: mean_average_precision(values) for task, values in per_query.items()}),
        standard_error=standard_errors(per_query, paired=text_labels is None),
        per_query=per_query,
        per_category={task: category_map(per_query[task], query_labels[task]) for task in TASKS},
        curves={task: result.curve for task, result in results.items()},
        queries={task: len(values) for task, values in per_query.items()},
        gallery={task: len(result.curve.recall) for task, result in results.items()},
        protocol=protocol,
    )


def average_precision(
    query_representations: ArrayLike | Matrix,
    gallery_representations: ArrayLike | Matrix,
    query_labels: ArrayLike,
    gallery_labels: ArrayLike,
    *,
    protocol: str | Protocol = PAPER,
    own: ArrayLike | None = None,
) -> Floats:
    """Return the AP of each query (n_queries,) against any gallery; NaN where nothing is relevant.

    ``own`` (n_queries,) gives the row of the gallery that is the query itself, to leave it out.
    Of the protocol, the cut-off and its denominator count; representations are taken as they are.

    >>> average_precision([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]], [7], [3, 7, 7]).round(4)
    array([0.5833])
    """
    protocol = get_protocol(protocol)
    queries, gallery = _comparable(
        _side("query", query_representations, query_labels),
        _side("gallery", gallery_representations, gallery_labels),
    )
    result = np.full(len(queries.labels), np.nan)

    def reduce(ranks: Ranks) -> Floats:
        return expected_average_precision(ranks, cutoff=protocol.cutoff, denominator=protocol.denominator)

    for rows, values in map_ranks(queries, gallery, reduce, own=_own_rows(own, queries, gallery)):
        result[rows] = values
    return result


def bimodal_map(
    image_representations: ArrayLike | Matrix,
    text_representations: ArrayLike | Matrix,
    labels: ArrayLike,
) -> float:
    """Return the mean of image→text and text→image MAP on pairs: what parameters are chosen by."""
    pair = (image_representations, text_representations)
    tasks = (average_precision(*sides, labels, labels) for sides in (pair, pair[::-1]))
    return float(np.mean([mean_average_precision(task) for task in tasks]))


def mean_average_precision(per_query: Floats) -> float:
    """Return the mean over the queries that have a relevant item."""
    valid = ~np.isnan(per_query)
    if not valid.any():
        raise EvaluationError("no query has a relevant item in the gallery; do the labels fit?")
    return float(per_query[valid].mean())


def category_map(per_query: Floats, labels: Integers) -> dict[int, float]:
    """Return the mean AP over the queries of each category, by label."""
    valid = ~np.isnan(per_query)
    values, category = np.unique(labels[valid], return_inverse=True)
    means = np.bincount(category, per_query[valid]) / np.bincount(category)
    return dict(zip(values.tolist(), means.tolist(), strict=True))


def with_averages(by_task: Mapping[str, float]) -> dict[str, float]:
    """Return the tasks' MAP with the bi-modal and all-modal averages added."""
    averages = {name: float(np.mean([by_task[task] for task in tasks])) for name, tasks in AVERAGES.items()}
    return {**by_task, **averages}


def standard_errors(per_query: Mapping[str, Floats], *, paired: bool) -> dict[str, float]:
    """Return the standard error of each MAP: the sample standard deviation of AP over sqrt(queries).

    ``paired`` says that query i of both tasks of an average is the same pair, whose two APs
    are then taken as one, for they are not independent.
    """
    errors = {task: _standard_error(values) for task, values in per_query.items()}
    for name, (first, second) in AVERAGES.items():
        if paired:
            errors[name] = _standard_error((per_query[first] + per_query[second]) / 2)
        else:
            errors[name] = float(np.hypot(errors[first], errors[second]) / 2)
    return errors


def _standard_error(per_query: Floats) -> float:
    valid = per_query[~np.isnan(per_query)]
    return float(valid.std(ddof=1) / np.sqrt(len(valid))) if len(valid) > 1 else 0.0


@dataclass(frozen=True, eq=False)
class _TaskResult:
    per_query: Floats
    curve: PrecisionRecall


def _evaluate_task(task: str, sides: Mapping[str, Side], protocol: Protocol) -> _TaskResult:
    query_name, gallery_name = task.split("_to_")
    queries = sides[query_name]
    all_modal = gallery_name == "all"
    gallery = _stacked(sides["image"], sides["text"]) if all_modal else sides[gallery_name]
    own = None
    if all_modal and not protocol.keep_query:
        own = np.arange(len(queries.labels)) + (len(sides["image"].labels) if query_name == "text" else 0)
    if protocol.normalisation == "test-zscore":
        queries = _standardised(queries)
        gallery = _stacked(*map(_standardised, sides.values())) if all_modal else gallery
    return _rank_task(queries, gallery, own, protocol)


def _rank_task(queries: Side, gallery: Side, own: Integers | None, protocol: Protocol) -> _TaskResult:
    queries, gallery = _comparable(queries, gallery)
    per_query = np.full(len(queries.labels), np.nan)
    hits = np.zeros((2, len(gallery.labels) - (own is not None)))

    def reduce(ranks: Ranks) -> tuple[Floats, Floats]:
        return expected_average_precision(
            ranks, cutoff=protocol.cutoff, denominator=protocol.denominator
        ), hits_per_rank(ranks)

    for rows, (values, chunk_hits) in map_ranks(queries, gallery, reduce, own=own):
        per_query[rows] = values
        hits += chunk_hits
    return _TaskResult(per_query, curve_from_hits(hits, int((~np.isnan(per_query)).sum())))


def _standardised(side: Side) -> Side:
    """Return the side with zero mean and unit sample standard deviation in each column.

    The statistics are those of the test set itself, as in the authors' released evaluation
    (PKU-ICST-MIPL/CM-GANS_TOMM2019, eval/norm_feature.m). Columns without spread become 0: rounding
    of the mean must not be blown up to a spread of its own.
    """
    arrays = arrays_of(side.rows)
    rows = np.asarray(arrays.numpy(side.rows), dtype=np.float64)
    spread = rows.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(rows.shape[1])
    constant = rows.max(axis=0) == rows.min(axis=0)
    standardised = np.where(constant, 0.0, (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1))
    return Side(arrays.index(standardised.astype(arrays.numpy(side.rows[:0]).dtype)), side.labels)


def _stacked(*sides: Side) -> Side:
    arrays = arrays_of(sides[0].rows)
    return Side(
        arrays.concatenate([side.rows for side in sides]), np.concatenate([side.labels for side in sides])
    )


def _side(name: str, representations: ArrayLike | Matrix, labels: ArrayLike) -> Side:
    rows = _on_cpu_or_gpu(representations)
    checked = np.asarray(labels)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise EvaluationError(
            f"{name} representations have shape {tuple(rows.shape)}; use (n, k) with k >= 1"
        )
    if checked.shape != (rows.shape[0],) or checked.dtype.kind not in "iu":
        raise EvaluationError(
            f"{name} labels are {checked.dtype} of shape {checked.shape}; "
            f"use one integer for each of the {rows.shape[0]} rows"
        )
    _check_finite(name, rows)
    return Side(rows, checked.astype(np.int64))


def _on_cpu_or_gpu(representations: ArrayLike | Matrix) -> Matrix:
    if is_tensor(representations):
        detached = representations.detach()  # type: ignore[union-attr]
        wide = detached if str(detached.dtype) in ("torch.float32", "torch.float64") else detached.float()
        return wide.numpy() if wide.device.type == "cpu" else wide
    return np.asarray(representations)


def _check_finite(name: str, rows: Matrix) -> None:
    arrays = arrays_of(rows)
    finite = np.isfinite(arrays.numpy(arrays.largest(rows)))
    if not finite.all():
        row = int(np.argmin(finite))
        raise EvaluationError(f"{name} representations hold NaN or infinity, first in row {row}")


def _comparable(queries: Side, gallery: Side) -> tuple[Side, Side]:
    """Return the sides in one type, float64 if they differ; raises if they are not of one space."""
    if queries.rows.shape[1] != gallery.rows.shape[1]:
        raise EvaluationError(
            f"representations have {queries.rows.shape[1]} and {gallery.rows.shape[1]} columns; "
            "both modalities must be mapped into one common space"
        )
    if queries.rows.dtype == gallery.rows.dtype:
        return queries, gallery
    both = (Side(arrays_of(side.rows).double(side.rows), side.labels) for side in (queries, gallery))
    return next(both), next(both)


def _own_rows(own: ArrayLike | None, queries: Side, gallery: Side) -> Integers | None:
    if own is None:
        return None
    rows = np.asarray(own, dtype=np.int64)
    if rows.shape != queries.labels.shape or (gallery.labels[rows] != queries.labels).any():
        raise EvaluationError("own must give each query's own row in the gallery, of the same label")
    return rows
