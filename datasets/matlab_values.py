"""What the values in MATLAB files become, in every version: texts from chars and cells, and refusals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import DatasetError

_REMEDIES = {
    "cell": "every cell must hold one char vector",
    "complex array": "save its real part or its absolute values",
    "string": "convert it with cellstr(...)",
    "categorical": "convert names with cellstr(categories(...)) and labels with double(...)",
    "struct": "save its fields as variables of their own",
    "table": "save its columns as variables of their own",
}


def char_rows(rows: Sequence[str]) -> NDArray[np.str_]:
    """Return the rows of a char matrix without the blanks that pad them to equal length.

    >>> char_rows(["cat  ", "horse"])
    array(['cat', 'horse'], dtype='<U5')
    """
    return np.array([row.rstrip(" ") for row in rows], dtype=np.str_)


def refused(key: str, matlab_class: str) -> DatasetError:
    """Return the error for a variable of a MATLAB class that cannot be read, with the remedy."""
    remedy = _REMEDIES.get(
        matlab_class, "save it as a numeric array, a char matrix or a cell array of char vectors"
    )
    return DatasetError(f"{key} is a MATLAB {matlab_class}, which cannot be read; {remedy}")
