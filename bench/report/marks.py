"""Which numbers of a column are best and second, at the decimals a table prints."""

from collections.abc import Sequence
from typing import Literal

from cmbench.report.settings import Score

Mark = Literal["best", "second", ""]


def printed(value: float) -> str:
    """Return a MAP as tables print it, with three decimals.

    >>> printed(0.4994)
    '0.499'
    """
    return f"{value:.3f}"


def marks(scores: Sequence[Score | None]) -> list[Mark]:
    """Return the mark of each score of a column.

    Best are all scores that print the highest number, second all that print the next lower one:
    what looks equal in the table is treated as equal. A missing score has no mark.
    """
    shown = sorted({printed(score.mean) for score in scores if score is not None}, key=float, reverse=True)
    places: dict[str, Mark] = dict(zip(shown, ("best", "second"), strict=False))
    return ["" if score is None else places.get(printed(score.mean), "") for score in scores]
