"""How all figures look, and how they become files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from cmbench.errors import ReportError
from cmbench.evaluation.protocol import PAPER
from cmbench.output import output_file
from cmbench.report.fonts import FIRST, fit_fonts, quiet
from cmbench.report.records import Group

FONT_POINTS = 8.0
WIDTHS: Mapping[str, float] = {"column": 3.33, "page": 7.0}
"""Inches of a column and of a page of two columns, as journals of the field print them."""
_NARROWEST, _WIDEST = 2.0, 40.0
STYLE: dict[Any, Any] = {
    "font.family": FIRST,
    "font.size": FONT_POINTS,
    "axes.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # TrueType; publishers refuse Type 3
    "text.parse_math": False,  # a name with two dollars is no formula
    "svg.hashsalt": "cmbench",  # element names that do not change between runs
}
_UNDATED: Mapping[str, Mapping[str, Any]] = {  # metadata without the time, so that files are reproducible
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
    ".png": {},
}


def width_of(text: str) -> float:
    """Return a width in inches, from ``column``, ``page`` or a number.

    >>> width_of("column"), width_of("5.5")
    (3.33, 5.5)
    """
    try:
        width = WIDTHS[text] if text in WIDTHS else float(text)
    except ValueError:
        width = 0.0
    if not _NARROWEST <= width <= _WIDEST:
        raise ReportError(
            f"width {text!r}: write column ({WIDTHS['column']} inches), page ({WIDTHS['page']:g}), or a "
            f"number of inches from {_NARROWEST:g} to {_WIDEST:g}"
        )
    return width


def title_of(group: Group) -> str:
    """Return what a figure says it is about, for people: the dataset, and any protocol but the paper's.

    Names of files have underscores where people write spaces.
    """
    protocol = group.protocol["name"]
    name = " ".join(group.name.replace("_", " ").split())
    return name if protocol == PAPER.name else f"{name}, protocol {protocol}"


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PDF, SVG or PNG, by the suffix of ``path``; equal figures give equal bytes.

    Names in scripts that the usual font lacks are drawn in others that are installed; see ``fit_fonts``.
    """
    metadata = _UNDATED.get(path.suffix.lower())
    if metadata is None:
        raise ReportError(f"cannot write a figure as {path.name!r}; end its name in {', '.join(_UNDATED)}")
    with output_file(path) as beside, mpl.rc_context(STYLE):
        mpl.rcParams.update(fit_fonts(figure))
        with quiet():
            figure.savefig(beside, dpi=200, metadata=dict(metadata))
