"""The papers of methods as BibTeX."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from cmbench.errors import MethodError

if TYPE_CHECKING:
    from cmbench.methods.contract import Method


ESCAPED = str.maketrans({**{sign: f"\\{sign}" for sign in "&%$#_{}"}, "\\": r"\textbackslash{}"})
"""What LaTeX reads otherwise than it stands in a text."""


def bibtex_of(method: type[Method]) -> str:
    """Return the BibTeX entry of a method's paper.

    It is the method's own ``bibtex``; else that of ``references.bib`` whose title stands in its ``citation``;
    else one made of ``citation`` alone. Raises ``MethodError`` for a method that cites nothing.
    """
    if method.bibtex:
        return method.bibtex.strip()
    if not method.citation:
        raise MethodError(
            f"method {method.name!r} cites no paper; its class names one in the attribute citation or bibtex"
        )
    citation = method.citation.lower()
    for entry in entries():
        if title_of(entry).lower() in citation:
            return entry
    return f"@misc{{{method.name},\n  note = {{{method.citation.translate(ESCAPED)}}}\n}}"


@cache
def entries() -> tuple[str, ...]:
    """Return the entries of ``references.bib``."""
    text = files("cmbench.methods").joinpath("references.bib").read_text(encoding="utf-8")
    return tuple(entry.strip() for entry in re.split(r"\n\n+", text) if entry.strip())


def title_of(entry: str) -> str:
    r"""Return the title of an entry, without the braces that keep its capital letters.

    >>> title_of("@article{a,\n  title = {{CCL}: a method},\n}")
    'CCL: a method'
    """
    found = re.search(r"\btitle\s*=\s*\{(.*)\},?$", entry, re.MULTILINE)
    return found[1].replace("{", "").replace("}", "") if found else ""


def bibtex_of_cmbench() -> str:
    """Return the BibTeX entry of this program."""
    return (
        "@software{cmbench,\n"
        "  author  = {{The cmbench developers}},\n"
        "  title   = {cmbench: a benchmark of cross-modal retrieval methods},\n"
        f"  version = {{{version('cmbench')}}}\n"
        "}"
    )
