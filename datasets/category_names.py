"""Names of categories that look like a slip: spelt in two ways, several in one, or a missing value."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from cmbench.errors import listed

IdsOf = Callable[[str], Sequence[str]]
"""Returns the ids of the pairs of a category."""

MISSING = ("nan", "none", "null", "<na>", "n/a", "#n/a")
"""What programs write in place of a category that is not there."""

_JOINTS = re.compile(r"[,;|/+&\t\n\u3001]")
_LIST = re.compile(r"[\[({].*[\])}]", re.DOTALL)
_AROUND = " \t\n'\"[](){}"


def doubtful_names(class_names: Sequence[str], ids_of: IdsOf) -> Iterator[str]:
    """Yield a sentence for each slip in the names of categories, with its remedy.

    >>> print(*doubtful_names(["sea", "sky", "sky,sea"], lambda name: ["7"]))
    the category 'sky,sea' (of 7) looks like several; write sky;sea if it is
    """
    yield from _alike(class_names)
    for name in class_names:
        if spelling(name) in MISSING:
            yield (
                f"the category {name!r} (of {listed(ids_of(name))}) looks like a missing value; name the "
                "category of these pairs, or leave them out"
            )
    for name, parts in _joined(class_names):
        yield f"the category {name!r} (of {listed(ids_of(name))}) looks like several; write {parts} if it is"


def spelling(name: str) -> str:
    """Return a name without capitals, and with one space for spaces, hyphens and underscores.

    >>> spelling("Sci-Fi "), spelling("sci_fi")
    ('sci fi', 'sci fi')
    """
    plain = re.sub(r"[-_\u2010-\u2015]", " ", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(plain.split())


def parts_of(name: str) -> tuple[str, ...]:
    """Return what stands between commas and the like, or numbers between spaces.

    >>> parts_of("['sky', 'sea']"), parts_of("3 17"), parts_of("polar bear")
    (('sky', 'sea'), ('3', '17'), ('polar bear',))
    """
    words = name.split()
    if len(words) > 1 and all(map(str.isdecimal, words)):
        return tuple(words)
    parts = (part.strip(_AROUND) for part in _JOINTS.split(unicodedata.normalize("NFKC", name)))
    return tuple(dict.fromkeys(filter(None, parts)))


def _joined(class_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the names that are lists, or of which some part is a category or part of one as well."""
    parts = {name: parts_of(name) for name in class_names}
    owners = Counter(part for of_name in parts.values() for part in set(map(spelling, of_name)))
    for name, several in parts.items():
        is_list = _LIST.fullmatch(name.strip()) is not None
        if len(several) > 1 and (is_list or any(owners[spelling(part)] > 1 for part in several)):
            yield name, ";".join(several)


def _alike(class_names: Sequence[str]) -> Iterator[str]:
    """Yield which categories are written so much alike that they may be one."""
    spellings: dict[str, list[str]] = {}
    for name in class_names:
        spellings.setdefault(spelling(name), []).append(name)
    for names in spellings.values():
        if len(names) > 1:
            yield (
                f"the categories {', '.join(map(repr, names))} differ in capitals, spaces or hyphens alone "
                "and count as different ones; write them in one way if they are the same"
            )
