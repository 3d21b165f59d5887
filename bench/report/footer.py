"""The lines under a table that say what its numbers are."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from cmbench.errors import ReportError
from cmbench.evaluation.average_precision import Ranks, expected_average_precision
from cmbench.evaluation.protocol import AVERAGES, TASKS
from cmbench.report.layout import COLUMNS
from cmbench.report.published import PublishedMap
from cmbench.report.records import Group, Setting


def footer(
    group: Group, settings: Sequence[Setting], published: Iterable[PublishedMap], *, notes: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the definition of the numbers, a sentence or more per line, ``notes`` among them; no markup."""
    lines = (
        _protocol(group.protocol),
        _counts(group),
        _chance(group),
        _seeds(settings),
        _transductive(settings),
        _presets(settings),
        *notes,
        *_sources(published),
        f"cmbench {version('cmbench')}; dataset fingerprint {group.dataset['fingerprint']}.",
    )
    return tuple(line for line in lines if line)


def chance_map(counts: Sequence[int], protocol: Mapping[str, Any]) -> tuple[float, float]:
    """Return the expected (bi-modal, all-modal) MAP when the gallery is ranked at random.

    ``counts`` holds the number of test pairs of each category. A random ranking is one in which all items
    are tied. A query that is kept in the all-modal gallery stands first in its own ranking, whatever the
    method, so there only the items after it are tied.

    >>> protocol = {"cutoff": None, "denominator": "relevant", "keep_query": True}
    >>> bimodal, allmodal = chance_map([5] * 20, protocol)
    >>> round(bimodal, 3), round(allmodal, 3)
    (0.09, 0.179)
    """
    pairs, kept = sum(counts), bool(protocol["keep_query"])
    left_out = 0 if kept else 1
    bimodal = allmodal = 0.0
    for count in filter(None, counts):
        weight = count / pairs
        bimodal += weight * _chance_ap(count, pairs, False, protocol)
        allmodal += weight * _chance_ap(2 * count - left_out, 2 * pairs - left_out, kept, protocol)
    return bimodal, allmodal


_DENOMINATORS = {
    "relevant": "AP divides by all relevant items of the gallery",
    "min": "AP divides by the relevant items of the gallery or the cut-off, whichever is smaller",
    "retrieved": "AP divides by the relevant items within the cut-off",
}
_NORMALISATIONS = {
    "none": "representations as they are",
    "test-zscore": "each dimension standardised over the test set, the query side in bi-modal tasks "
    "and both sides in all-modal tasks",
}
_QUERIES = {
    True: "the query stays in the all-modal gallery as a relevant item",
    False: "the query is left out of the all-modal gallery",
}
_TIES = {"expectation": "ties by expectation over all their orders"}


def _protocol(protocol: Mapping[str, Any]) -> str:
    cutoff = protocol["cutoff"]
    parts = (
        f"{protocol['similarity']} similarity",
        "full ranking (no cut-off)" if cutoff is None else f"cut-off at rank {cutoff} (MAP@{cutoff})",
        _worded(_DENOMINATORS, protocol["denominator"]),
        _QUERIES[protocol["keep_query"]],
        _worded(_NORMALISATIONS, protocol["normalisation"]),
        _worded(_TIES, protocol["ties"]),
    )
    return f"MAP under protocol {protocol['name']}, version {protocol['version']}: {'; '.join(parts)}."


def _worded(words: Mapping[str, str], value: str) -> str:
    return words.get(value, value)


def _counts(group: Group) -> str:
    """Return the number of queries and gallery items; all records of a group must agree on them."""
    for field in ("queries", "gallery"):
        if any(record[field] != group.finished[0][field] for record in group.finished):
            raise ReportError(
                f"records of {group.title} disagree on the {field} per task, although dataset and protocol "
                "are the same; one of them is damaged"
            )
    if not group.finished:
        return ""
    queries, gallery = group.finished[0]["queries"], group.finished[0]["gallery"]
    return f"Queries: {_per_task(queries)}. Gallery items: {_per_task(gallery)}."


