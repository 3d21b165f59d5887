"""Published tables beside ours: their values method by method, and how far the order of methods agrees.

Published values are of other features, splits and rules than ours, and than one another. So each table has a
column of its own, what is known of it stands below, and what is compared is the order of methods.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from cmbench.errors import EvaluationError, ReportError, StoreError
from cmbench.evaluation.agreement import chance_of_tau, kendall_tau, tau_interval
from cmbench.evaluation.nesting import nested_in_pairs
from cmbench.records import Record
from cmbench.report.delimited import csv_of
from cmbench.report.footer import footer
from cmbench.report.formats import Format
from cmbench.report.layout import (
    AVERAGE,
    DEFAULT_VIEW,
    Column,
    ColumnGroup,
    Row,
    Section,
    Table,
    View,
    subtitle,
    with_digits,
)
from cmbench.report.published import (
    PublishedMap,
    collection_of,
    is_comparable,
    published_table,
    tables_of,
)
from cmbench.report.records import Group, groups, only_group
from cmbench.report.settings import Setting, knows_test_labels, settings
from cmbench.report.significance import (
    Arrays,
    Reading,
    best_groups,
    marks_of,
    reading,
    runs_of,
    significance_note,
)
from cmbench.report.signs import sign_notes, signs_of
from cmbench.report.table import written

FEWEST = 6
"""Methods of which an order is compared: of fewer, tau says next to nothing."""
P_NOTE = "p: of orders that have nothing to do with each other"
OF_THE_PAPER = (("I", "XMediaNet"), ("II", "Pascal Sentence"), ("III", "Wikipedia"))
STAND_INS = {"CCL (coarse only)": "CCL"}
"""Methods that stand for a published one where data lack what it needs, by paper name."""
COLLECTIONS = {"wikipedia": "Wikipedia", "pascal": "Pascal Sentence", "xmedianet": "XMediaNet"}
"""Collections with published tables, by the names that one chooses them by."""


@dataclass(frozen=True)
class Shape:
    """How far the order of methods in a published table is ours.

    ``interval`` are the bounds of tau over new test pairs and seeds, None where there are none for a
    ``reason``. ``p`` is two-sided, of the hypothesis that the orders have nothing to do with each other.
    """

    heading: str
    collection: str
    tau: float
    methods: tuple[str, ...]
    p: float
    interval: tuple[float, float] | None
    reason: str = ""

    @property
    def text(self) -> str:
        """What is said of it, without the name of the table."""
        tau = f"{self.tau:.2f} over {len(self.methods)} methods"
        if self.interval is not None:
            low, high = self.interval
            return f"{tau} (95 % interval {low:.2f} to {high:.2f}; p = {self.p:.2g})"
        return f"{tau} (no interval: {self.reason}; p = {self.p:.2g})"


def render(
    records: Iterable[Record],
    *,
    format: Format = "markdown",
    arrays: Arrays | None = None,
    view: View = DEFAULT_VIEW,
    collection: str | None = None,
) -> str:
    """Return the tables of ``tables`` in a format; as CSV a row for each of our methods and published table.

    CSV is of one dataset; several raise ``ReportError``.
    """
    if format == "csv":
        group, name = _one(_with_collections(records, collection))
        return csv_of(list(_csv_rows(group, name, view)))
    return written(tables(records, arrays=arrays, view=view, collection=collection), format)


def tables(
    records: Iterable[Record],
    *,
    arrays: Arrays | None = None,
    view: View = DEFAULT_VIEW,
    collection: str | None = None,
) -> list[Table]:
    """Return, for each dataset and protocol, our bi-modal averages beside those of published tables.

    Which published dataset one is of is told by its name and sizes (see
    ``cmbench.report.published.collection_of``); ``collection``, a name of ``COLLECTIONS``, says it instead. A
    published table has a column if it holds one of our methods. Raises ``ReportError`` where no dataset
    corresponds.
    """
    found = _with_collections(records, collection)
    return [_table(group, name, reading(arrays), view) for group, name in found]


def shapes(group: Group, collection: str, arrays: Arrays | None) -> list[Shape]:
    """Return how far published tables of a collection order methods as these records do.

    Tables that share fewer than ``FEWEST`` methods with the records are left out, and so are those that only
    copy the rows of another one.
    """
    ours = _by_published_name(settings(group.records))
    once = reading(arrays)
    columns = _columns(settings(group.records), collection).columns
    found = (_shape(column.key, collection, ours, once) for column in columns)
    return [shape for shape in found if shape is not None]


def shape_notes(found: Iterable[Group], arrays: Arrays | None) -> list[str]:
    """Return a sentence on the datasets whose methods a table of the paper orders too; none without any."""
    told = []
    for group in found:
        collection = collection_of(group)
        of_paper = {heading for heading, name in map(_heading, OF_THE_PAPER) if name == collection}
        for shape in shapes(group, collection, arrays) if collection else ():
            if shape.heading in of_paper:
                told.append(f"{shape.text} on {group.name} with {shape.heading} of the paper")
    if not told:
        return []
    heading = f"Order of methods, Kendall's tau of bi-modal averages ({P_NOTE})"
    return [f"{heading}: {'; '.join(told)}; {_yardstick()}."]


def _heading(key: tuple[str, str]) -> tuple[str, str]:
    return published_table(*key).heading, key[1]


def _with_collections(records: Iterable[Record], collection: str | None) -> list[tuple[Group, str]]:
    """Return the groups that published tables are of, with the name of the published dataset."""
    every = groups(records)
    if collection is not None:
        named = [(group, COLLECTIONS[collection]) for group in every if is_comparable(group)]
    else:
        named = [(group, name) for group in every if (name := collection_of(group)) is not None]
    if not named:
        raise ReportError(
            "no dataset of these records is told by name and sizes to be one of published tables, under a "
            "protocol that ranks as they do; say which it is with '--published "
            f"{'|'.join(COLLECTIONS)}', or choose other records"
        )
    return named


def _one(found: Sequence[tuple[Group, str]]) -> tuple[Group, str]:
    only_group([record for group, _ in found for record in group.records])
    return found[0]


def _by_published_name(measured: Sequence[Setting]) -> dict[str, Setting]:
    """Return the settings with numbers by the name that published tables use; of several of a method none."""
    shown = [each for each in measured if each.score(AVERAGE.key) and not knows_test_labels(each)]
    names = [each.method["paper_name"] for each in shown]
    single = {name: each for name, each in zip(names, shown, strict=True) if names.count(name) == 1}
    stand_ins = {STAND_INS[name]: each for name, each in single.items() if name in STAND_INS}
    return {**stand_ins, **single}


def _shape(table: str, collection: str, ours: Mapping[str, Setting], arrays: Reading) -> Shape | None:
    values = tables_of(collection)[table]
    names = tuple(name for name in ours if name in values)
    if len(names) < FEWEST:
        return None
    chosen, theirs = [ours[name] for name in names], [values[name].map for name in names]
    means = list(map(_mean, chosen))
    tau = float(kendall_tau(means, theirs)[0])
    if math.isnan(tau):
        return None
    heading, p = published_table(table, collection).heading, chance_of_tau(means, theirs)
    made = partial(Shape, heading, collection, tau, names, p)
    lacking = [each.label for each in chosen if not _is_stored(each, arrays)]
    if lacking:
        of = "any" if len(lacking) == len(chosen) else ", ".join(lacking)
        return made(None, f"no values per query are stored of {of}")
    try:
        nested = nested_in_pairs([runs_of(each, AVERAGE, arrays) for each in chosen])
        return made(tau_interval(nested.in_units(), theirs))
    except EvaluationError as error:
        return made(None, str(error))


def _mean(setting: Setting) -> float:
    score = setting.score(AVERAGE.key)
    return math.nan if score is None else score.mean


def _is_stored(setting: Setting, arrays: Reading) -> bool:
    try:
        runs_of(setting, AVERAGE, arrays)
    except StoreError:
        return False
    return True


def _yardstick() -> str:
    """Return how far the tables of the paper agree with one another, which no other data need surpass."""
    told = []
    for at, first in enumerate(OF_THE_PAPER):
        for second in OF_THE_PAPER[at + 1 :]:
            one, other = (tables_of(name)[table] for table, name in (first, second))
            shared = [method for method in one if method in other]
            tau = kendall_tau([one[name].map for name in shared], [other[name].map for name in shared])[0]
            told.append(f"{first[1]} and {second[1]} {tau:.2f}")
    return f"the tables of the paper among themselves: {', '.join(told)}"


def _table(group: Group, collection: str, arrays: Reading, view: View) -> Table:
    measured = [each for each in settings(group.records, spread=view.spread) if each.finished]
    ours = with_digits(ColumnGroup("Measured", (AVERAGE,)), view.digits)
    beside = _columns(measured, collection)
    standings = best_groups(measured, ours.columns, arrays)
    marks = marks_of(standings)[AVERAGE.key]
    rows = tuple(
        Row(
            each.label,
            {AVERAGE.key: each.score(AVERAGE.key)},
            {AVERAGE.key: mark},
            None,
            _values(each, collection, beside),
            signs=signs_of(each, measured),
        )
        for each, mark in zip(measured, marks, strict=True)
    )
    notes = [
        note
        for note in (significance_note(standings, measured, letters=view.letters), *sign_notes(measured))
        if note
    ]
    notes += [*_notes(group, collection, measured, beside, arrays)]
    return Table(
        f"{group.title}, beside published tables of {collection}",
        subtitle(group.dataset),
        (ours,),
        beside,
        (Section("", rows),),
        footer(group, measured, (), notes=notes),
        view,
        brief=tuple(notes),
    )


def _columns(measured: Sequence[Setting], collection: str) -> ColumnGroup:
    """Return a column for each published table that holds one of the methods in rows of its own."""
    names = set(_by_published_name(measured))
    held = [
        table
        for table, values in tables_of(collection).items()
        if any(name in values and values[name].table == table for name in names)
    ]
    titles = [published_table(table, collection).heading for table in held]
    columns = (Column(table, title, title) for table, title in zip(held, titles, strict=True))
    return ColumnGroup("Published", tuple(columns))


def _values(setting: Setting, collection: str, beside: ColumnGroup) -> dict[str, PublishedMap]:
    """Return what is published of the method of a setting, by table."""
    name = setting.method["paper_name"]
    name = STAND_INS.get(name, name)
    held = tables_of(collection)
    return {column.key: held[column.key][name] for column in beside.columns if name in held[column.key]}


def _notes(
    group: Group, collection: str, measured: Sequence[Setting], beside: ColumnGroup, arrays: Reading
) -> Iterator[str]:
    """Yield what published values are of, and how far orders agree."""
    yield (
        "Published values are of other features, and often of other splits and rules, than ours and than one "
        "another: compare the order of methods within a column, not numbers across."
    )
    for column in beside.columns:
        yield _terms(column, collection, measured)
    for setting in measured:
        if setting.method["paper_name"] in STAND_INS:
            yield f"{setting.label} stands for {STAND_INS[setting.method['paper_name']]} of the tables."
    told = [f"{shape.heading} {shape.text}" for shape in shapes(group, collection, arrays)]
    few = f"no published table holds {FEWEST} of these methods"
    heading = f"Order of methods, Kendall's tau-b with ours ({P_NOTE})"
    yield f"{heading}: {'; '.join(told) or few}; {_yardstick()}."


def _terms(column: Column, collection: str, measured: Sequence[Setting]) -> str:
    """Return what is known of a published table, and how sure the reading of the values shown is."""
    values = tables_of(collection)[column.key]
    names = [name for name in _by_published_name(measured) if name in values]
    sources = dict.fromkeys(f"{values[name].source} (confidence {values[name].confidence})" for name in names)
    return f"{column.heading}: {published_table(column.key, collection).terms}. Read in {'; '.join(sources)}."


def _csv_rows(group: Group, collection: str, view: View) -> Iterator[dict[str, object]]:
    measured = [each for each in settings(group.records, spread=view.spread) if each.finished]
    beside = _columns(measured, collection)
    for setting in measured:
        ours = {"method": setting.method["name"], "label": setting.label, AVERAGE.key: _mean(setting)}
        for column in beside.columns:
            value = _values(setting, collection, beside).get(column.key)
            known = published_table(column.key, collection)
            yield {
                "dataset": group.name,
                "collection": collection,
                **ours,
                "table": known.heading,
                "published": None if value is None else value.map,
                "split": known.split,
                "features": known.features,
                "source": None if value is None else value.source,
                "confidence": None if value is None else value.confidence,
            }
