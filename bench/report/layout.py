"""A table before it has a format: title, columns, rows, marks and footer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from cmbench.errors import ReportError
from cmbench.evaluation.measures import MAP, Measure, get_measure
from cmbench.evaluation.protocol import (
    ALLMODAL_AVERAGE,
    ALLMODAL_TASKS,
    BIMODAL_AVERAGE,
    BIMODAL_TASKS,
    PAIRS,
    task_text,
)
from cmbench.records import is_by_pair
from cmbench.report.published import Published, PublishedMap
from cmbench.report.records import Group
from cmbench.report.settings import Score, Setting, Spread, failures_text

DECIMALS = 3


@dataclass(frozen=True)
class Column:
    """A number of a record: its key, its heading under the group's, and its heading on its own.

    ``measure`` is what it holds; ``key`` is a key of ``record["map"]`` for MAP, and else begins with the
    measure.
    """

    key: str
    heading: str
    alone: str
    measure: Measure = MAP
    digits: int = DECIMALS

    def printed(self, value: float) -> str:
        """Return a number as the table prints it."""
        return printed(value, decimals=1 if self.measure.lower_is_better else self.digits)


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that stand under one heading."""

    heading: str
    columns: tuple[Column, ...]

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.columns)


def _of_tasks(tasks: Iterable[str]) -> tuple[Column, ...]:
    return tuple(Column(task, task_text(task), task_text(task)) for task in tasks)


AVERAGE = Column(BIMODAL_AVERAGE, "average", "bi-modal average")
"""The column by which methods are ranked and drawn where one number stands for all."""
BIMODAL = ColumnGroup("Bi-modal", (*_of_tasks(BIMODAL_TASKS), AVERAGE))
ALLMODAL = ColumnGroup(
    "All-modal", (*_of_tasks(ALLMODAL_TASKS), Column(ALLMODAL_AVERAGE, "average", "all-modal average"))
)
GROUPS = (BIMODAL, ALLMODAL)
COLUMNS = tuple(column for group in GROUPS for column in group.columns)

_AVERAGES = (BIMODAL_AVERAGE, ALLMODAL_AVERAGE)

PUBLISHED = ColumnGroup(
    "Published",
    (
        Column(BIMODAL_AVERAGE, "bi-modal", "published bi-modal average"),
        Column(ALLMODAL_AVERAGE, "all-modal", "published all-modal average"),
    ),
)
"""The published values a table has room for; the CSV holds all six."""
PUBLISHED_BIMODAL = ColumnGroup(PUBLISHED.heading, PUBLISHED.columns[:1])
"""The same where a table has no all-modal columns."""


@dataclass(frozen=True)
class Mark:
    """What a table says of a number beside the number.

    ``best`` stands for the best of its column and what cannot be told apart from it; two numbers of a column
    whose ``letters`` share one cannot be told apart. No letters: this was not tested.
    """

    best: bool = False
    letters: str = ""


@dataclass(frozen=True)
class View:
    """What a table shows of its records, and how.

    Parameters
    ----------
    spread : what stands behind ±: ``seeds``, the sample standard deviation over seeds, or ``queries``, the
        standard error over queries
    measures : the measures shown; by default those that the protocol reports
    letters : whether the letters of marks stand behind the numbers
    averages : whether the averages of tasks are shown alone, without the tasks
    columns : what stands beside them: names of ``cmbench.report.facts.FACTS``, and further measures
    sort : the column that rows are ordered by, its key or heading; by default the order of the paper
    digits : decimals of numbers
    caption : in place of title and description
    label : of the LaTeX table, in place of one made of the title
    """

    spread: Spread = "seeds"
    measures: Sequence[str] | None = None
    letters: bool = False
    averages: bool = False
    columns: Sequence[str] = ()
    sort: str | None = None
    digits: int = DECIMALS
    caption: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        """Raise ``ReportError`` for a label that LaTeX would not read as one."""
        odd = sorted(set(self.label or "") & set("\\{}%#~^&$"))
        if odd or (self.label is not None and not self.label.strip()):
            wrong = f"holds {' '.join(odd)}" if odd else "is empty"
            raise ReportError(
                f"the label {self.label!r} {wrong}, so that LaTeX cannot refer to it; give letters, digits, "
                "':' and '-', such as tab:wikipedia"
            )


