"""The page over all datasets: tables of equal searches, and below them those of earlier studies."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure
from tabulate import tabulate

from cmbench.errors import ReportError
from cmbench.evaluation.protocol import PAPER
from cmbench.methods.registry import CONTROLS, DEFAULT_METHODS
from cmbench.profile_files import read_profile
from cmbench.profiles import packaged_profile
from cmbench.records import Record
from cmbench.report import ablation, findings, overview, rank_figure, shape
from cmbench.report.costs import PROCESSOR, costs_of_datasets
from cmbench.report.facts import MISSING
from cmbench.report.figure import WIDTHS, save
from cmbench.report.layout import View
from cmbench.report.records import groups, select
from cmbench.report.significance import Reading, reading
from cmbench.report.table import render
from cmbench.schema import finished_at
from cmbench.store import Store

T = TypeVar("T")
LEADERBOARD = """\
# Leaderboard

How well methods find, among the texts of all test pairs, those of an image's category (image→text), and the
reverse, with numbers from 0 to 1: mean average precision (MAP), the higher the better. Bold marks the best of
a column and all that cannot be told apart from it. What else a number depends on stands below its table:
features, protocol, seeds, budgets of searches, and what a random ranking would have.

The paper of CM-GANs has them first on each of its datasets, and every part of them raise MAP. What the
records here show of that stands first; it can be no more than a difference, an interval and a chance.

This page is written by `python results/produce.py leaderboard` from the records in this folder; no figure on
it is written by hand. [tuned](tuned/README.md) has the commands that made the records of its first part, in
which every method had the same number of trials on validation pairs, and says where that was not quite so.
Methods were searched again, with more in their spaces or other defaults, when the test numbers of an earlier
search were known: CM-GANs on `scenes`, Wikipedia (CNN) and Pascal Sentence; Deep-SM, SM, SCM, JFSSL, LCFS and
ridge regression on all but the fashion products and `pascal_efflite2_lsa300`; DCCA on Wikipedia (CNN); and
ACMR, DSCMR, InfoNCE and Triplet on Pascal Sentence. What had the higher MAP on validation pairs was kept; the
trials told are those of the search that chose. [evidence](tuned/evidence.md) holds profiles, trials and runs
against each other.

Tests and intervals are of other test pairs and other seeds. They do not know of another search: as many
trials drawn anew may choose others, and the README of tuned has examples of up to .018 on test. The two sets
of Wikipedia are features of the same test pairs, and so are those of Pascal Sentence, so that six sets of
real features are four collections, and Friedman's test, which takes all datasets for independent, is too
sure. The fashion products had four trials a method and one seed in them.

A row can be looked up and run again:

    cmbench show scenes/cca --store results/tuned
    cmbench reproduce scenes/cca --store results/tuned

`emoji` and `scenes` come with cmbench. Pictures and captions of `scenes` are drawn by a program; the other
datasets are real. The features of the others do not come along, since nobody has licensed them: whoever has
a file of them adds `--dataset FILE` to `reproduce`.
"""
EARLIER = """\
## Earlier studies, with searches of unequal length

