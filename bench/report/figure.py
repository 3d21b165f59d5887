"""How all figures look, and how they become files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from cmbench.errors import ReportError
from cmbench.output import output_file
from cmbench.report.fonts import FIRST, fit_fonts, quiet

FONT_POINTS = 8.0
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
