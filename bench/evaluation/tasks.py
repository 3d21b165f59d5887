"""The tasks of an evaluation: who asks, what is ranked, and the checks of what was given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmbench.errors import EvaluationError
from cmbench.evaluation.arrays import Matrix, arrays_of, is_tensor
from cmbench.evaluation.average_precision import Integers
from cmbench.evaluation.codes import as_codes
from cmbench.evaluation.protocol import Protocol
from cmbench.evaluation.ranking import Side


@dataclass(frozen=True, eq=False)
class Retrieval:
    """A gallery other than the queries: representations (n, k) of both modalities, paired, and labels."""

    images: ArrayLike | Matrix
    texts: ArrayLike | Matrix
    labels: ArrayLike


@dataclass(frozen=True, eq=False)
class Task:
    """Queries and gallery of a task; ``own`` is each query's row in the gallery, to be left out.

    ``categories`` are those of the queries, (n,) or (n, c). Where queries or gallery are a part of what was
    given, ``query_rows`` and ``gallery_rows`` say which rows.
    """

    queries: Side
    gallery: Side
    own: Integers | None
    categories: Integers
    query_rows: Integers | None = None
    gallery_rows: Integers | None = None

    @property
    def asking(self) -> Integers:
        """The row of each query among those given (n,)."""
        return np.arange(len(self.queries.labels)) if self.query_rows is None else self.query_rows


def category_tasks(
    queries: Mapping[str, Side], retrieval: Retrieval | None, protocol: Protocol
) -> dict[str, Task]:
    """Return the tasks in which items of one category, or with a common label, are relevant."""
    gallery = queries
    if retrieval is not None:
        gallery = labelled_sides(retrieval.images, retrieval.texts, retrieval.labels, retrieval.labels)
    prepared = _prepared(protocol)
    bimodal_gallery = gallery if protocol.normalisation == "test-zscore" else _each(prepared, gallery)
    queries, stacked = _each(prepared, queries), _stacked(*_each(prepared, gallery).values())
    own: dict[str, Integers] = {}
    if retrieval is None and not protocol.keep_query:
        rows = {name: np.arange(len(side.labels)) for name, side in queries.items()}
        own = {"image": rows["image"], "text": rows["text"] + len(rows["image"])}
    tasks = {}
    for name in protocol.tasks:
        asking, _, asked = name.partition("_to_")
        side = queries[asking]
        if asked == "all":
            tasks[name] = Task(side, stacked, own.get(asking), side.labels)
        else:
            tasks[name] = Task(side, bimodal_gallery[asked], None, side.labels)
    return tasks


def _each(prepared: Callable[[Side], Side], sides: Mapping[str, Side]) -> dict[str, Side]:
    return {name: prepared(side) for name, side in sides.items()}


def _prepared(protocol: Protocol) -> Callable[[Side], Side]:
    """Return what the protocol does with representations before they are compared."""
    if protocol.similarity == "hamming":
        return as_codes
    return _standardised if protocol.normalisation == "test-zscore" else (lambda side: side)


def pair_tasks(
    images: ArrayLike | Matrix,
    texts: ArrayLike | Matrix,
    labels: ArrayLike | None,
    pictures: ArrayLike | None,
    retrieval: Retrieval | None,
    protocol: Protocol,
) -> dict[str, Task]:
    """Return the tasks in which a picture and its own texts are relevant, each distinct picture once."""
    if retrieval is not None:
        raise EvaluationError("a pair is its own query and gallery; leave the retrieval set out")
    count = len(_on_cpu_or_gpu(texts))
    first, picture = distinct_pictures(pictures, count)
    sides = _each(_prepared(protocol), labelled_sides(images, texts, picture, picture))
    categories = picture if labels is None else _checked_labels("pair", labels, count)
    rows = arrays_of(sides["image"].rows).index(first)
    distinct = replace(sides["image"], rows=sides["image"].rows[rows], labels=picture[first])
    return {
        "image_to_text": Task(distinct, sides["text"], None, categories[first], query_rows=first),
        "text_to_image": Task(sides["text"], distinct, None, categories, gallery_rows=first),
    }


def distinct_pictures(pictures: ArrayLike | None, count: int) -> tuple[Integers, Integers]:
    """Return where each distinct picture first stands, in that order, and the picture of each row."""
    if pictures is None:
        return np.arange(count), np.arange(count)
    names = np.asarray(pictures)
    if names.shape != (count,):
        raise EvaluationError(f"pictures have shape {names.shape}; give one for each of the {count} pairs")
    _, first, picture = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[picture]


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
    return replace(side, rows=arrays.index(standardised.astype(arrays.numpy(side.rows[:0]).dtype)))


def _stacked(*sides: Side) -> Side:
    arrays = arrays_of(sides[0].rows)
    rows, labels = ([getattr(side, name) for side in sides] for name in ("rows", "labels"))
    return replace(sides[0], rows=arrays.concatenate(rows), labels=np.concatenate(labels))


def labelled_sides(
    images: ArrayLike | Matrix,
    texts: ArrayLike | Matrix,
    image_labels: ArrayLike | None,
    text_labels: ArrayLike | None,
) -> dict[str, Side]:
    """Return both modalities, checked; raise ``EvaluationError`` for what does not fit."""
    if image_labels is None or text_labels is None:
        raise EvaluationError(
            "there are no labels; give the category of each item, or evaluate under the protocol "
            "'pairs', where a picture and its own texts are relevant"
        )
    sides = {
        "image": labelled_side("image", images, image_labels),
        "text": labelled_side("text", texts, text_labels),
    }
    _check_one_space(*sides.values())
    if sides["image"].labels.shape[1:] != sides["text"].labels.shape[1:]:
        raise EvaluationError("images and texts have labels of two kinds; give both (n,) or both (n, c)")
    return sides


def labelled_side(name: str, representations: ArrayLike | Matrix, labels: ArrayLike) -> Side:
    """Return representations with their labels, checked; errors call them by ``name``."""
    rows = _on_cpu_or_gpu(representations)
    if rows.ndim != 2 or 0 in rows.shape:
        raise EvaluationError(
            f"{name} representations have shape {tuple(rows.shape)}; use (n, k) with n >= 1 and k >= 1"
        )
    checked = _checked_labels(name, labels, rows.shape[0])
    _check_finite(name, rows)
    return Side(rows, checked)


def _checked_labels(name: str, labels: ArrayLike, count: int) -> Integers:
    """Return labels as int64, (n,) or (n, c) of 0 and 1; raise ``EvaluationError`` for anything else."""
    found: NDArray[np.generic] = np.asarray(labels)
    if found.ndim not in (1, 2) or len(found) != count or found.dtype.kind not in "iub":
        raise EvaluationError(
            f"{name} labels are {found.dtype} of shape {found.shape}; "
            f"use one integer for each of the {count} rows, or a row of 0 and 1 for each where items have "
            "several labels"
        )
    checked = found.astype(np.int64)
    if found.ndim == 2:
        if not ((checked == 0) | (checked == 1)).all():
            raise EvaluationError(f"{name} labels of shape {found.shape} hold more than 0 and 1")
        if not found.shape[1]:
            raise EvaluationError(
                f"{name} items have no labels; evaluate them under the protocol 'pairs', where a picture "
                "and its own texts are relevant"
            )
    return checked


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


def comparable(queries: Side, gallery: Side) -> tuple[Side, Side]:
    """Return the sides in one type, float64 if they differ; raises if they are not of one space."""
    _check_one_space(queries, gallery)
    if queries.labels.shape[1:] != gallery.labels.shape[1:]:
        raise EvaluationError(
            f"labels of shape {queries.labels.shape} and {gallery.labels.shape} cannot be compared; give "
            "queries and gallery labels of one kind"
        )
    if queries.rows.dtype == gallery.rows.dtype:
        return queries, gallery
    both = (replace(side, rows=arrays_of(side.rows).double(side.rows)) for side in (queries, gallery))
    return next(both), next(both)


def _check_one_space(one: Side, other: Side) -> None:
    if one.rows.shape[1] != other.rows.shape[1]:
        raise EvaluationError(
            f"representations have {one.rows.shape[1]} and {other.rows.shape[1]} columns; "
            "both modalities must be mapped into one common space"
        )


def own_rows(own: ArrayLike | None, queries: Side, gallery: Side) -> Integers | None:
    """Return each query's own row in the gallery, checked against the labels."""
    if own is None:
        return None
    rows = np.asarray(own, dtype=np.int64)
    if rows.shape != queries.labels.shape[:1] or (gallery.labels[rows] != queries.labels).any():
        raise EvaluationError("own must give each query's own row in the gallery, of the same label")
    return rows