Here methods had searches of unequal length, which the READMEs of [traditional](traditional/README.md),
[deep](deep/README.md) and [cmgans](cmgans/README.md) describe. Their records come without values per query,
which would repeat labels of data that nobody has licensed, and so no difference is tested. Where a method on
a dataset has other numbers above, those above are the ones to cite: every method had the same search there.
"""
NOT_YET = "There are no records of tuned runs in this folder yet.\n"
FACTS_SHOWN = View(columns=("map", "trials", "seeds", "processor", "memory"), letters=True)
COUNTED = """\
Of each method the search that chose its parameters; others of it are not counted. Some were made without the
library that [others had loaded first](tuned/README.md#running-a-row-again), and without it a fit takes 1.5 to
1.9 times as long ([measured](../docs/many-machines.md#faster-products-on-amd-processors)).
"""


def make_leaderboard(results: Path) -> None:
    """Write the page of the records in ``results``."""
    ends = [finished_at(record) for record in Store(results / "tuned").records()]
    dated = [f"The newest record of its first part is of {max(ends)[:10]}.\n"] if any(ends) else []
    page = [LEADERBOARD, *dated, *(tuned_sections(results / "tuned") or [NOT_YET])]
    page += [EARLIER, *earlier_tables(results)]
    (results / "leaderboard.md").write_text("\n".join(page), encoding="utf-8")


def earlier_tables(results: Path) -> list[str]:
    """Return tables of the first studies: over all sets of features, of each, and beside published ones."""
    methods = {*DEFAULT_METHODS, "ccl-coarse"}  # which stands in for CCL where there are no parts
    records = [
        record
        for study in ("cmgans", "deep", "traditional")
        for record in Store(results / study).records()
        if record["method"]["name"] in methods
    ]
    return [overview.render(records), render(records), shape.render(records)]


def tuned_sections(folder: Path) -> list[str]:
    """Return the parts of the page that are made of tuned runs, each with its heading; or none."""
    store = Store(folder)
    every = store.records()
    arrays = reading(store.arrays)
    ablations = set(ablation.VARIANTS) - {ablation.FULL.name}
    methods = [record for record in every if record["method"]["name"] not in ablations]
    with_ablations = {
        record["dataset"]["fingerprint"] for record in every if record["method"]["name"] in ablations
    }
    ablated = [record for record in every if record["dataset"]["fingerprint"] in with_ablations]
    parts: dict[str, Callable[[], str]] = {
        "What the records show": lambda: findings.render(every, arrays=arrays),
        "All datasets": lambda: overview.render(methods, arrays=arrays) + figures(methods, arrays, folder),
        "Each dataset": lambda: render(methods, arrays=arrays, view=FACTS_SHOWN),
        "What the searches cost": lambda: search_costs(methods),
        "Ablations of CM-GANs": lambda: ablation.render(ablated, arrays=arrays),
        "Beside published tables": lambda: shape.render(methods, arrays=arrays),
    }
    texts = {heading: text for heading, part in parts.items() if (text := made_or_none(part))}
    return [f"## {heading}\n\n{text}" for heading, text in texts.items()] if every else []


def figures(records: Sequence[Record], arrays: Reading, folder: Path) -> str:
    """Draw the figures over all datasets into the folder of tuned runs, and return what shows them.

    They are of protocol paper, of the methods without controls. What cannot be drawn is left out.
    """
    held = [each for each in select(records, protocol=PAPER.name) if each["method"]["name"] not in CONTROLS]
    drawn: dict[str, tuple[str, Callable[[], Figure]]] = {
        "costs.png": (
            "MAP, the bi-modal average, against the time of a processor that a run took",
            lambda: costs_of_datasets(groups(held), arrays=arrays, time=PROCESSOR),
        ),
        "ranks.png": (
            "Average ranks of methods over datasets, with the critical difference",
            lambda: rank_figure.figure(rank_figure.ranked(groups(held)), width=WIDTHS["page"]),
        ),
    }
    shown = ""
    for name, (title, draw) in drawn.items():
        drawing = made_or_none(draw)
        if drawing is not None:
            save(drawing, folder / name)
            shown += f"\n![{title}]({folder.name}/{name})\n"
    return shown


def search_costs(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the minutes of a processor that searches took, from the profiles that come with cmbench.

    Nothing where none of them is of these datasets.
    """
    datasets = {record["dataset"]["fingerprint"]: record["dataset"]["name"] for record in records}
    names = {record["method"]["name"]: record["method"]["paper_name"] for record in records}
    minutes: dict[str, dict[str, float]] = {}
    for fingerprint in datasets:
        path = packaged_profile(fingerprint)
        if path.exists():
            for name, choice in read_profile(path).datasets[fingerprint].items():
                minutes.setdefault(name, {})[fingerprint] = choice["processor_seconds"] / 60
    if not minutes:
        return ""
    rows = [
        [label, *(minutes[name].get(each) for each in datasets)]
        for name, label in names.items()
        if name in minutes
    ]
    table = tabulate(rows, ["minutes of a processor", *datasets.values()], "pipe", ".1f", missingval=MISSING)
    return f"{table}\n\n{COUNTED}"


def made_or_none(part: Callable[[], T]) -> T | None:
    """Return a part of the page; None where the records hold nothing for it."""
    try:
        return part()
    except ReportError:  # one dataset alone has no overview, and not every one has published values
        return None
