"""Whether a copy of a published dataset is whole: as many pairs of each category as there should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cmbench.datasets.raw.contract import RawPair
from cmbench.datasets.raw.problems import Problems


def check_counts(
    pairs: Sequence[RawPair],
    class_names: Sequence[str],
    published: Sequence[int],
    *,
    place: object,
    problems: Problems,
) -> None:
    """Note each category of which ``place`` has not as many pairs as published (one number a category)."""
    counts = Counter(pair.label for pair in pairs)
    for label, (name, expected) in enumerate(zip(class_names, published, strict=True)):
        if counts[label] != expected:
            problems.add(
                f"{place} has {counts[label]} pairs of {name!r} and should have {expected}; "
                "the copy is not complete, get it again"
            )


def check_number(pairs: Sequence[RawPair], published: int, *, place: object, problems: Problems) -> None:
    """Note that the list ``place`` has not as many pairs as published."""
    if len(pairs) != published:
        problems.add(
            f"{place} has {len(pairs)} pairs and should have {published}; complete it, or give a split of "
            "your own (--splits)"
        )


def check_categories(
    class_names: Sequence[str], count: int | None, *, place: object, problems: Problems
) -> None:
    """Note that ``place`` has not as many categories as published."""
    if len(class_names) != count:
        problems.add(
            f"{place} names {len(class_names)} categories and should name {count}; get the file again"
        )
