"""Scripts other than Latin in names: which they are, and what a LaTeX file needs in order to print them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_LANGUAGES = {
    "CJK": "Chinese",
    "FULLWIDTH": "Chinese",
    "HANGUL": "Korean",
    "HIRAGANA": "Japanese",
    "IDEOGRAPHIC": "Chinese",
    "KATAKANA": "Japanese",
}
_SCRIPTS = (
    "ARABIC",
    "ARMENIAN",
    "BENGALI",
    "CYRILLIC",
    "DEVANAGARI",
    "ETHIOPIC",
    "GEORGIAN",
    "GREEK",
    "GUJARATI",
    "GURMUKHI",
    "HEBREW",
    "KANNADA",
    "KHMER",
    "LAO",
    "MALAYALAM",
    "MONGOLIAN",
    "MYANMAR",
    "SINHALA",
    "SYRIAC",
    "TAMIL",
    "TELUGU",
    "THAANA",
    "THAI",
    "TIBETAN",
)
IDEOGRAPHIC = frozenset(_LANGUAGES.values())
"""Scripts whose fonts are those of Chinese."""
JOINED = {name.title() for name in _SCRIPTS} - {"Armenian", "Cyrillic", "Ethiopic", "Georgian", "Greek"}
"""Scripts whose letters change their form with their neighbours, or run from right to left."""
_FONTS = {
    "DejaVu Serif": {"Armenian", "Cyrillic", "Georgian", "Greek", "symbol"},
    "DejaVu Sans": {"Arabic", "Armenian", "Cyrillic", "Georgian", "Greek", "Hebrew", "Lao", "symbol"},
}
_FROM_RIGHT = r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]"
_LATIN = 0x250  # what LaTeX reads by itself lies below, but for marks that stand apart from their letters


def script_of(character: str) -> str:
    """Return the script of a character, or for what belongs to none ``symbol``.

    >>> [script_of(character) for character in "\u52a8\u03b1\u0639\u2603"]
    ['Chinese', 'Greek', 'Arabic', 'symbol']
    """
    word = unicodedata.name(character, "").partition(" ")[0].partition("-")[0]
    return _LANGUAGES.get(word) or (word.title() if word in _SCRIPTS else "symbol")


def needs_of(text: str) -> list[str]:
    r"""Return the lines of a comment that says how to compile a LaTeX text; none where any LaTeX will do.

    >>> needs_of("Größe")
    []
    >>> print(*needs_of("\u52a8\u7269"), sep="\n")
    has Chinese characters: compile it with xelatex or lualatex, not pdflatex, and with
    \usepackage{xeCJK}\setCJKmainfont{Noto Serif CJK SC} (xelatex; or another font that has them)
    \usepackage{luatexja-fontspec}\setmainjfont{Noto Serif CJK SC} (lualatex)
    """
    scripts = sorted({script_of(character) for character in text if ord(character) >= _LATIN})
    if not scripts:
        return []
    turns = re.search(_FROM_RIGHT, text) is not None
    engines = "xelatex" if turns else "xelatex or lualatex"
    lines = [f"has {_listed(scripts)} characters: compile it with {engines}, not pdflatex, and with"]
    if IDEOGRAPHIC & set(scripts):
        lines.append(
            r"\usepackage{xeCJK}\setCJKmainfont{Noto Serif CJK SC} (xelatex; or another font that has them)"
        )
        if not turns:
            lines.append(r"\usepackage{luatexja-fontspec}\setmainjfont{Noto Serif CJK SC} (lualatex)")
    if set(scripts) - IDEOGRAPHIC:
        lines.append(rf"\usepackage{{fontspec}}\setmainfont{_font_of({*scripts} - IDEOGRAPHIC)}")
    if turns:
        lines.append(r"\usepackage{bidi} after all others, for what runs from right to left")
    return lines


def _font_of(scripts: set[str]) -> str:
    """Return the argument of the command that names a font: the first that has all of these scripts."""
    having = (
        f"{{{font}}} (or another font that has them)" for font, known in _FONTS.items() if scripts <= known
    )
    return next(having, f"{{...}} with a font that has {_listed(sorted(scripts))} characters")


def turned(text: str) -> str:
    r"""Return LaTeX text in which words from right to left stand in RLE, a command of the package bidi.

    >>> turned("a \u0642\u0637\u0629") == "a \\RLE{\u0642\u0637\u0629}"
    True
    """
    return re.sub(rf"{_FROM_RIGHT}+(?:\s+{_FROM_RIGHT}+)*", r"\\RLE{\g<0>}", text)


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
