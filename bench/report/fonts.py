"""Fonts for names in any script: what a figure needs, what is installed, and what to say where nothing is."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from cmbench.errors import CmbenchWarning
from cmbench.report.scripts import IDEOGRAPHIC, JOINED, script_of

FIRST = "DejaVu Sans"
"""The font of all figures, which comes with matplotlib; it has Latin, Greek, Cyrillic, Arabic and Hebrew."""

PREFERRED = (
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "SimHei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Heiti SC",
    "Hiragino Sans GB",
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "Noto Sans CJK JP",
    "Malgun Gothic",
    "Arial Unicode MS",
)
"""Fonts that are asked before others: Chinese ones, those first that a PDF can hold as TrueType."""

_SHAPING_SINCE = (3, 11)


def fit_fonts(figure: Figure, *, drawn: bool = False) -> dict[Any, Any]:
    """Let every text of a figure fall back on installed fonts that have its characters.

    Return the settings with which to write the figure: the families, and Type 3 for PDF where a font has
    outlines in the Compact Font Format, which come out empty as Type 42. A ``CmbenchWarning`` names the
    script of characters that no installed font has, or that this matplotlib cannot join. A figure that was
    ``drawn`` before has to be drawn again only if there are such settings.
    """
    if not drawn:
        with quiet():
            figure.draw_without_rendering()  # only then do axes have their labels
    texts: list[Text] = figure.findobj(Text)
    characters = "".join(text.get_text() for text in texts)
    families, missing = families_for(characters)
    for problem in (*_missing(missing), *_unshaped(characters)):
        warnings.warn(problem, CmbenchWarning, stacklevel=3)
    if families == [FIRST]:
        return {}
    for text in texts:
        text.set_fontfamily(families)
    compact = any(_is_compact(_file_of(family)) for family in families[1:])
    return {"font.family": families} | ({"pdf.fonttype": 3} if compact else {})


def families_for(characters: str) -> tuple[list[str], list[str]]:
    """Return the families in which the characters are drawn, and the characters that none of them has."""
    families = [FIRST]
    missing = _without(set(characters), _file_of(FIRST))
    for family in _candidates() if missing else ():
        left = _without(missing, _file_of(family))
        if len(left) < len(missing):
            families.append(family)
        missing = left
        if not missing:
            break
    return families, sorted(missing)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep matplotlib from telling, glyph by glyph and weight by weight, what ``fit_fonts`` says at once."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            yield
    finally:
        logger.setLevel(level)


def _candidates() -> Iterator[str]:
    """Yield the families that are installed: the preferred ones, others, and those installed just now."""
    known = _installed()
    yield from (family for family in PREFERRED if family in known)
    yield from sorted(known.difference(PREFERRED, [FIRST]))
    files = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - files):  # later than matplotlib's own list
        with suppress(Exception):  # whatever FreeType finds wrong with somebody's font
            font_manager.fontManager.addfont(path)
    yield from sorted(_installed() - known, key=lambda family: (family not in PREFERRED, family))


def _installed() -> set[str]:
    """Return all families but that whose every character is a box."""
    names = {entry.name for entry in font_manager.fontManager.ttflist}
    return {name for name in names if not name.replace(" ", "").startswith("LastResort")}


def _file_of(family: str) -> str:
    """Return the file of a family, its regular weight if there is one."""
    entries = [entry for entry in font_manager.fontManager.ttflist if entry.name == family]
    best = min(entries, key=lambda entry: (entry.style != "normal", abs(_weight(entry.weight) - 400)))
    return str(best.fname)


def _weight(weight: int | str) -> int:
    return weight if isinstance(weight, int) else font_manager.weight_dict.get(weight, 400)


@cache
def _characters_of(path: str) -> frozenset[int]:
    with suppress(Exception):  # whatever FreeType finds wrong with somebody's font
        return frozenset(FT2Font(path).get_charmap())
    return frozenset()


def _without(characters: Collection[str], path: str) -> set[str]:
    """Return the characters that a font lacks; spaces and marks without a shape need none."""
    has = _characters_of(path)
    return {
        character
        for character in characters
        if ord(character) not in has and unicodedata.category(character)[0] not in "CZ"
    }


@cache
def _is_compact(path: str) -> bool:
    """Return whether the outlines are in the Compact Font Format, which PDF files of matplotlib mangle."""
    from fontTools.ttLib import TTFont

    with TTFont(path, fontNumber=0, lazy=True) as font:
        return "CFF " in font or "CFF2" in font


def _missing(characters: Iterable[str]) -> Iterator[str]:
    by_script: dict[str, list[str]] = {}
    for character in characters:
        by_script.setdefault(script_of(character), []).append(character)
    for script, found in by_script.items():
        example = "Noto Sans CJK" if script in IDEOGRAPHIC else f"Noto Sans {script}"
        advice = "a font that has them" if script == "symbol" else f"a {script} font, such as {example},"
        yield (
            f"{len(found)} {script} character(s) are drawn as boxes ({' '.join(found[:8])}), because no "
            f"installed font has them; install {advice} and draw the figure again"
        )


def _unshaped(characters: str) -> Iterator[str]:
    if tuple(map(int, mpl.__version__.split(".")[:2])) >= _SHAPING_SINCE:
        return
    scripts = sorted({script_of(character) for character in characters} & JOINED)
    if scripts:
        yield (
            f"matplotlib {mpl.__version__} neither joins the letters of {', '.join(scripts)} names nor turns "
            "their direction; install matplotlib 3.11 or later and draw the figure again"
        )
