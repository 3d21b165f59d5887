"""Warnings of several runs, each said once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")


def said_once(told: Iterable[tuple[str, Iterable[str]]]) -> list[tuple[str, list[str]]]:
    """Return each warning of several runs once, with the runs that it holds for, in the order given.

    ``told`` gives the name of each run, such as its seed, with its warnings. Those of different runs that
    differ in numbers alone are one warning, with the least and the greatest number; those of one run are
    about several things, and stay apart.

    >>> said_once([("0", ["no better than chance (MAP 0.21)"]), ("1", ["no better than chance (MAP 0.19)"])])
    [('no better than chance (MAP 0.19 to 0.21)', ['0', '1'])]
    """
    by_run = [(run, list(dict.fromkeys(texts))) for run, texts in told]
    counts = [Counter(map(_form, texts)) for _, texts in by_run]
    several = {form for count in counts for form, times in count.items() if times > 1}
    found: dict[str, tuple[list[str], list[str]]] = {}
    for run, texts in by_run:
        for text in texts:
            variants, runs = found.setdefault(text if _form(text) in several else _form(text), ([], []))
            variants.append(text)
            runs.append(run)
    return [(_ranging(variants), list(dict.fromkeys(runs))) for variants, runs in found.values()]


def _form(text: str) -> str:
    return _NUMBER.sub("#", text)


def _ranging(variants: list[str]) -> str:
    """Return texts that differ in numbers alone as one, ``0.1 to 0.3`` where a number differs."""
    numbers = zip(*map(_NUMBER.findall, variants), strict=True)
    ranges = iter([_range(each) for each in numbers])
    return _NUMBER.sub(lambda _: next(ranges), variants[0])


def _range(numbers: tuple[str, ...]) -> str:
    least, greatest = min(numbers, key=float), max(numbers, key=float)
    return least if float(least) == float(greatest) else f"{least} to {greatest}"
