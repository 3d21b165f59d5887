"""What representations give away of the method that made them, at next to no cost.

Seen are representations that are all alike, those of an item that depend on the others of its batch, as
with statistics of the test set, and, on request, two fits with one seed that differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Parts
from cmbench.errors import MethodError

Transform: TypeAlias = Callable[[NDArray[Any], Parts | None], NDArray[Any]]
"""Features of items, and their parts if the method looks at these, become representations."""

TRIED = 4
"""Items that are mapped again, alone."""
SHARE = 0.02
"""Of the length of a representation, by which rounding may change it. Networks in bfloat16 need 0.01."""
_ROWS_AT_ONCE = 1000


def check_spread(representations: NDArray[Any], features: NDArray[Any], modality: str) -> None:
    """Raise ``MethodError`` where all items have the same representation, though their features differ."""
    if len(features) < 2 or not _all_equal(representations) or _all_equal(features):
        return
    raise MethodError(
        f"transform_{modality} returned the same row for each of {len(features)} items, so that nothing can "
        "be ranked; look for weights that are 0, or a transform that does not use its input"
    )


def _all_equal(rows: NDArray[Any]) -> bool:
    if rows.ndim != 2 or not rows.size:
        return False
    blocks = (rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE))
    return all(bool((block == rows[0]).all()) for block in blocks)


def check_rows(
    representations: NDArray[Any],
    mapped: Transform,
    features: NDArray[Any],
    parts: Parts | None,
    modality: str,
) -> list[str]:
    """Map a few items again, each alone; return a warning where a transform draws random numbers.

    Raises ``MethodError`` where an item has another representation alone than among the others.
    """
    if representations.ndim != 2 or len(representations) != len(features) or len(features) < 2:
        return []  # the evaluation tells what is wrong
    for item in np.linspace(0, len(features) - 1, min(TRIED, len(features)), dtype=int):
        own = _own(parts, int(item))
        alone = mapped(features[item : item + 1], own)
        if _is_close(alone, representations[item : item + 1]):
            continue
        if not _is_close(alone, mapped(features[item : item + 1], own)):
            return [f"transform_{modality} gives an item another representation each time it is asked"]
        raise MethodError(
            f"transform_{modality} gives an item another representation alone than among all test items, as "
            "if it used statistics of the test set; use those of the training pairs, computed in fit (in "
            "PyTorch, call eval() before mapping)"
        )
    return []


def _own(parts: Parts | None, item: int) -> Parts | None:
    return None if parts is None else parts.take([item])


def _is_close(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether two representations differ by rounding alone; what is not finite is not judged."""
    if one.shape != other.shape:
        return False
    rows = [np.asarray(row, dtype=np.float64) for row in (one, other)]
    if not all(np.isfinite(row).all() for row in rows):
        return True
    length = max(float(np.linalg.norm(row)) for row in rows)
    return float(np.linalg.norm(rows[0] - rows[1])) <= SHARE * length


def check_repetition(first: NDArray[Any], second: NDArray[Any], modality: str, *, exact: bool) -> None:
    """Raise ``MethodError`` where two fits with one seed gave different representations.

    On a GPU sums come in any order: unless ``exact``, differences of less than ``SHARE`` pass.
    """
    if np.array_equal(first, second, equal_nan=True) or (not exact and _is_close(first, second)):
        return
    raise MethodError(
        f"two fits with the same parameters and the same seed gave other representations of {modality}; draw "
        "all random numbers from np.random.default_rng(self.random_state), or a torch.Generator seeded with "
        "it"
    )
