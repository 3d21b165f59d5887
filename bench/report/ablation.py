"""The ablations of CM-GANs in the layout of its paper: Tables IV, V and VI."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias

from cmbench.errors import ReportError
from cmbench.records import Record, without_seed
from cmbench.report.delimited import csv_of, csv_row, empty_row
from cmbench.report.facts import Fact, columns_of, fact_notes
from cmbench.report.footer import brief, footer
from cmbench.report.formats import Format
from cmbench.report.layout import (
    BIMODAL,
    COLUMNS,
    DEFAULT_VIEW,
    PUBLISHED_BIMODAL,
    Column,
    Mark,
    Row,
    Section,
    Table,
    View,
    published_of,
    rows_by_setting,
    shown_values,
    subtitle,
    with_digits,
)
from cmbench.report.published import Published, published_maps
from cmbench.report.records import Group, groups, only_group
from cmbench.report.settings import Setting, settings
from cmbench.report.significance import Arrays, Standing, best_groups, marks_of, significance_note
from cmbench.report.signs import sign_notes
from cmbench.report.table import rows_with_facts, written


@dataclass(frozen=True)
class Variant:
    """A method of these tables: its name, its name in the paper, and the parameters it fixes."""

    name: str
    paper_name: str
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ablation:
    """A table of the paper (arXiv 1710.05106): its number, what it is about, and its rows."""

    number: str
    subject: str
    variants: tuple[Variant, ...]


Which: TypeAlias = Literal["same", "own"]
"""Parameters that were chosen for the full model, or for each ablation itself."""

FULL = Variant("cmgans", "CM-GANs")
ABLATIONS = (
    Ablation(
        "IV",
        "weight sharing (ws) and semantic constraint (sc)",
        (
            Variant("cmgans-none", "CM-GANs without ws&sc", ("tie", "w_semantic")),
            Variant("cmgans-ws", "CM-GANs with ws", ("tie", "w_semantic")),
            Variant("cmgans-sc", "CM-GANs with sc", ("tie",)),
            FULL,
        ),
    ),
    Ablation(
        "V",
        "inter-modality discriminators alone",
        (Variant("cmgans-inter", "CM-GANs only inter", ("w_intra", "w_reconstruction")), FULL),
    ),
    Ablation(
        "VI",
        "reconstruction error in place of the adversary",
        (
            Variant(
                "cmgans-cae",
                "CM-GANs-CAE",
                ("w_inter", "w_intra", "w_reconstruction", "generator_loss", "loss_scale", "update_order"),
            ),
            FULL,
        ),
    ),
)
VARIANTS = {variant.name: variant for ablation in ABLATIONS for variant in ablation.variants}


def render(
    records: Iterable[Record],
    *,
    format: Format = "markdown",
    arrays: Arrays | None = None,
    view: View = DEFAULT_VIEW,
    which: Which | None = None,
) -> str:
    """Return Tables IV to VI from the records of CM-GANs and its ablations among these, as text.

    One block per dataset fingerprint and protocol, with the bi-modal columns; a method without a record
    has a row of dashes, the footer says which command runs it, and nothing in its table is marked best.
    Where parameters were chosen for the ablations themselves, there are two blocks: ``same``, in which all
    have those that were chosen for the full model, and ``own``; ``which`` shows one of them. Everything else
    is as in ``cmbench.report.table.render``. As CSV, all are one table with the columns ``table`` and
    ``settings``. Without a record of the six methods there is a ``ReportError``.
    """
    if format == "csv":
        of_groups = (group.records for group in _with_ablations(groups(_of_variants(records))))
        parts = parts_of(only_group(chain.from_iterable(of_groups)), which)
        return csv_of([row for part in parts for row in _csv_rows(part, arrays, view)])
    return written(tables(records, arrays=arrays, view=view, which=which), format)


def tables(
    records: Iterable[Record],
    *,
    arrays: Arrays | None = None,
    view: View = DEFAULT_VIEW,
    which: Which | None = None,
) -> list[Table]:
    """Return a table with the three parts, or two of them, for each dataset and protocol; as ``render``."""
    found = _with_ablations(groups(_of_variants(records)))
    return [_table(part, arrays, view) for group in found for part in parts_of(group, which)]


@dataclass(frozen=True)
class Part:
    """The records of a table, and which settings they have; None where nothing was chosen for ablations."""

    group: Group
    which: Which | None

    @property
    def title(self) -> str:
        """What stands above the table."""
        words = {
            "same": ", with what was chosen for CM-GANs",
            "own": ", each with what was chosen for itself",
        }
        return f"Ablations of CM-GANs{words.get(self.which or '', '')}, {self.group.title}"


def parts_of(group: Group, which: Which | None = None) -> list[Part]:
    """Return the tables of a group: one, or where parameters were chosen for an ablation itself, two.

    What was chosen for an ablation stands in the first as well where it is that of the full model. The first
    is left out where no ablation has these parameters, unless ``which`` asks for it.
    """
    full = [record for record in group.records if record["method"]["name"] == FULL.name]
    others = [record for record in group.records if record["method"]["name"] != FULL.name]
    own = [record for record in others if _is_own(record)]
    if not own:
        _refuse_own(group, which)
        return [Part(group, None)]
    same = [record for record in others if not _is_own(record) or _is_like(record, full)]
    of_search = [record for record in full if _is_own(record)] or full
    parts = [Part(Group((*full, *same)), "same")] if same or which == "same" else []
    parts.append(Part(Group((*of_search, *own)), "own"))
    return [part for part in parts if which in (None, part.which)]


def _with_ablations(found: Sequence[Group]) -> list[Group]:
    """Return the groups in which an ablation was run, all if there are none."""
    ablated = [
        group for group in found if {record["method"]["name"] for record in group.records} != {FULL.name}
    ]
    return ablated or list(found)


def _refuse_own(group: Group, which: Which | None) -> None:
    if which == "own":
        names = ",".join(VARIANTS)
        raise ReportError(
            f"{group.title}: parameters were chosen for no ablation itself; {_how_to_choose(names)}"
        )


def _how_to_choose(methods: str) -> str:
    return (
        f"'cmbench tune --methods {methods} -o tuned.toml' chooses their parameters, and "
        f"'cmbench run --methods {methods} --profile tuned.toml' runs them"
    )


def _is_own(record: Record) -> bool:
    """Return whether a search chose the parameters of a record for its method itself."""
    tuning = record["method"].get("tuning")
    return bool(tuning) and "like" not in tuning


def _is_like(record: Record, full: Iterable[Record]) -> bool:
    """Return whether an ablation has the parameters of a record of the full model, but for what it fixes."""
    fixed = {*VARIANTS[record["method"]["name"]].fixed, *record["method"].get("practical", ())}
    free = without_seed(record["method"]["parameters"], fixed)
    return any(without_seed(each["method"]["parameters"], fixed) == free for each in full)


def _of_variants(records: Iterable[Record]) -> list[Record]:
    chosen = [record for record in records if record["method"]["name"] in VARIANTS]
    if not chosen:
        raise ReportError(
            "there are no records of CM-GANs or its ablations; run "
            f"'cmbench run --methods {','.join(VARIANTS)}' first, or choose another dataset or protocol"
        )
    return chosen


def _table(part: Part, arrays: Arrays | None, view: View) -> Table:
    group = part.group
    measured = settings(group.records, spread=view.spread)
    published = published_maps(group)
    shown = None if published is None else PUBLISHED_BIMODAL
    _, facts = columns_of(view)
    columns = with_digits(BIMODAL, view.digits)
    standings = {
        ablation.number: _standings(ablation, measured, columns.columns, arrays) for ablation in ABLATIONS
    }
    sections = tuple(
        _section(ablation, measured, published or {}, standings[ablation.number], columns.columns, facts)
        for ablation in ABLATIONS
    )
    by_place = {(number, key): each for number, keys in standings.items() for key, each in keys.items()}
    notes = [
        note
        for note in (
            significance_note(by_place, measured, letters=view.letters),
            *sign_notes(measured),
            *([] if part.which == "own" else _unlike(measured)),
            *_missing(measured, part.which),
        )
        if note
    ]
    return Table(
        part.title,
        f"{subtitle(group.dataset)} Tables are numbered as in arXiv 1710.05106.",
        (columns,),
        shown,
        sections,
        footer(group, measured, shown_values(sections, shown), notes=[*notes, *fact_notes(facts, measured)]),
        view,
        tuple(fact.heading for fact in facts),
        (*brief(group, measured), *notes),
    )


def _standings(
    ablation: Ablation, measured: Sequence[Setting], columns: Sequence[Column], arrays: Arrays | None
) -> dict[str, Standing]:
    """Return where the rows of one table stand; nowhere, if one is missing that might be the best."""
    in_table = _in_table(ablation, measured)
    found = {setting.method["name"] for setting in in_table if setting.finished}
    if any(variant.name not in found for variant in ablation.variants):
        return {column.key: Standing((Mark(),) * len(in_table)) for column in columns}
    return best_groups(in_table, columns, arrays)


def _section(
    ablation: Ablation,
    measured: Sequence[Setting],
    published: Published,
    standings: Mapping[str, Standing],
    columns: Sequence[Column],
    facts: Sequence[Fact],
) -> Section:
    """Return the rows of one table in its order."""
    in_table = _in_table(ablation, measured)
    rows_of: dict[str, list[Row]] = {}
    by_setting = rows_by_setting(in_table, published, columns, marks_of(standings))
    for setting, rows in zip(in_table, rows_with_facts(in_table, by_setting, facts), strict=True):
        rows_of.setdefault(setting.method["name"], []).extend(rows)
    listed = [rows_of.get(variant.name) or [_empty_row(variant, published)] for variant in ablation.variants]
    return Section(f"Table {ablation.number}: {ablation.subject}", tuple(chain.from_iterable(listed)))


def _in_table(ablation: Ablation, measured: Sequence[Setting]) -> list[Setting]:
    return [setting for variant in ablation.variants for setting in _settings_of(variant, measured)]


def _empty_row(variant: Variant, published: Published) -> Row:
    keys = [column.key for column in BIMODAL.columns]
    in_paper = published_of(variant.paper_name, published)
    return Row(variant.paper_name, dict.fromkeys(keys), dict.fromkeys(keys, Mark()), None, in_paper)


def _csv_rows(part: Part, arrays: Arrays | None, view: View) -> list[dict[str, Any]]:
    group = part.group
    measured = settings(group.records, spread=view.spread)
    published = published_maps(group)
    rows = []
    for ablation in ABLATIONS:
        marks = marks_of(_standings(ablation, measured, COLUMNS, arrays))
        in_table = _in_table(ablation, measured)
        csv_rows: dict[str, list[dict[str, Any]]] = {}
        for at, setting in enumerate(in_table):
            row_marks = {key: of_column[at] for key, of_column in marks.items()}
            row = csv_row(group, setting, published, COLUMNS, row_marks)
            csv_rows.setdefault(setting.method["name"], []).append(row)
        for variant in ablation.variants:
            status = "not tuned for itself" if part.which == "own" else "not run"
            empty = empty_row(group, variant.name, variant.paper_name, published, status)
            named = {"table": ablation.number, "settings": part.which or ""}
            rows += [{**named, **row} for row in csv_rows.get(variant.name, [empty])]
    return rows


def _settings_of(variant: Variant, measured: Sequence[Setting]) -> list[Setting]:
    return [setting for setting in measured if setting.method["name"] == variant.name]


def _missing(measured: Sequence[Setting], which: Which | None) -> list[str]:
    """Return a line that names the methods without a record and the commands that make them one."""
    names = {setting.method["name"] for setting in measured}
    missing = [variant for variant in VARIANTS.values() if variant.name not in names]
    if not missing:
        return []
    labels = ", ".join(variant.paper_name for variant in missing)
    methods = ",".join(variant.name for variant in missing)
    if which == "own":
        return [f"No search chose for {labels}: {_how_to_choose(methods)}."]
    return [
        f"No record of {labels}: 'cmbench run --methods {methods}' runs them, with --dataset, --protocol, "
        "--seeds and --set as for the others."
    ]


def _unlike(measured: Sequence[Setting]) -> list[str]:
    """Return a line on the parameters in which rows differ, other than those that an ablation is about."""
    differing = []
    for name in dict.fromkeys(chain.from_iterable(setting.parameters for setting in measured)):
        labels = _labels_by_value(name, measured)
        if len(labels) > 1:
            differing += [f"{name}={value} for {', '.join(rows)}" for value, rows in labels.items()]
    return [f"Rows differ in more than what is ablated: {'; '.join(differing)}."] if differing else []


def _labels_by_value(name: str, measured: Sequence[Setting]) -> dict[str, list[str]]:
    """Return the labels of the settings with each value of a parameter, unless their method fixes it."""
    labels: dict[str, list[str]] = {}
    for setting in measured:
        if name in setting.parameters and name not in VARIANTS[setting.method["name"]].fixed:
            labels.setdefault(str(setting.parameters[name]), []).append(setting.label)
    return labels
