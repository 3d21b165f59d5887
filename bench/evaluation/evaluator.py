"""From two representation matrices and labels to AP, MAP and other measures: a pure function."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike

from cmbench.errors import EvaluationError
from cmbench.evaluation.arrays import Matrix
from cmbench.evaluation.average_precision import (
    RECALL_STEPS,
    Floats,
    Integers,
    PrecisionRecall,
    Ranks,
    curve_from_hits,
    expected_average_precision,
    hits_per_rank,
    precision_by_recall,
)
from cmbench.evaluation.codes import as_codes
from cmbench.evaluation.components import Components
from cmbench.evaluation.measures import MAP, Measure, chance, expected, get_measures
from cmbench.evaluation.nesting import summed
from cmbench.evaluation.protocol import AVERAGES, PAPER, Protocol, get_protocol
from cmbench.evaluation.ranking import map_ranks
from cmbench.evaluation.tasks import (
    Retrieval,
    Task,
    category_tasks,
    comparable,
    labelled_side,
    labelled_sides,
    own_rows,
    pair_tasks,
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What ``evaluate`` found; every mapping goes by task.

    Parameters
    ----------
    map : MAP of the tasks, and their ``bimodal_average`` and ``allmodal_average``
    standard_error : of the same, as far as it comes from which queries happened to be in the test set
    per_query : AP of each query in the order given, float64 (n_queries,); NaN where the gallery
        has no relevant item, and such queries count in no mean
    per_category : MAP over the queries of each category, by label; a query of several labels counts
        for each of them
    curves : precision-recall curve, by rank
    precision_by_recall : mean precision of each hundredth of recall, float64 (100,), over the queries that
        have a relevant item. Its mean is MAP, if the protocol looks at all ranks.
    first : rows of the gallery most similar to each query, int64 (n_queries, k), from the most similar,
        equals in their order; k as asked for. Rows count images or texts as given, or those of
        ``retrieval``; where the gallery is both, texts follow the images. Empty where none were asked for.
    query_rows : the row of each query among those given, int64 (n_queries,)
    queries, gallery : how many queries were asked, and how many items each was ranked against
    relevant : relevant items of each query in its gallery, int64 (n_queries,)
    protocol : the protocol used
    dimension : columns of the representations
    measures : for each other measure asked for, what ``map`` is for MAP
    measure_errors : for each of them, what ``standard_error`` is for MAP; None where it is no mean
    measures_per_query : for each of them, what ``per_query`` is for AP
    components : the queries in the common space, where somebody asked for them
    """

    map: Mapping[str, float]
    standard_error: Mapping[str, float]
    per_query: Mapping[str, Floats]
    per_category: Mapping[str, Mapping[int, float]]
    curves: Mapping[str, PrecisionRecall]
    precision_by_recall: Mapping[str, Floats]
    first: Mapping[str, Integers]
    query_rows: Mapping[str, Integers]
    queries: Mapping[str, int]
    gallery: Mapping[str, int]
    relevant: Mapping[str, Integers]
    protocol: Protocol
    dimension: int
    measures: Mapping[str, Mapping[str, float]]
    measure_errors: Mapping[str, Mapping[str, float | None]]
    measures_per_query: Mapping[str, Mapping[str, Floats]]
    components: Components | None = None
    _query_in_gallery: bool = True

    @cached_property
    def chance(self) -> dict[str, dict[str, float]]:
        """What each measure, ``map`` first, is expected to be when the galleries are ranked at random.

        A query that is kept in its own gallery stands first there, whatever the method.
        """
        measures = (MAP, *get_measures(self.measures))
        return {measure.name: with_averages(self._chance(measure)) for measure in measures}

    def _chance(self, measure: Measure) -> dict[str, float]:
        first = self.protocol.keep_query and self._query_in_gallery
        return {
            task: chance(
                measure,
                self.relevant[task],
                self.gallery[task],
                self.protocol,
                query_first=first and task.endswith("_all"),
            )
            for task in self.protocol.tasks
        }