def _per_task(numbers: Mapping[str, int]) -> str:
    """Return one number for all tasks where it is one, else one per kind, else one per task."""
    kinds = [{numbers[task] for task in tasks} for tasks in AVERAGES.values()]
    if len(set.union(*kinds)) == 1:
        return f"{numbers[TASKS[0]]} per task"
    if all(len(kind) == 1 for kind in kinds):
        return f"{kinds[0].pop()} bi-modal, {kinds[1].pop()} all-modal"
    headings = {column.key: column.alone for column in COLUMNS}
    return ", ".join(f"{numbers[task]} {headings[task]}" for task in TASKS)


def _chance(group: Group) -> str:
    counts = group.dataset.get("test_counts")
    if not counts:
        return ""
    bimodal, allmodal = chance_map(counts, group.protocol)
    return f"Chance (expected MAP of a random ranking): {bimodal:.3f} bi-modal, {allmodal:.3f} all-modal."


def _chance_ap(relevant: int, gallery: int, first: bool, protocol: Mapping[str, Any]) -> float:
    """Return E[AP]; ``first``: one relevant item surely stands at rank 1."""
    above = np.full(relevant, int(first), dtype=np.int64)
    tied = gallery - above
    if first:
        above[-1], tied[-1] = 0, 1
    ranks = Ranks(above, tied, np.array([relevant], dtype=np.int64), gallery)
    (precision,) = expected_average_precision(
        ranks, cutoff=protocol["cutoff"], denominator=protocol["denominator"]
    )
    return float(precision)


def _seeds(settings: Sequence[Setting]) -> str:
    """Return over how many seeds the rows average, rows that share a number together."""
    labels: dict[int, list[str]] = {}
    for setting in settings:
        if setting.is_random and setting.finished:
            labels.setdefault(len(setting.finished), []).append(setting.label)
    if settings and settings[0].spread == "queries":
        return _queries_spread(labels)
    if not labels:
        return ""
    spread = "mean ± sample standard deviation" if max(labels) > 1 else "no spread"
    if len(labels) == 1:
        return f"Seeds: {max(labels)} ({spread}); methods without randomness run once."
    parts = "; ".join(f"{count} for {', '.join(names)}" for count, names in sorted(labels.items()))
    return f"Seeds ({spread}): {parts}; methods without randomness run once."


def _queries_spread(labels: Mapping[int, Sequence[str]]) -> str:
    seeds = f"; mean over {max(labels)} seed(s) of methods with randomness" if labels else ""
    return f"± standard error over the queries of the test set{seeds}."


def _transductive(settings: Sequence[Setting]) -> str:
    labels = [
        setting.label for setting in settings if any(record.get("transductive") for record in setting.records)
    ]
    if not labels:
        return ""
    return f"Transductive, fitted with the features of the test items at hand: {', '.join(labels)}."


def _presets(settings: Sequence[Setting]) -> str:
    """Return which rows have the parameters of a preset."""
    labels: dict[str, list[str]] = {}
    for setting in settings:
        if preset := setting.method.get("preset"):
            labels.setdefault(preset, []).append(setting.label)
    parts = "; ".join(f"{preset}, {', '.join(names)}" for preset, names in labels.items())
    return f"Parameters of preset {parts}." if parts else ""


def _sources(published: Iterable[PublishedMap]) -> list[str]:
    """Return a line per source and confidence of the published values, with the methods it gives."""
    methods: dict[tuple[str, str, str], list[str]] = {}
    for value in published:
        methods.setdefault((value.table, value.source, value.confidence), []).append(value.method)
    return [
        f"Published values, Table {table} of arXiv 1710.05106 ({', '.join(dict.fromkeys(names))}): "
        f"source {source}; confidence {confidence}."
        for (table, source, confidence), names in methods.items()
    ]
