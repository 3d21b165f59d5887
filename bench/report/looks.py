"""How a method looks in every figure: fill and hatch of its bars, line and marker of the same hue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cmbench.errors import either
from cmbench.report.settings import Setting


@dataclass(frozen=True)
class Look:
    """A fill with its hatch, and for lines and points a colour, dashes and a marker."""

    fill: str
    hatch: str
    marker: str

    @property
    def colour(self) -> str:
        """The fill where it shows on white, else a darker colour of its hue."""
        return _DARKER.get(self.fill, self.fill)

    def bar(self) -> dict[str, Any]:
        """Return how a bar, or its key in a legend, is drawn."""
        return {"facecolor": self.fill, "hatch": self.hatch, "edgecolor": "black", "linewidth": 0.3}

    def line(self, *, thick: bool = False) -> dict[str, Any]:
        """Return how a curve is drawn; ``thick`` where it cannot be told apart from the best."""
        width = THICK if thick else 1.1
        return {"color": self.colour, "linestyle": _DASHES[self.hatch], "linewidth": width}

    def point(self) -> dict[str, Any]:
        """Return how a point is drawn."""
        face = self.fill if self.hatch == "" else ("white" if self.fill == "#FFFFFF" else self.colour)
        return {
            "marker": self.marker,
            "markersize": 4.5,
            "markerfacecolor": face,
            "markeredgecolor": "black" if self.hatch == "" else self.colour,
            "markeredgewidth": 0.6,
        }


RING: dict[str, Any] = {
    "marker": "o",
    "markersize": 9.0,
    "markerfacecolor": "none",
    "markeredgecolor": "0.3",
    "markeredgewidth": 0.7,
    "linestyle": "none",
}
"""Around points that cannot be told apart from the best."""
MOST_BARS = 16
"""More bars in a group are not told apart."""
THICK = 2.2
"""The width of curves that cannot be told apart from the best."""

# Colours after Okabe & Ito. Plain fills differ in lightness by 15 or more (CIE L*). Hatches are black, so
# they go on light and middle colours.
_FILLS: tuple[tuple[str, str], ...] = (
    ("#0B3C6F", ""),
    ("#F0E442", ""),
    ("#D55E00", ""),
    ("#A6DBF5", "//////"),
    ("#FFFFFF", "......"),
    ("#E69F00", ""),
    ("#009E73", "xxxxxx"),
    ("#EBC4DA", "------"),
    ("#000000", ""),
    ("#FFFFFF", "\\\\\\\\\\\\"),
    ("#EBC4DA", "......"),
    ("#F0E442", "xxxxxx"),
    ("#E69F00", "//////"),
    ("#A6DBF5", "xxxxxx"),
    ("#FFFFFF", "------"),
    ("#009E73", "......"),
    ("#EBC4DA", "xxxxxx"),
    ("#F0E442", "......"),
    ("#A6DBF5", "------"),
    ("#E69F00", "xxxxxx"),
    ("#009E73", "//////"),
    ("#FFFFFF", "xxxxxx"),
    ("#F0E442", "//////"),
    ("#A6DBF5", "......"),
    ("#E69F00", "......"),
    ("#EBC4DA", "\\\\\\\\\\\\"),
    ("#009E73", "------"),
    ("#FFFFFF", "//////"),
    ("#F0E442", "------"),
    ("#A6DBF5", "\\\\\\\\\\\\"),
    ("#E69F00", "\\\\\\\\\\\\"),
    ("#FFFFFF", "++++++"),
    ("#A6DBF5", "++++++"),
    ("#EBC4DA", "++++++"),
    ("#E69F00", "++++++"),
    ("#F0E442", "++++++"),
    ("#009E73", "++++++"),
    ("#EBC4DA", "//////"),
    ("#009E73", "\\\\\\\\\\\\"),
    ("#E69F00", "------"),
    ("#FFFFFF", "||||||"),
    ("#F0E442", "oooo"),
    ("#A6DBF5", "||||||"),
    ("#E69F00", "oooo"),
    ("#EBC4DA", "||||||"),
    ("#009E73", "oooo"),
    ("#FFFFFF", "oooo"),
    ("#F0E442", "||||||"),
    ("#A6DBF5", "oooo"),
    ("#E69F00", "||||||"),
    ("#EBC4DA", "oooo"),
    ("#009E73", "||||||"),
)
_DARKER = {"#F0E442": "#A59600", "#A6DBF5": "#3A97CC", "#FFFFFF": "#777777", "#EBC4DA": "#B3518A"}
_DASHES: Mapping[str, Any] = {
    "": "solid",
    "//////": (0, (4, 1.5)),
    "......": (0, (1, 1.2)),
    "xxxxxx": (0, (5, 1, 1, 1)),
    "------": (0, (8, 2)),
    "\\\\\\\\\\\\": (0, (3, 1, 1, 1, 1, 1)),
    "++++++": (0, (2, 1)),
    "||||||": (0, (6, 1, 1, 1, 1, 1)),
    "oooo": (0, (1, 2.5)),
}
HUES = ("#0B3C6F", "#D55E00", "#009E73", "#B3518A", "#E69F00", "#3A97CC", "#A59600", "#000000")
"""The colours of lines, without the grey: for curves that are not of several methods."""
DASHED = _DASHES["//////"]
_MARKERS = "os^DvPX<>*ph"
LOOKS = tuple(Look(*fill, _MARKERS[at % len(_MARKERS)]) for at, fill in enumerate(_FILLS))
"""All looks; no two have both fill and hatch, or colour, dashes and marker, in common."""

METHODS = (
    "cmgans",
    "ccl",
    "cmdn",
    "deep-sm",
    "lgcfl",
    "jrl",
    "dcca",
    "corr-ae",
    "kcca",
    "cfa",
    "cca",
    "ccl-coarse",
    "jrl-release",
    "rcca",
    "cmgans-release",
    "cmgans-none",
    "cmgans-ws",
    "cmgans-sc",
    "cmgans-inter",
    "cmgans-cae",
    "corr-ae-corr",
    "corr-ae-cross",
    "corr-ae-full",
    "sm",
    "scm",
    "ridge",
    "lcfs",
    "jfssl",
    "acmr",
    "dscmr",
    "contrastive",
    "triplet",
    "random",
    "majority",
    "identity",
    "acmr-released",
    "cmgans-posterior",
    "oracle",
)
"""The methods whose looks are fixed, by their places: those that cmbench has."""


def looks(settings: Sequence[Setting]) -> list[Look]:
    """Return the look of each setting, which depends on the name of its method alone.

    Other methods have a look by a digest of their name; where two of them would share it in one figure, the
    one whose name comes later in the alphabet takes the next that is free, and so do further settings of one
    method.
    """
    taken: dict[int, int] = {}
    first_of = {setting.method["name"]: at for at, setting in reversed([*enumerate(settings)])}
    for name in sorted(first_of, key=lambda name: (name not in METHODS, name)):
        taken[_free(_place(name), taken)] = first_of[name]
    for at, setting in enumerate(settings):
        if at not in taken.values():
            taken[_free(_place(setting.label), taken)] = at
    places = {at: place for place, at in taken.items()}
    return [LOOKS[places[at] % len(LOOKS)] for at in range(len(settings))]


def spread_note(mark: str, runs: Iterable[int]) -> str:
    """Return the sentence under a figure that says what ``mark`` shows; empty where nothing ran twice.

    ``runs`` says how many runs each setting had.

    >>> spread_note("Bars", [1, 5, 5, 2])
    'Bars: one standard deviation over 2 or 5 runs to either side.'
    """
    several = sorted(set(runs) - {0, 1})
    return f"{mark}: one standard deviation over {either(several)} runs to either side." if several else ""


def _place(name: str) -> int:
    if name in METHODS:
        return METHODS.index(name)
    others = len(LOOKS) - len(METHODS)
    return len(METHODS) + int(sha256(name.encode()).hexdigest(), 16) % others


def _free(place: int, taken: Mapping[int, int]) -> int:
    """Return the place, or the next that is not taken: after the last of all the first, then beyond."""
    turn = [*range(place, len(LOOKS)), *range(len(LOOKS))]
    return next((each for each in turn if each not in taken), len(LOOKS) + len(taken))
