"""What methods retrieve for single queries: how their rankings begin, and which queries to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import ReportError, did_you_mean
from cmbench.records import Record
from cmbench.report.kept import Kept
from cmbench.report.layout import COLUMNS
from cmbench.report.records import refuse_nothing

Modality: TypeAlias = Literal["image", "text"]
Arrays: TypeAlias = Mapping[str, NDArray[Any]]
HEADINGS = {column.key: column.heading for column in COLUMNS}


@dataclass(frozen=True)
class Item:
    """A picture or a text: the id of its pair, its category (several with commas), whether it is relevant.

    ``is_query`` is said of the query itself, where it stands in its own gallery.
    """

    id: str
    modality: Modality
    category: str
    is_right: bool
    is_query: bool = False


@dataclass(frozen=True)
class Answer:
    """What a method retrieved, the most similar first, and the AP of its whole ranking."""

    label: str
    ap: float
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Example:
    """A query in a task, ``image_to_text`` say, and the answers of methods."""

    task: str
    query: Item
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Ranked:
    """A run of a method, the first of its seeds, with what its record keeps of its rankings."""

    label: str
    record: Record
    arrays: Arrays

    @classmethod
    def of(cls, kept: Kept, tasks: Sequence[str]) -> Ranked:
        """Return the first finished run of a setting; ``ReportError`` where it keeps no such rankings."""
        record = kept.setting.finished[0]
        unknown = [task for task in tasks if task not in record["map"]]
        if unknown:
            raise ReportError(f"protocol {record['protocol']['name']} has no {unknown[0]}; leave it out")
        names = [f"first_{task}" for task in tasks]
        return cls(kept.setting.label, record, kept.arrays(record, *names, called="rankings"))

    def ap(self, task: str) -> NDArray[np.float64]:
        """Return the AP of each query of a task (q,)."""
        return np.asarray(self.arrays[f"ap_{task}"], dtype=np.float64)

    def query_ids(self, task: str) -> list[str]:
        """Return the id of the pair of each query."""
        ids: list[str] = self.arrays["ids"][self.arrays[f"query_rows_{task}"]].tolist()
        return ids

    def query(self, task: str, number: int) -> Item:
        """Return a query."""
        row = int(self.arrays[f"query_rows_{task}"][number])
        modality: Modality = "image" if task.startswith("image") else "text"
        return Item(str(self.arrays["ids"][row]), modality, self._category(self.arrays["labels"], row), True)

    def answer(self, task: str, number: int, top: int) -> Answer:
        """Return the ``top`` items most similar to a query, or as many as are kept."""
        first = self.arrays[f"first_{task}"][number, :top].tolist()
        items = tuple(self._item(task, number, int(place)) for place in first)
        return Answer(self.label, float(self.ap(task)[number]), items)

    @cached_property
    def _gallery_ids(self) -> NDArray[np.str_]:
        return self.arrays.get("gallery_ids", self.arrays["ids"])

    def _item(self, task: str, number: int, place: int) -> Item:
        asking, _, asked = task.partition("_to_")
        rows = len(self._gallery_ids)
        is_text = place >= rows if asked == "all" else asked == "text"
        modality: Modality = "text" if is_text else "image"
        row = place - rows if asked == "all" and is_text else place
        query = int(self.arrays[f"query_rows_{task}"][number])
        own = "gallery_ids" not in self.arrays and row == query and modality == asking
        labels = self.arrays.get("gallery_labels", self.arrays["labels"])
        category = self._category(labels, row)
        return Item(str(self._gallery_ids[row]), modality, category, self._is_right(query, row), own)

    def _is_right(self, query: int, row: int) -> bool:
        if "pictures" in self.arrays:
            return bool(self.arrays["pictures"][query] == self.arrays["pictures"][row])
        asked = self.arrays["labels"][query]
        shown = self.arrays.get("gallery_labels", self.arrays["labels"])[row]
        return bool((asked * shown).any()) if np.ndim(asked) else bool(asked == shown)

    def _category(self, labels: NDArray[Any], row: int) -> str:
        names = self.record["dataset"]["class_names"]
        label = labels[row]
        numbers = np.flatnonzero(label) if np.ndim(label) else [label]
        return ", ".join(names[number] for number in numbers) if names else ""


def examples(
    runs: Sequence[Ranked],
    tasks: Sequence[str],
    *,
    queries: Sequence[str] = (),
    contrast: tuple[str, str] | None = None,
    number: int = 2,
    top: int = 5,
) -> list[Example]:
    """Return examples of each task: the queries named by the ids of their pairs, else such as tell most.

    Parameters
    ----------
    runs : of one dataset and one protocol
    tasks : ``image_to_text`` and the like, in the order wanted
    queries : ids of pairs; the same are shown in every task
    contrast : labels of two runs. Queries are shown for which the first has the AP that exceeds that of
        the second most, each of another category as long as there are any. By default the run of
        the highest MAP against that of the lowest; of a single run, those of its lowest AP.
    number : how many queries of each task, where none is named
    top : how many items of each ranking
    """
    refuse_nothing(runs)
    found = []
    for task in tasks:
        numbers = _named(runs[0], task, queries) if queries else _telling(runs, task, contrast, number)
        for at in numbers:
            answers = tuple(run.answer(task, at, top) for run in runs)
            found.append(Example(task, runs[0].query(task, at), answers))
    return found


def which_queries(
    runs: Sequence[Ranked],
    tasks: Sequence[str],
    *,
    queries: Sequence[str] = (),
    contrast: tuple[str, str] | None = None,
) -> str:
    """Return by what ``examples`` chooses the queries of these runs and tasks, in words."""
    if queries:
        return "Queries: chosen by --queries"
    by_task = {task: _by_contrast(*_contrasted(runs, task, contrast)) for task in tasks}
    if len(set(by_task.values())) == 1:
        return f"Queries: {by_task[tasks[0]]}"
    return f"Queries: {'; '.join(f'{HEADINGS[task]} {words}' for task, words in by_task.items())}"


def _by_contrast(better: Ranked, worse: Ranked) -> str:
    if better is worse:
        return f"of lowest AP by {better.label}"
    return f"where {better.label} is most ahead of {worse.label}"


def _named(run: Ranked, task: str, queries: Sequence[str]) -> list[int]:
    places = {id_: at for at, id_ in enumerate(run.query_ids(task))}
    unknown = [id_ for id_ in queries if id_ not in places]
    if unknown:
        meant = did_you_mean(unknown[0], list(places))
        raise ReportError(
            f"no query {unknown[0]!r} in {task}{meant}; the first are {', '.join([*places][:3])}"
        )
    return [places[id_] for id_ in queries]


def _telling(runs: Sequence[Ranked], task: str, contrast: tuple[str, str] | None, number: int) -> list[int]:
    better, worse = _contrasted(runs, task, contrast)
    lead = -worse.ap(task) if better is worse else better.ap(task) - worse.ap(task)
    falling = np.argsort(-lead, kind="stable")
    ordered = [int(at) for at in falling if not np.isnan(lead[at])]
    categories = [better.query(task, at).category for at in ordered]
    turns = [categories[:at].count(category) for at, category in enumerate(categories)]
    return [at for _, at in sorted(zip(turns, ordered, strict=True), key=lambda pair: pair[0])][:number]


def _contrasted(runs: Sequence[Ranked], task: str, contrast: tuple[str, str] | None) -> tuple[Ranked, Ranked]:
    if contrast is None:
        ordered = sorted(runs, key=lambda run: run.record["map"][task])
        return ordered[-1], ordered[0]
    return _run_named(runs, contrast[0]), _run_named(runs, contrast[1])


def _run_named(runs: Sequence[Ranked], name: str) -> Ranked:
    for run in sorted(runs, key=lambda run: run.label != name):  # a label may be the name of another method
        method = run.record["method"]
        if name.casefold() in (
            run.label.casefold(),
            method["name"].casefold(),
            method["paper_name"].casefold(),
        ):
            return run
    raise ReportError(f"{name!r} is none of the methods shown: {', '.join(run.label for run in runs)}")
