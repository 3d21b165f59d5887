"""The end of a training that nobody scores: when its error on validation rows hardly falls any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

LEAST_FALL = 0.05
"""The share of itself by which an error must fall while patience lasts."""


@dataclass(frozen=True, eq=False)
class Plateau:
    """Ends a training once its error has not fallen by 5 % within the last ``patience`` looks.

    The networks stay as they are at that look, which is where an error that falls ever more slowly is lowest.

    Parameters
    ----------
    curve : the name of the error's curve
    error : returns the error on validation rows, as the networks are now
    patience : looks
    earliest : looks before which nothing ends, since an error may also fall slowly at first

    Examples
    --------
    >>> plateau = Plateau("error", lambda: 0.5, patience=2)
    >>> [plateau.reached([{"error": value} for value in errors]) for errors in ([4, 2, 1], [4, 2, 2, 1.99])]
    [False, True]
    """

    curve: str
    error: Callable[[], float]
    patience: int
    earliest: int = 0

    def measured(self) -> dict[str, float]:
        """Return the error as it is now, by the name of its curve."""
        return {self.curve: self.error()}

    def reached(self, points: Sequence[Mapping[str, float]]) -> bool:
        """Return whether the error of the last of these points of curves, one a look, is hardly lower."""
        if len(points) <= self.patience or len(points) < self.earliest:
            return False
        before, now = points[-1 - self.patience][self.curve], points[-1][self.curve]
        return now > (1 - LEAST_FALL) * before