DEFAULT_VIEW = View()


def columns_of_queries(protocol: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns whose numbers are means over queries of the same pairs.

    Where the pair itself is relevant, pictures ask in one task and texts in the other, so that an average
    of the tasks is not one of queries.
    """
    return BIMODAL.columns[:2] if is_by_pair(protocol) else COLUMNS


def column_groups(
    group: Group,
    measures: Iterable[str] | None = None,
    *,
    added: Iterable[str] = (),
    averages: bool = False,
    digits: int = DECIMALS,
) -> tuple[ColumnGroup, ...]:
    """Return the columns of a table: those of the measures named, by default those its protocol reports.

    Where one of these is held by no record, all that records hold are shown, or MAP if they hold no others.
    Those of ``added`` come beside them.
    With ``averages`` each measure has the averages of its tasks alone.

    Where the pair itself is relevant, the measures of a task stand together, else the tasks of a
    measure, and there are no averages. Raises ``ReportError`` for a measure that no record holds, and for
    averages that there are not.
    """
    by_pair = is_by_pair(group.protocol)
    held = dict.fromkeys(name for record in group.finished for name in record.get("measures", {}))
    by_default: Iterable[str] = PAIRS.measures if by_pair else (MAP.name,)
    if group.finished and not held.keys() | {MAP.name} >= {*by_default}:
        by_default = held or (MAP.name,)
    named = (*(by_default if measures is None else measures), *added)
    wanted = list(dict.fromkeys(map(get_measure, named)))
    for measure in wanted:
        if measure != MAP and group.finished and measure.name not in held:
            raise ReportError(
                f"no record of {group.title} holds {measure.name}; measure it with 'cmbench run --measures "
                f"{measure.name}'"
            )
    if by_pair and averages:
        raise ReportError(
            f"{group.title} has no averages, since a task may have another gallery than the other, or more "
            "queries; leave --averages out, or choose another table with --dataset and --protocol"
        )
    if by_pair:
        found = [
            ColumnGroup(column.heading, tuple(_column(column, measure) for measure in wanted))
            for column in BIMODAL.columns[:2]
        ]
    else:
        found = list(chain.from_iterable(GROUPS if each == MAP else (_bimodal(each),) for each in wanted))
    shown = map(_averages, found) if averages else found
    return tuple(with_digits(columns, digits) for columns in shown)


def _averages(group: ColumnGroup) -> ColumnGroup:
    averages = tuple(column for column in group.columns if column.key.endswith(_AVERAGES))
    return replace(group, columns=averages)


def with_digits(group: ColumnGroup, digits: int) -> ColumnGroup:
    """Return columns whose numbers are printed with so many decimals."""
    return replace(group, columns=tuple(replace(column, digits=digits) for column in group.columns))


def _column(task: Column, measure: Measure) -> Column:
    """Return the column of a measure under the heading of its task."""
    key = task.key if measure == MAP else f"{measure.name}_{task.key}"
    return Column(key, measure.heading, f"{task.heading} {measure.heading}", measure)


def _bimodal(measure: Measure) -> ColumnGroup:
    """Return the columns of a measure for the two bi-modal tasks and their average."""
    columns = (
        Column(f"{measure.name}_{task.key}", task.heading, f"{measure.heading} {task.alone}", measure)
        for task in BIMODAL.columns
    )
    return ColumnGroup(measure.heading, tuple(columns))


def printed(value: float, *, decimals: int = DECIMALS) -> str:
    """Return a number as tables print it.

    >>> printed(0.4994)
    '0.499'
    """
    return f"{value:.{decimals}f}"


def lone_best(scores: Sequence[Score | None], column: Column = BIMODAL.columns[0]) -> list[Mark]:
    """Return the marks of a column in which nothing is tested.

    All scores that print as the best number are the best, for what looks equal in the table is treated as
    equal. A missing score has no mark.
    """
    texts = [None if score is None else column.printed(score.mean) for score in scores]
    numbers = [float(text) for text in texts if text is not None]
    if not numbers:
        return [Mark()] * len(scores)
    best = min(numbers) if column.measure.lower_is_better else max(numbers)
    return [Mark(text is not None and float(text) == best) for text in texts]


@dataclass(frozen=True)
class Row:
    """A row: a label and either its scores, by column key, or the reason why it has none.

    ``published`` holds what the paper gives for the method, by column key, as far as it is known, ``facts``
    what stands beside the scores, by the headings of ``Table.facts``, and ``signs`` what stands behind the
    label and is told under the table.
    """

    label: str
    scores: Mapping[str, Score | None]
    marks: Mapping[str, Mark]
    failure: str | None
    published: Mapping[str, PublishedMap]
    facts: Mapping[str, str] = field(default_factory=dict)
    signs: str = ""


@dataclass(frozen=True)
class Section:
    """Rows whose numbers are marked among themselves, under a heading, which may be empty."""

    heading: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """One table. ``groups`` are the columns that are measured, ``published`` those of the paper, if shown.

    ``facts`` are the headings of columns beside them. ``footer`` is all that there is to say of the numbers,
    ``brief`` what a reader should know at once.
    """

    title: str
    subtitle: str
    groups: tuple[ColumnGroup, ...]
    published: ColumnGroup | None
    sections: tuple[Section, ...]
    footer: tuple[str, ...]
    view: View
    facts: tuple[str, ...] = ()
    brief: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns measured."""
        return tuple(column for group in self.groups for column in group.columns)

    @property
    def published_columns(self) -> tuple[Column, ...]:
        """The columns of published values; none where they may not be shown."""
        return self.published.columns if self.published else ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all sections."""
        return tuple(chain.from_iterable(section.rows for section in self.sections))


def shown_values(sections: Iterable[Section], published: ColumnGroup | None) -> list[PublishedMap]:
    """Return the published values that stand in these columns, row by row."""
    columns = published.columns if published else ()
    return [
        row.published[column.key]
        for section in sections
        for row in section.rows
        for column in columns
        if column.key in row.published
    ]


def subtitle(dataset: Mapping[str, Any]) -> str:
    """Return features, sizes and number of categories of a dataset, as one sentence."""
    sizes = dataset["sizes"]
    retrieval = f", {sizes['retrieval']} pairs to retrieve" if "retrieval" in sizes else ""
    several = " (a pair may have several)" if dataset.get("multi_label") and dataset["class_names"] else ""
    return (
        f"Images: {_feature(dataset, 'image')}; texts: {_feature(dataset, 'text')}; "
        f"{sizes['train']}/{sizes['validation']}/{sizes['test']} training/validation/test pairs{retrieval}; "
        f"{len(dataset['class_names'])} categories{several}."
    )


def _feature(dataset: Mapping[str, Any], side: str) -> str:
    """Return a feature's description, with its dimension unless the description has it."""
    feature, dimension = str(dataset[f"{side}_feature"]), f"{dataset[f'{side}_dimension']}-d"
    return feature if re.search(rf"\b{dimension}\b", feature) else f"{dimension} {feature}"


def rows_by_setting(
    settings: Sequence[Setting],
    published: Published,
    columns: Sequence[Column],
    marks: Mapping[str, Sequence[Mark]],
) -> list[list[Row]]:
    """Return the rows of each setting, two at most; ``marks`` are those of all settings by column key."""
    rows = []
    for at, setting in enumerate(settings):
        row_marks = {key: of_column[at] for key, of_column in marks.items()}
        in_paper = published_of(setting.method["paper_name"], published)
        rows.append(_rows_of(setting, row_marks, in_paper, columns))
    return rows


def published_of(name: str, published: Published) -> dict[str, PublishedMap]:
    """Return what is published of the method of that paper name, by column key."""
    return {column.key: published[name, column.key] for column in COLUMNS if (name, column.key) in published}


def _rows_of(
    setting: Setting,
    row_marks: Mapping[str, Mark],
    published: Mapping[str, PublishedMap],
    columns: Sequence[Column],
) -> list[Row]:
    """Return a row for the finished seeds of a setting and one for the failed ones."""
    rows = []
    if setting.finished:
        scores = {column.key: setting.score(column.key) for column in columns}
        rows.append(Row(setting.label, scores, row_marks, None, published))
    if setting.unfinished:
        rows.append(Row(setting.label, {}, {}, failures_text(setting), published))
    return rows