def evaluate(
    image_representations: ArrayLike | Matrix,
    text_representations: ArrayLike | Matrix,
    labels: ArrayLike | None = None,
    *,
    text_labels: ArrayLike | None = None,
    protocol: str | Protocol = PAPER,
    measures: Iterable[str | Measure] | None = None,
    pictures: ArrayLike | None = None,
    units: ArrayLike | None = None,
    retrieval: Retrieval | None = None,
    first: int = 0,
) -> Evaluation:
    """Evaluate image→text, text→image, image→all and text→all retrieval.

    Parameters
    ----------
    image_representations : (n_images, k), NumPy array or torch tensor
        Ranked by cosine in float64 if given so, else in float32; on the GPU if there.
    text_representations : (n_texts, k)
    labels : int (n_images,), the category of each image, and of each text when paired; or (n_images, c) of
        0 and 1, where an item has several: relevant is then what shares one. May be left out where
        the pair itself is relevant.
    text_labels : the same for texts that are not paired with images
    protocol : ``paper``, ``release``, ``pairs``, ``zeroshot``, ``hamming``, or a ``Protocol``
    measures : measured beside MAP, such as ``r@10``; by default those of the protocol
    pictures : (n_images,), a name or number for the picture of each pair, the same for pairs that share
        a picture. Looked at where the pair itself is relevant; by default each pair has its own.
    units : (n_images,), the same number for pairs that belong together, such as captions of one picture, of
        which standard errors make one observation; by default each pair is one
    retrieval : the gallery, where it is not the queries themselves
    first : how many of the items most similar to each query to keep

    Raises
    ------
    EvaluationError
        Wrong shapes, NaN or infinity, labels that do not fit, no query with a relevant item.

    Examples
    --------
    >>> images = [[1.0, 0.0], [0.0, 1.0]]
    >>> result = evaluate(images, [[0.9, 0.1], [0.8, 0.2]], [0, 1], measures=["r@1"])
    >>> result.per_query["image_to_text"].tolist()
    [1.0, 1.0]
    >>> result.map["text_to_image"], result.measures["r@1"]["text_to_image"]
    (0.75, 0.5)
    """
    protocol = get_protocol(protocol)
    asked = get_measures(protocol.measures if measures is None else measures)
    if protocol.by_pair:
        tasks = pair_tasks(image_representations, text_representations, labels, pictures, retrieval, protocol)
    else:
        texts_labelled = labels if text_labels is None else text_labels
        queries = labelled_sides(image_representations, text_representations, labels, texts_labelled)
        tasks = category_tasks(queries, retrieval, protocol)
    results = {name: _rank_task(task, asked, protocol, first) for name, task in tasks.items()}
    paired = text_labels is None and not protocol.by_pair
    observed = None if units is None else np.asarray(units)
    errors = partial(standard_errors, paired=paired, units=observed)
    return _evaluation(results, tasks, asked, protocol, errors=errors, own_gallery=retrieval is None)


def _evaluation(
    results: Mapping[str, "_TaskResult"],
    tasks: Mapping[str, Task],
    measures: tuple[Measure, ...],
    protocol: Protocol,
    *,
    errors: Callable[[Mapping[str, Floats]], dict[str, float]],
    own_gallery: bool,
) -> Evaluation:
    per_query = {task: result.values[0] for task, result in results.items()}
    others = {
        measure.name: {task: result.values[at] for task, result in results.items()}
        for at, measure in enumerate(measures, start=1)
    }
    return Evaluation(
        map=summaries(MAP, per_query),
        standard_error=errors(per_query),
        per_query=per_query,
        per_category={task: category_map(per_query[task], tasks[task].categories) for task in tasks},
        curves={task: result.curve for task, result in results.items()},
        precision_by_recall={task: result.precision for task, result in results.items()},
        first={task: result.first for task, result in results.items() if result.first.size},
        query_rows={name: task.asking for name, task in tasks.items()},
        queries={task: len(values) for task, values in per_query.items()},
        gallery={task: len(result.curve.recall) for task, result in results.items()},
        relevant={task: result.relevant for task, result in results.items()},
        protocol=protocol,
        dimension=int(next(iter(tasks.values())).queries.rows.shape[1]),
        measures={measure.name: summaries(measure, others[measure.name]) for measure in measures},
        measure_errors={
            measure.name: errors(values) if measure.is_mean else dict.fromkeys(summaries(measure, values))
            for measure, values in zip(measures, others.values(), strict=True)
        },
        measures_per_query=others,
        _query_in_gallery=own_gallery,
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
    Of the protocol, similarity, cut-off and denominator count; representations are taken as they are.
    Labels are (n,), or (n, c) of 0 and 1, where what shares a label is relevant.

    >>> average_precision([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]], [7], [3, 7, 7]).round(4)
    array([0.5833])
    """
    protocol = get_protocol(protocol)
    queries, gallery = comparable(
        labelled_side("query", query_representations, query_labels),
        labelled_side("gallery", gallery_representations, gallery_labels),
    )
    if protocol.similarity == "hamming":
        queries, gallery = as_codes(queries), as_codes(gallery)
    result = np.full(len(queries.labels), np.nan)

    def reduce(ranks: Ranks) -> Floats:
        return expected_average_precision(ranks, cutoff=protocol.cutoff, denominator=protocol.denominator)

    for rows, values in map_ranks(queries, gallery, reduce, own=own_rows(own, queries, gallery)):
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
    """Return the mean AP over the queries of each category, by label; ``labels`` are (q,) or (q, c)."""
    valid = ~np.isnan(per_query)
    if labels.ndim == 2:
        queries = labels[valid].sum(axis=0)
        sums = labels[valid].T @ per_query[valid]
        return {int(label): float(sums[label] / queries[label]) for label in np.flatnonzero(queries)}
    values, category = np.unique(labels[valid], return_inverse=True)
    means = np.bincount(category, per_query[valid]) / np.bincount(category)
    return dict(zip(values.tolist(), means.tolist(), strict=True))


def summaries(measure: Measure, per_query: Mapping[str, Floats]) -> dict[str, float]:
    """Return the value of each task, and the averages of tasks."""
    return with_averages({task: measure.summary(values) for task, values in per_query.items()})


def with_averages(by_task: Mapping[str, float]) -> dict[str, float]:
    """Return the tasks' MAP with the bi-modal and all-modal averages added."""
    averages = {
        name: float(np.mean([by_task[task] for task in tasks])) for name, tasks in _averages(by_task).items()
    }
    return {**by_task, **averages}


