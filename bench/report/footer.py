"""The lines under a table that say what its numbers are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from cmbench.errors import ReportError, either, listed
from cmbench.evaluation.measures import MAP, Measure, chance
from cmbench.evaluation.protocol import (
    ALLMODAL_AVERAGE,
    AVERAGES,
    BIMODAL_AVERAGE,
    BIMODAL_TASKS,
    TASKS,
    Protocol,
    task_text,
)
from cmbench.records import is_by_pair, split_of
from cmbench.report.layout import COLUMNS
from cmbench.report.published import PublishedMap
from cmbench.report.records import Group
from cmbench.report.searches import tuning_note
from cmbench.report.settings import Setting

MOST_NAMED = 5  # categories in a line


def footer(
    group: Group,
    settings: Sequence[Setting],
    published: Iterable[PublishedMap],
    *,
    notes: Iterable[str] = (),
    measures: Iterable[Measure] = (MAP,),
) -> tuple[str, ...]:
    """Return the definition of the numbers, a sentence or more per line, ``notes`` among them; no markup."""
    shown = tuple(dict.fromkeys(measures))
    lines = (
        _protocol(group),
        _definitions(shown, group.protocol),
        _unseen(group.dataset),
        _counts(group),
        _chance(group, shown),
        _left_out(settings),
        _seeds(settings),
        _splits(settings),
        _transductive(settings),
        _presets(settings),
        tuning_note(settings),
        *_questionable(group),
        *notes,
        *_sources(published),
        f"cmbench {version('cmbench')}; dataset fingerprint {group.dataset['fingerprint']}.",
    )
    return tuple(line for line in lines if line)


def brief(group: Group, settings: Sequence[Setting], *, measures: Iterable[Measure] = (MAP,)) -> list[str]:
    """Return the lines of the footer that a reader of the numbers should know at once."""
    lines = (
        _chance(group, tuple(dict.fromkeys(measures))),
        _left_out(settings),
        _seeds(settings),
        _splits(settings),
        _transductive(settings),
        tuning_note(settings),
        *_questionable(group, ("warnings",)),
    )
    return [line for line in lines if line]


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
    rules = Protocol("", cutoff=protocol["cutoff"], denominator=protocol["denominator"])
    pairs, kept = sum(counts), bool(protocol["keep_query"])
    relevant, left_out = np.repeat(counts, counts), 0 if kept else 1
    return (
        chance(MAP, relevant, pairs, rules),
        chance(MAP, 2 * relevant - left_out, 2 * pairs - left_out, rules, query_first=kept),
    )


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
_SIMILARITIES = {
    "cosine": "cosine similarity",
    "hamming": "Hamming distance of codes, in which a bit is 1 where a representation is above 0",
}


def _protocol(group: Group) -> str:
    protocol = group.protocol
    cutoff = protocol["cutoff"]
    parts = (
        _SIMILARITIES.get(protocol["similarity"], f"{protocol['similarity']} similarity"),
        _relevance(group),
        "full ranking (no cut-off)" if cutoff is None else f"cut-off at rank {cutoff} (MAP@{cutoff})",
        _worded(_DENOMINATORS, protocol["denominator"]),
        _gallery(group),
        _worded(_NORMALISATIONS, protocol["normalisation"]),
        _worded(_TIES, protocol["ties"]),
    )
    text = "; ".join(part for part in parts if part)
    numbers = "Numbers" if is_by_pair(protocol) else "MAP"
    return f"{numbers} under protocol {protocol['name']}, version {protocol['version']}: {text}."


def _relevance(group: Group) -> str:
    """Return what is relevant, where it is not simply an item of the same category."""
    if is_by_pair(group.protocol):
        return "relevant is the pair itself, a picture and its own texts, with each distinct picture once"
    return "relevant is what shares a category" if group.dataset.get("multi_label") else ""


def _gallery(group: Group) -> str:
    if is_by_pair(group.protocol):
        return ""
    if _has_retrieval_set(group):
        return "the gallery is a retrieval set, in which no query stands"
    return _QUERIES[group.protocol["keep_query"]]


def _definitions(measures: Sequence[Measure], protocol: Mapping[str, Any]) -> str:
    """Return what the numbers other than MAP are."""
    rules = Protocol(protocol["name"], relevance=protocol.get("relevance", "category"))
    texts = [measure.definition(rules) for measure in measures if measure != MAP]
    return f"{'; '.join(texts)}." if texts else ""


def _unseen(dataset: Mapping[str, Any]) -> str:
    names = dataset.get("unseen_categories")
    if not names:
        return ""
    return f"Zero-shot: no training pair is of the test categories {listed(names, MOST_NAMED)}."


def _left_out(settings: Sequence[Setting]) -> str:
    """Return which methods cannot run on the dataset, and why."""
    labels: dict[str, list[str]] = {}
    for setting in settings:
        if setting.left_out:
            labels.setdefault(setting.left_out, []).append(setting.label)
    parts = (f"{', '.join(dict.fromkeys(names))} ({reason})" for reason, names in labels.items())
    return f"Left out: {'; '.join(parts)}." if labels else ""


def _worded(words: Mapping[str, str], value: str) -> str:
    return words.get(value, value)


def _counts(group: Group) -> str:
    """Return the number of queries and gallery items; all records of a split must agree on them."""
    first = {split_of(record): record for record in reversed(group.finished)}
    for field in ("queries", "gallery"):
        for record in group.finished:
            if record[field] != (other := first[split_of(record)])[field]:
                raise ReportError(
                    f"records {other['key']} ({other['method']['name']}) and {record['key']} "
                    f"({record['method']['name']}) of {group.title} disagree on the {field} per task, "
                    "although dataset and protocol are the same; one of them is damaged: delete its "
                    "file, or run its cell again with --force"
                )
    if not group.finished:
        return ""
    by_split = [first[split] for split in sorted(first)]
    queries, gallery = (
        either(dict.fromkeys(_per_task(record[field]) for record in by_split))
        for field in ("queries", "gallery")
    )
    return f"Queries: {queries}. Gallery items: {gallery}."


def _per_task(numbers: Mapping[str, int]) -> str:
    """Return one number for all tasks where it is one, else one per kind, else one per task."""
    if set(numbers) < set(TASKS):
        return ", ".join(f"{numbers[task]} {task_text(task)}" for task in TASKS if task in numbers)
    kinds = [{numbers[task] for task in tasks} for tasks in AVERAGES.values()]
    if len(set.union(*kinds)) == 1:
        return f"{numbers[TASKS[0]]} per task"
    if all(len(kind) == 1 for kind in kinds):
        return f"{kinds[0].pop()} bi-modal, {kinds[1].pop()} all-modal"
    headings = {column.key: column.alone for column in COLUMNS}
    return ", ".join(f"{numbers[task]} {headings[task]}" for task in TASKS)


def _has_retrieval_set(group: Group) -> bool:
    return "retrieval" in group.dataset["sizes"]


def _chance(group: Group, measures: Sequence[Measure]) -> str:
    """Return what a random ranking is expected to have; earlier records hold the sizes of categories only."""
    known, by_pair = chance_of(group), is_by_pair(group.protocol)
    if not known:
        return ""
    kept = bool(group.protocol["keep_query"]) and not _has_retrieval_set(group)
    values = {
        measure: _chance_of(measure, _by_task_of(measure, group, known), by_pair=by_pair, kept=kept)
        for measure in measures
    }
    if list(measures) == [MAP]:
        return f"Chance (expected MAP of a random ranking): {values[MAP]}."
    parts = (f"{measure.heading} {text}" for measure, text in values.items() if text)
    return f"Chance (a random ranking): {'; '.join(parts)}."


def chance_of(group: Group) -> Mapping[str, Mapping[str, float]]:
    """Return what a random ranking is expected to have, by measure and task; empty where it is not known."""
    known = next((record["chance"] for record in group.finished if record.get("chance")), None)
    if known is not None:
        return dict(known)
    counts = group.dataset.get("test_counts")
    is_other = is_by_pair(group.protocol) or _has_retrieval_set(group)
    if not counts or is_other or group.dataset.get("multi_label"):
        return {}
    bimodal, allmodal = chance_map(counts, group.protocol)
    return {MAP.name: {BIMODAL_AVERAGE: bimodal, ALLMODAL_AVERAGE: allmodal}}


def _by_task_of(
    measure: Measure, group: Group, known: Mapping[str, Mapping[str, float]]
) -> Mapping[str, float]:
    """Return the chance of a measure from whichever record holds it."""
    held = (record["chance"] for record in group.finished if record.get("chance"))
    return next((chances[measure.name] for chances in (known, *held) if measure.name in chances), {})


def _chance_of(measure: Measure, by_task: Mapping[str, float], *, by_pair: bool, kept: bool) -> str:
    first = " (the query itself first)" if kept else ""
    words = {BIMODAL_AVERAGE: "bi-modal", ALLMODAL_AVERAGE: f"all-modal{first}"}
    if by_pair:
        words = {task: task_text(task) for task in BIMODAL_TASKS}
    elif measure != MAP:
        words.pop(ALLMODAL_AVERAGE)
    decimals = 1 if measure.lower_is_better else 3
    return ", ".join(f"{by_task[key]:.{decimals}f} {word}" for key, word in words.items() if key in by_task)


def _seeds(settings: Sequence[Setting]) -> str:
    """Return over how many seeds the rows average, rows that share a number together."""
    labels: dict[int, list[str]] = {}
    for setting in settings:
        if setting.is_random and setting.finished:
            labels.setdefault(setting.seeds, []).append(setting.label)
    if settings and settings[0].spread == "queries":
        return _queries_spread(labels)
    if not labels:
        return ""
    has_spread = any(len(setting.finished) > 1 for setting in settings)
    spread = "mean ± sample standard deviation" if has_spread else "no spread"
    once = "once on each split" if any(len(setting.splits) > 1 for setting in settings) else "once"
    if len(labels) == 1:
        return f"Seeds: {max(labels)} ({spread}); methods without randomness run {once}."
    return f"Seeds ({spread}): {_counts_of_seeds(labels)}; methods without randomness run {once}."


def _counts_of_seeds(labels: Mapping[int, Sequence[str]]) -> str:
    return "; ".join(f"{count} for {', '.join(names)}" for count, names in sorted(labels.items()))


def _splits(settings: Sequence[Setting]) -> str:
    """Return over which splits of the dataset's pairs the rows average, where there are several."""
    labels: dict[tuple[int, ...], list[str]] = {}
    for setting in settings:
        if setting.finished:
            labels.setdefault(setting.splits, []).append(setting.label)
    if set(labels) <= {(0,)}:
        return ""
    by_query = settings[0].spread == "queries"
    what = "mean over them" if by_query else "mean ± sample standard deviation over seeds and splits"
    start = f"Splits (all pairs divided anew, by category; {what})"
    if len(labels) == 1:
        return f"{start}: {_named_splits(next(iter(labels)))}."
    parts = "; ".join(f"{_named_splits(splits)} for {', '.join(names)}" for splits, names in labels.items())
    return f"{start}, unequal: {parts}. Rows are tested against one another on the splits that all have."


def _named_splits(splits: Sequence[int]) -> str:
    drawn = ", ".join(str(split) for split in splits if split)
    own = "the dataset's own" if 0 in splits else ""
    seeds = f"{'seeds' if len(splits) > 2 else 'seed'} {drawn}" if drawn else ""
    return " and ".join(part for part in (own, seeds) if part)


def _queries_spread(labels: Mapping[int, Sequence[str]]) -> str:
    seeds = f"; mean over {max(labels)} seed(s) of methods with randomness" if labels else ""
    if len(labels) > 1:
        seeds = f"; mean over seeds: {_counts_of_seeds(labels)}"
    return f"± standard error over the queries of the test set{seeds}."


def _questionable(group: Group, kinds: Sequence[str] = ("notes", "warnings")) -> Iterator[str]:
    """Yield what was done to the files of the dataset, and what makes numbers on it questionable."""
    words = {"notes": "Dataset", "warnings": "Warning"}
    for kind in kinds:
        sentences = (sentence for record in group.records for sentence in record["dataset"].get(kind, ()))
        for sentence in dict.fromkeys(sentences):
            yield f"{words[kind]}: {sentence}."


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
