"""Binary codes, whose inner products order as their Hamming distances do."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2

import numpy as np

from cmbench.errors import EvaluationError
from cmbench.evaluation.arrays import arrays_of
from cmbench.evaluation.ranking import Side


def as_codes(side: Side) -> Side:
    """Return the side with each number as +s where it is above 0 and -s elsewhere, s a power of two.

    Codes x, y of k bits that differ in d of them have the inner product (k - 2d) s², and s² <= 1/k keeps
    it in [-1, 1]. Sums of powers of two are exact in float32 up to 2^24 bits, so that codes at the
    same distance are tied. Raises ``EvaluationError`` where all codes are the same.
    """
    arrays = arrays_of(side.rows)
    bits = arrays.numpy(side.rows) > 0
    if len(bits) > 1 and (bits == bits[0]).all():
        raise EvaluationError(
            f"all {len(bits)} items have the same code: a bit is 1 where a representation is above 0. "
            "Return codes of 0 and 1, or representations around 0"
        )
    size = 2.0 ** -ceil(log2(max(bits.shape[1], 1)) / 2)
    codes = np.where(bits, np.float32(size), np.float32(-size))
    return replace(side, rows=arrays.index(codes), scaled=True)