def _averages(by_task: Iterable[str]) -> dict[str, tuple[str, ...]]:
    return {name: tasks for name, tasks in AVERAGES.items() if set(tasks) <= set(by_task)}


def standard_errors(
    per_query: Mapping[str, Floats], *, paired: bool, units: Integers | None = None
) -> dict[str, float]:
    """Return the standard error of each MAP: the sample standard deviation of AP over sqrt(queries).

    ``paired`` says that query i of both tasks of an average is the same pair, whose two APs
    are then taken as one, for they are not independent. Of queries with the same number in ``units`` (n,)
    the deviations from the mean are added before they are squared (the variance of a ratio over clusters: W.
    G. Cochran, Sampling Techniques, 1977, section 9A); tasks with another number of queries have none.
    """
    errors = {task: _standard_error(values, units) for task, values in per_query.items()}
    for name, (first, second) in _averages(per_query).items():
        if paired:
            errors[name] = _standard_error((per_query[first] + per_query[second]) / 2, units)
        else:
            errors[name] = float(np.hypot(errors[first], errors[second]) / 2)
    return errors


def _standard_error(per_query: Floats, units: Integers | None) -> float:
    judged = ~np.isnan(per_query)
    valid = per_query[judged]
    if len(valid) < 2:
        return 0.0
    if units is None or len(units) != len(per_query):
        return float(valid.std(ddof=1) / np.sqrt(len(valid)))
    (sums,) = summed((valid - valid.mean())[None], units[judged])
    if len(sums) < 2:
        return 0.0
    return float(np.sqrt(len(sums) / (len(sums) - 1) * np.square(sums).sum()) / len(valid))


@dataclass(frozen=True, eq=False)
class _TaskResult:
    """``values``: AP and the other measures of each query, float64 (1 + measures, n_queries)."""

    values: Floats
    relevant: Integers
    curve: PrecisionRecall
    precision: Floats
    first: Integers


def _rank_task(task: Task, measures: tuple[Measure, ...], protocol: Protocol, first: int) -> _TaskResult:
    queries, gallery = comparable(task.queries, task.gallery)
    count = len(queries.labels)
    values, relevant = np.full((1 + len(measures), count), np.nan), np.zeros(count, dtype=np.int64)
    ranked = len(gallery.labels) - (task.own is not None)
    hits, precision = np.zeros((2, ranked)), np.zeros(RECALL_STEPS)
    kept = np.zeros((count, min(first, ranked)), dtype=np.int64)

    def reduce(ranks: Ranks) -> tuple[Floats, Integers, Integers | None, Floats, Floats]:
        every = [expected(measure, ranks, protocol) for measure in (MAP, *measures)]
        return np.stack(every), ranks.counts, ranks.first, hits_per_rank(ranks), precision_by_recall(ranks)

    for rows, reduced in map_ranks(queries, gallery, reduce, own=task.own, first=first):
        values[:, rows], relevant[rows], most_similar, chunk_hits, chunk_precision = reduced
        if most_similar is not None:
            kept[rows] = most_similar
        hits += chunk_hits
        precision += chunk_precision
    if task.gallery_rows is not None:
        kept = task.gallery_rows[kept]
    answered = int((relevant > 0).sum())
    curve = curve_from_hits(hits, answered)
    return _TaskResult(values, relevant, curve, precision / max(answered, 1), kept)
