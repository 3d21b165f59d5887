"""How wide a text is in print, and how it is folded and cut to fit a place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font, LoadFlags

from cmbench.report.fonts import FIRST

ELLIPSIS = "…"
_EM_POINTS = 100.0  # the size at which characters are measured


def inches(text: str, points: float) -> float:
    """Return how wide a text is at a size, each character by its advance in the font of all figures.

    A character that this font lacks counts as one em, which most of other fonts fill at most.
    """
    return sum(map(_ems, text)) * points / 72


def folded(text: str, *, width: float, lines: int, points: float) -> list[str]:
    """Return a text in at most so many lines of ``width`` inches, cut between words where it is longer.

    What is cut ends in an ellipsis, after a whole word, without the comma or the like that stood there. A
    word that is wider than a line, or a text in a script without spaces, breaks after a hyphen, or between
    characters where there is none. Spaces and ends of lines of the text do not count.

    >>> folded("a red bicycle, leaning on a wall", width=0.8, lines=2, points=8)
    ['a red bicycle,', 'leaning on a…']
    """
    pieces = list(_pieces(text, width, points))
    made: list[str] = []
    for at, (space, piece) in enumerate(pieces):
        longer = made[-1] + space + piece if made else ""
        if made and inches(longer, points) <= width:
            made[-1] = longer
        elif len(made) < lines:
            made.append(piece)
        else:
            return [*made[:-1], _cut(made[-1], width, points, whole_words=bool(pieces[at][0]))]
    return made


def shortened(text: str, *, width: float, points: float) -> str:
    """Return a text on one line, cut as ``folded`` cuts it."""
    return "".join(folded(text, width=width, lines=1, points=points))


def clipped(text: str, *, width: float, points: float) -> str:
    """Return a text on one line, cut between characters where it is wider: of a name, as much as fits.

    >>> clipped("lighthouse", width=9, points=8), clipped("lighthouse", width=0.5, points=8)[-1]
    ('lighthouse', '…')
    """
    return text if inches(text, points) <= width else _cut(text, width, points, whole_words=False)


@cache
def _font() -> FT2Font:
    font = FT2Font(findfont(FontProperties(family=FIRST)))
    font.set_size(_EM_POINTS, 72)
    return font


@cache
def _ems(character: str) -> float:
    code = ord(character)
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Cf"):
        return 0.0
    if not _font().get_char_index(code):
        return 1.0
    glyph = _font().load_char(code, flags=LoadFlags.NO_HINTING)
    return float(glyph.linearHoriAdvance) / 65536 / _EM_POINTS


def _pieces(text: str, width: float, points: float) -> Iterator[tuple[str, str]]:
    """Yield the words of a text that fit on a line, or what fits of them, with the space before each."""
    for word in text.split():
        space = " "
        while inches(word, points) > width and len(word) > 1:
            fits = max(1, next(at for at in range(len(word), 0, -1) if _fits(word[:at], width, points)))
            fits = word.rfind("-", 0, fits) + 1 or fits
            yield space, word[:fits]
            space, word = "", word[fits:]
        yield space, word


def _fits(text: str, width: float, points: float) -> bool:
    return len(text) == 1 or inches(text, points) <= width


def _cut(line: str, width: float, points: float, *, whole_words: bool) -> str:
    """Return a line with an ellipsis at its end, which more of the text would follow."""
    ends = [match.start() for match in re.finditer(r"\s|$", line)] if whole_words else [*range(len(line) + 1)]
    for end in sorted(ends, reverse=True):
        kept = line[:end].rstrip(" ,;:.-(\u2013\u2014")
        if kept and inches(kept + ELLIPSIS, points) <= width:
            return kept + ELLIPSIS
    fits = [end for end in range(1, len(line)) if inches(line[:end] + ELLIPSIS, points) <= width]
    return line[: max(fits, default=1)] + ELLIPSIS
